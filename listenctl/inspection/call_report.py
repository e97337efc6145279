"""The report of one call, as an object and as JSON (`listenctl-inspect(5)`)."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from listenctl.capture.capture_events import CapturedSession
from listenctl.events import Report, describe_gap, timestamp
from listenctl.inspection.message_checks.arrival_times import ArrivalTimes, MeasuredDrift, spread_as_json
from listenctl.inspection.message_checks.handshake_checks import describe_handshake
from listenctl.inspection.message_checks.mark_and_clip_records import MAX_RECORDS, ClipRecord, MarkRecord
from listenctl.inspection.message_checks.stream_or_clips import CallMode
from listenctl.inspection.rule_catalogue import Severity, Violation, in_order
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.call_metadata import CallMetadata
from listenctl.protocol.gaps.gap_ledger import Gap

VERSION = 1
MAX_LISTED = MAX_RECORDS
_SIZES_SHOWN = 16


@dataclass(frozen=True, slots=True)
class DtmfRecord:
    """A key: told by jambonz, ``channel`` None, or heard on a channel, counted from 1."""

    at: float
    position: int
    digit: str
    duration_ms: float | None
    channel: int | None = None

    def to_json(self) -> Report:
        """Return it as it stands in `listenctl-inspect(5)`."""
        return {
            "time": round(self.at, 3),
            "position": self.position,
            "digit": self.digit,
            "duration_ms": self.duration_ms,
            "source": "event" if self.channel is None else "tone",
            "channel": self.channel,
        }


@dataclass(slots=True)
class AudioCounts:
    """The audio from jambonz, as it came."""

    samples: int = 0
    messages: int = 0
    sizes: Counter[int] = field(default_factory=Counter)


@dataclass(slots=True)
class Completeness:
    """
    Samples per channel that are there and that are missing: lost, never sent, not in the capture.

    Attributes:
        unknown: why it can't be told whether anything is missing; empty where it can.
    """

    received: int = 0
    lost: int = 0
    paused: int = 0
    uncaptured: int = 0
    unknown: str = ""

    @property
    def complete(self) -> bool | None:
        """Whether nothing is missing, pauses aside; None where that can't be told."""
        if self.lost or self.uncaptured:
            return False
        return None if self.unknown else True

    @property
    def share(self) -> float | None:
        """How much there is of what jambonz sent and threw away, None if nothing is known; a pause isn't missing."""
        sent = self.received + self.lost + self.uncaptured
        if sent:
            return self.received / sent
        return None if self.unknown else 1.0

    def to_json(self) -> Report:
        """Return it as it stands in `listenctl-inspect(5)`."""
        return {
            "received_samples": self.received,
            "lost_samples": self.lost,
            "paused_samples": self.paused,
            "uncaptured_samples": self.uncaptured,
            "completeness": None if self.share is None else round(self.share, 6),
            "complete": self.complete,
            "complete_unknown": self.unknown if self.complete is None else None,
        }


