"""The report of one inspected call: an object, its JSON and its row of the table (`listenctl-inspect(5)`)."""

from collections.abc import Sequence
from dataclasses import dataclass

from listenctl.capture.capture_events import CapturedSession
from listenctl.inspection.message_checks.application_message_checks import StreamReport
from listenctl.inspection.message_checks.arrival_times import ArrivalTimes, MeasuredDrift, spread_as_json
from listenctl.inspection.message_checks.handshake_checks import describe_handshake
from listenctl.inspection.message_checks.jambonz_message_checks import AudioCounts, CaptureCompleteness, DtmfRecord
from listenctl.inspection.message_checks.mark_and_clip_records import ClipRecord, MarkRecord
from listenctl.inspection.message_checks.ping_and_close_checks import CloseReport, PingReport
from listenctl.inspection.message_checks.stream_or_clips import CallMode
from listenctl.inspection.rule_violations import Violation
from listenctl.json_lines import JsonObject, timestamp
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.call_metadata import CallMetadata
from listenctl.protocol.gaps.gap import Gap
from listenctl.protocol.jambonz_model.rule_catalogue import Severity

VERSION = 1
_MAX_SIZES = 16

TableCell = str | int | float | None


@dataclass(slots=True)
class CallReport:
    call: str  # unique id: the callSid, ``~2`` appended for its second stream, or ``unknown-1``
    session: CapturedSession
    seconds: float  # from the handshake to the first Close frame, or to the last event
    metadata: CallMetadata | None  # None if none arrived
    audio_format: AudioFormat
    audio: AudioCounts
    completeness: CaptureCompleteness
    gaps: list[Gap]
    arrivals: ArrivalTimes | None
    drift: MeasuredDrift | None
    keys: list[DtmfRecord]
    marks: list[MarkRecord]
    clips: list[ClipRecord]
    mode: CallMode | None  # how the application's audio is played; None if it sends nothing
    stream: StreamReport | None
    commands: dict[str, int]  # number of commands of the application by type
    texts: dict[str, int]
    pings: dict[str, PingReport]
    close: CloseReport
    violations: list[Violation]
    counts: dict[str, int]  # number of violations by rule; ``violations`` lists the first ones of each
    over_listed: int = 0  # number of keys, marks and clips that their lists omit

    @property
    def worst(self) -> Severity | None:
        return min((one.severity for one in self.violations), key=lambda severity: severity.rank, default=None)

    def add_violations(self, violations: Sequence[Violation]) -> None:
        for violation in violations:
            self.counts[violation.rule] = self.counts.get(violation.rule, 0) + 1
            self.violations.append(violation)
        self.violations.sort(key=lambda violation: violation.order)

    @property
    def listens(self) -> bool:
        """Whether this may be a call of the listen protocol."""
        return self.session.is_listen is not False

    def to_json(self) -> JsonObject:
        from listenctl.events import GapEvent

        session = self.session
        return {
            "v": VERSION,
            "call": self.call,
            "call_sid": self.metadata.call_sid if self.metadata else None,
            "number": session.number,
            "source": session.source,
            "client": session.client or None,
            "proxy": session.proxy or None,
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
            "gaps": [GapEvent.of(gap, self.audio_format.sample_rate).serialize() for gap in self.gaps],
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

    def table_row(self) -> dict[str, TableCell]:
        """Return the columns of the table in order; None for unknown values."""
        metadata, rate = self.metadata or CallMetadata.missing(), self.audio_format.sample_rate
        completeness, close = self.completeness, self.close
        violations = [one.severity for one in self.violations]
        return {
            "call": self.call,
            "source": self.session.source,
            "number": self.session.number,
            "started": timestamp(self.session.began),
            "seconds": round(self.seconds, 3),
            "from": metadata.caller,
            "to": metadata.callee,
            "direction": metadata.direction,
            "sample_rate": rate,
            "mix_type": metadata.mix_type,
            "audio_seconds": round(completeness.received / rate, 3),
            "lost_seconds": round(completeness.lost / rate, 3),
            "paused_seconds": round(completeness.paused / rate, 3),
            "uncaptured_seconds": round(completeness.uncaptured / rate, 3),
            "completeness": None if completeness.share is None else round(completeness.share, 6),
            "dtmf": "".join(key.digit for key in self.keys if key.channel is None),
            "marks": len(self.marks),
            "clips": len(self.clips),
            "stream_seconds": self.stream["seconds"] if self.stream else None,
            "closed_by": close["by"],
            "close_code": close["code"],
            "errors": violations.count(Severity.ERROR),
            "warnings": violations.count(Severity.WARNING),
            "rules": " ".join(sorted(self.counts)),
        }

    def _describe_metadata(self) -> JsonObject:
        metadata = self.metadata or CallMetadata.missing()
        return {
            "from": metadata.caller,
            "to": metadata.callee,
            "direction": metadata.direction,
            "metadata": self.metadata and dict(metadata.fields),
            "metadata_valid": self.metadata and metadata.valid,
        }

    def _describe_audio(self) -> JsonObject:
        sealed = bool(self.session.unreadable) and self.metadata is None and not self.audio.samples
        return {
            "sample_rate": None if sealed else self.audio_format.sample_rate,
            "channels": None if sealed else self.audio_format.channels,
            "mix_type": self.metadata.mix_type if self.metadata else None,
            "samples": self.audio.samples,
            "seconds": round(self.audio_format.duration_of(self.audio.samples), 3),
            "messages": self.audio.messages,
            "message_sizes": {str(size): count for size, count in self.audio.sizes.most_common(_MAX_SIZES)},
        }

    def _describe_clock(self) -> JsonObject:
        arrivals, drift = self.arrivals, self.drift
        first = arrivals.first if arrivals else None
        return {
            "first_audio": None if first is None else round(first, 3),
            "arrival_ms": spread_as_json(arrivals.intervals) if arrivals else None,
            "lateness_ms": spread_as_json(arrivals.lateness) if arrivals else None,
            "clock_drift_ppm": round(drift.ppm, 1) if drift else None,
            "clock_drift_uncertainty_ppm": round(drift.uncertainty, 1) if drift else None,
        }

    def _describe_mode(self) -> JsonObject | None:
        if self.mode is None:
            return None
        kind = "stream" if self.mode.streams else "clips"
        return {"mode": kind, "stream_rate": self.mode.stream_rate, "known_from": self.mode.source}