@dataclass(slots=True)
class CallReport:
    """
    All that is known of one call.

    Attributes:
        call: an id of its own: its callSid, ``~2`` appended for a second stream of it, or ``unknown-1``.
        seconds: from the handshake to the Close, or to the last that is known.
        metadata: None where none came.
        mode: how what the application sends is played; None where it sends nothing.
        commands: how many of each type the application sent.
        counts: how often each rule was broken; ``violations`` keeps the first ones of each.
        over_listed: how many keys, marks and clips are left out of their lists.
    """

    call: str
    session: CapturedSession
    seconds: float
    metadata: CallMetadata | None
    audio_format: AudioFormat
    audio: AudioCounts
    completeness: Completeness
    gaps: list[Gap]
    arrivals: ArrivalTimes | None
    drift: MeasuredDrift | None
    keys: list[DtmfRecord]
    marks: list[MarkRecord]
    clips: list[ClipRecord]
    mode: CallMode | None
    stream: Report | None
    commands: dict[str, int]
    texts: dict[str, int]
    pings: Report
    close: Report
    violations: list[Violation]
    counts: dict[str, int]
    over_listed: int = 0

    @property
    def worst(self) -> Severity | None:
        """The severity of the worst violation."""
        return min((one.severity for one in self.violations), key=lambda one: one.rank, default=None)

    def add(self, violations: Iterable[Violation]) -> None:
        """Add what was found by others than those who made the report."""
        for violation in violations:
            self.counts[violation.rule] = self.counts.get(violation.rule, 0) + 1
            self.violations.append(violation)
        self.violations.sort(key=in_order)

    @property
    def listens(self) -> bool:
        """Whether this is a call of the listen protocol, as far as can be told."""
        return self.session.is_listen is not False

    @property
    def stream_seconds(self) -> float | None:
        """How long the audio is that the application streams, None where there is none or its rate isn't known."""
        seconds = self.stream["seconds"] if self.stream else None
        return seconds if isinstance(seconds, float) else None

    @property
    def stream_messages(self) -> int:
        """How many binary messages the application sent."""
        messages = self.stream["messages"] if self.stream else 0
        return messages if isinstance(messages, int) else 0

    def to_json(self) -> Report:
        """Return one JSON object, as `listenctl-inspect(5)` describes it."""
        session = self.session
        return {
            "v": VERSION,
            "call": self.call,
            "call_sid": self.metadata.call_sid if self.metadata else None,
            "number": session.number,
            "source": session.source,
            "client": session.client or None,
            "server": session.server or None,
            "target": session.target,
            "encrypted": session.encrypted,
            "started_midway": session.started_midway,
            "listens": session.is_listen,
            "started": timestamp(session.began),
            "ended": timestamp(session.began + self.seconds),
            "seconds": round(self.seconds, 3),
            "handshake": describe_handshake(session),
            **self._describe_metadata(),
            "audio": self._describe_audio(),
            **self.completeness.to_json(),
            "gaps": [describe_gap(gap, self.audio_format.sample_rate) for gap in self.gaps],
            **self._describe_clock(),
            "dtmf": [key.to_json() for key in self.keys],
            "playout": self._describe_mode(),
            "stream": self.stream,
            "marks": [mark.to_json() for mark in self.marks],
            "clips": [clip.to_json() for clip in self.clips],
            "commands": self.commands,
            "texts": self.texts,
            "pings": self.pings,
            "close": self.close,
            "worst": str(self.worst) if self.worst else None,
            "violations": [one.to_json() for one in self.violations],
            "violation_counts": self.counts,
            "not_listed": self.over_listed,
        }

    def _describe_metadata(self) -> Report:
        metadata = self.metadata
        if metadata is None:
            return {"from": None, "to": None, "direction": None, "metadata": None, "metadata_valid": None}
        return {
            "from": metadata.caller,
            "to": metadata.callee,
            "direction": metadata.direction,
            "metadata": dict(metadata.fields),
            "metadata_valid": metadata.valid,
        }

    def _describe_audio(self) -> Report:
        known = self.metadata.mix_type if self.metadata else None
        sealed = bool(self.session.unreadable) and self.metadata is None and not self.audio.samples
        return {
            "sample_rate": None if sealed else self.audio_format.sample_rate,
            "channels": None if sealed else self.audio_format.channels,
            "mix_type": known,
            "samples": self.audio.samples,
            "seconds": round(self.audio_format.duration(self.audio.samples), 3),
            "messages": self.audio.messages,
            "message_sizes": {str(size): count for size, count in self.audio.sizes.most_common(_SIZES_SHOWN)},
        }

    def _describe_clock(self) -> Report:
        arrivals, drift = self.arrivals, self.drift
        first = arrivals.first if arrivals else None
        return {
            "first_audio": None if first is None else round(first, 3),
            "arrival_ms": spread_as_json(arrivals.intervals) if arrivals else None,
            "lateness_ms": spread_as_json(arrivals.lateness) if arrivals else None,
            "clock_drift_ppm": round(drift.ppm, 1) if drift else None,
            "clock_drift_uncertainty_ppm": round(drift.uncertainty, 1) if drift else None,
        }

    def _describe_mode(self) -> Report | None:
        if self.mode is None:
            return None
        kind = "stream" if self.mode.streams else "clips"
        return {"mode": kind, "stream_rate": self.mode.stream_rate, "known_from": self.mode.source}
