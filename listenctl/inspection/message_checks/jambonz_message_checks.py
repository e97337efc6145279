"""Checks of what jambonz sends: metadata, audio with its gaps and clock, and text messages."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from listenctl.capture.capture_events import FramesLost
from listenctl.inspection.message_checks.arrival_times import ArrivalTimes, MeasuredDrift
from listenctl.inspection.message_checks.mark_and_clip_records import MAX_RECORDS
from listenctl.inspection.rule_violations import Culprit, MessagePlace, ViolationLog
from listenctl.json_lines import JsonObject
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.call_metadata import MAX_FIRST_TEXT_BYTES, CallMetadata
from listenctl.protocol.gaps.gap import Gap, GapKind
from listenctl.protocol.jambonz_messages import Dtmf, JambonzMessage, Mark, PlayDone, SessionSummary, UnknownMessage
from listenctl.protocol.listen_session import Sender

if TYPE_CHECKING:
    from listenctl.media.dtmf_detector import CallDtmfDetector, DtmfTone

_MAX_SHOWN = 60
# Headers of a masked frame with a 7-bit and with a 16-bit length.
_SHORT_HEADER, _HEADER = 6, 8
_MIN_LONG_PAYLOAD = 126
_MAX_SIZES = 256
_MAX_GAPS = 10_000
_NOTABLE_DRIFT_PPM = 100
# No clock is off by so much; audio at such a pace has another sample rate.
_ANOTHER_RATE = 0.2
_MIN_PACE_SECONDS = 3.0
_MIN_PACE_MESSAGES = 50
_RATE_STEP = 8000
_KINDS = {Dtmf: "dtmf", Mark: "mark", PlayDone: "playDone", SessionSummary: "session:summary"}


@dataclass(frozen=True, slots=True)
class DtmfRecord:
    """A DTMF digit that jambonz reported (``channel`` None) or that was detected on a channel, counted from 1."""

    at: float
    position: int
    digit: str
    duration_ms: float | None
    channel: int | None = None

    def to_json(self) -> JsonObject:
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
    """Received audio; ``sizes`` counts messages by their bytes."""

    samples: int = 0
    messages: int = 0
    sizes: Counter[int] = field(default_factory=Counter)


@dataclass(slots=True)
class CaptureCompleteness:
    """Received and missing samples per channel: dropped by jambonz, not sent while paused, not captured."""

    received: int = 0
    lost: int = 0
    paused: int = 0
    uncaptured: int = 0
    unknown: str = ""  # why completeness is unknown; empty if it is known
    unmeasured: bool = False  # an unknown amount is missing from the capture

    @property
    def complete(self) -> bool | None:
        """Whether nothing is missing except in pauses; None if unknown."""
        if self.lost or self.uncaptured:
            return False
        return None if self.unknown else True

    @property
    def share(self) -> float | None:
        """The received share of all samples except in pauses; None if unknown."""
        sent = self.received + self.lost + self.uncaptured
        if sent and not (self.unmeasured and sent == self.received):
            return self.received / sent
        return None if self.unknown else 1.0

    def count_gap(self, gap: Gap) -> None:
        match gap.kind:
            case GapKind.UNCAPTURED:
                self.uncaptured += gap.missing
            case GapKind.PAUSE:
                self.paused += gap.missing
            case GapKind.HOLE:
                self.lost += gap.missing
            case _ if gap.missing < 0:
                # A burst brought audio that had been counted as missing, mostly as paused.
                back = min(-gap.missing, self.paused)
                self.paused -= back
                self.lost = max(0, self.lost + gap.missing + back)

    def to_json(self) -> JsonObject:
        return {
            "received_samples": self.received,
            "lost_samples": self.lost,
            "paused_samples": self.paused,
            "uncaptured_samples": self.uncaptured,
            "completeness": None if self.share is None else round(self.share, 6),
            "complete": self.complete,
            "complete_unknown": self.unknown if self.complete is None else None,
        }


class JambonzMessageChecks:
    def __init__(self, violations: ViolationLog, *, detect_dtmf: bool) -> None:
        self._violations = violations
        self._detect_dtmf = detect_dtmf
        self._detector: CallDtmfDetector | None = None
        self._holes: list[int] = []
        self._missing_at_end = 0, 0  # position, and the missing samples after it as far as they are known
        self._format = AudioFormat(8000, 1)
        self._frame_bytes = self._format.frame_bytes
        self.arrivals: ArrivalTimes | None = None
        self.counts = AudioCounts()
        self.completeness = CaptureCompleteness()
        self.gaps: list[Gap] = []
        self.keys: list[DtmfRecord] = []
        self.texts: Counter[str] = Counter()
        self.over_listed = 0  # number of keys that ``keys`` omits

    def take_metadata(self, at: float, metadata: CallMetadata, audio_format: AudioFormat, *, late: bool) -> None:
        """Check the metadata, which has no ``raw`` text if none came."""
        self.set_format(audio_format)
        if late:
            self._add_violation("first-text-late", at, "the metadata came after the first audio")
        if metadata.raw:
            for rule, detail in _check_first_text(metadata):
                self._add_violation(rule, at, detail)
        else:
            detail = f"no metadata; assuming {audio_format.sample_rate} Hz, {audio_format.channels} channel(s)"
            self._add_violation("first-text-missing", at, detail)

    def set_format(self, audio_format: AudioFormat) -> None:
        self._format = audio_format
        self._frame_bytes = audio_format.frame_bytes
        self.arrivals = ArrivalTimes(audio_format.sample_rate)
        if self._detect_dtmf:
            from listenctl.media.dtmf_detector import MIN_DTMF_RATE, CallDtmfDetector

            if audio_format.sample_rate >= MIN_DTMF_RATE:
                self._detector = CallDtmfDetector(audio_format, self.counts.samples)

    def take_audio(self, at: float, data: bytes) -> None:
        counts, size = self.counts, len(data)
        counts.messages += 1
        counts.samples += size // self._frame_bytes
        if size in counts.sizes or len(counts.sizes) < _MAX_SIZES:
            counts.sizes[size] += 1
        self._violations.position = counts.samples
        if self.arrivals:
            self.arrivals.add_message(at, counts.samples)
        if self._detector:
            self._add_tones(self._detector.feed(data))

    def take_audio_run(self, times: Sequence[float], data: bytes) -> None:
        """Take messages of equal size, each of whole sample frames."""
        size = len(data) // len(times)
        counts = self.counts
        if self._detector or self.arrivals is None or size not in counts.sizes:
            for number, at in enumerate(times):
                self.take_audio(at, data[number * size : (number + 1) * size])
            return
        self.arrivals.add_messages(times, counts.samples, size // self._frame_bytes)
        counts.messages += len(times)
        counts.samples += len(data) // self._frame_bytes
        counts.sizes[size] += len(times)
        self._violations.position = counts.samples

    def lose_frames(self, at: float, lost: FramesLost) -> None:
        if lost.sender is Sender.JAMBONZ:
            self.completeness.unmeasured = self.completeness.unmeasured or lost.size is None
            size = "of unknown length" if self.completeness.unmeasured else "too short to be measured"
            self.completeness.unknown = f"the data missing from the capture is {size}"
            self._count_missing(self.samples_in(lost))
            if self.arrivals:
                self.arrivals.restart()
            if len(self._holes) < _MAX_GAPS:
                self._holes.append(self.counts.samples)
        size = "some bytes" if lost.size is None else f"{lost.size} bytes"
        sender = "jambonz" if lost.sender is Sender.JAMBONZ else "the application"
        detail = f"{size} sent by {sender} are missing: {lost.detail}"
        self._violations.add_violation("capture-hole", at, Culprit.CAPTURE, detail)

    def _count_missing(self, samples: int | None) -> None:
        """Count missing samples in case that no audio follows, which would show how many are missing."""
        position, before = self._missing_at_end
        before = before if position == self.counts.samples else 0
        self._missing_at_end = self.counts.samples, before + (samples or 0)

    def samples_in(self, lost: FramesLost) -> int | None:
        """Return the missing samples if whole messages of the usual size are missing; None if that is unknown."""
        if lost.size is None or not self.counts.sizes:
            return None
        usual, _ = self.counts.sizes.most_common(1)[0]
        messages, rest = divmod(lost.size, usual + (_HEADER if usual >= _MIN_LONG_PAYLOAD else _SHORT_HEADER))
        return None if rest else messages * usual // self._frame_bytes

    def take_gap(self, at: float, gap: Gap) -> None:
        captured = gap.kind is not GapKind.UNCAPTURED
        if self.arrivals and captured:
            self.arrivals.skip_gap(gap)
        if len(self.gaps) < _MAX_GAPS:
            self.gaps.append(gap)
        self.completeness.count_gap(gap)
        if captured and (found := _violation_of_gap(gap)):
            rule, culprit, detail = found
            # The gap, and the audio since then, took this long.
            since = (self.counts.samples - gap.position + max(0, gap.missing)) / self._format.sample_rate
            self._violations.add_violation_at(rule, MessagePlace(max(0.0, at - since), gap.position), culprit, detail)

    def take_message(self, at: float, message: JambonzMessage, *, glued: bool) -> None:
        """Take a text message; ``glued`` means that it is not the first one in its WebSocket message."""
        if glued:
            self._add_violation("texts-glued", at, "several JSON documents in one message")
        self.texts[_KINDS.get(type(message), "other")] += 1
        match message:
            case Dtmf(digit=digit):
                self._add_key(DtmfRecord(at, self.counts.samples, digit, message.duration_ms))
            case UnknownMessage(value=None):
                self._add_violation("text-broken", at, f"a text that is not JSON: {message.text[:_MAX_SHOWN]!r}")
            case UnknownMessage():
                self._add_violation("text-unknown", at, f"a text of an unknown type: {message.text[:_MAX_SHOWN]!r}")

    def finish_call(self, measured_rate: int | None) -> MeasuredDrift | None:
        """Finish the checks; return the drift of jambonz's clock unless its audio comes at another rate."""
        if self._detector:
            self._add_tones(self._detector.end_audio())
        self.completeness.received = self.counts.samples
        position, missing = self._missing_at_end
        if position == self.counts.samples:
            self.completeness.uncaptured += missing
        arrivals = self.arrivals
        if arrivals is None or arrivals.first is None:
            return None
        arrivals.finish()
        self.keys.sort(key=lambda key: key.at)
        positions = [*(gap.position for gap in self.gaps), *self._holes]
        drift = None if measured_rate else arrivals.measure_drift(positions)
        arrivals.discard_windows()
        if drift and abs(drift.ppm) - drift.uncertainty > _NOTABLE_DRIFT_PPM:
            pace = "slower" if drift.ppm > 0 else "faster"
            detail = f"jambonz's clock is {abs(drift.ppm):.0f} ± {drift.uncertainty:.0f} ppm {pace} than the capture's"
            self._add_violation("clock-drift", arrivals.last, detail)
        return drift

    def _add_tones(self, keys: "Sequence[DtmfTone]") -> None:
        arrivals = self.arrivals
        for key in keys:
            behind = (self.counts.samples - key.position) / self._format.sample_rate
            at = max(0.0, (arrivals.last if arrivals else 0.0) - behind)
            self._add_key(DtmfRecord(at, key.position, key.digit, key.duration_ms, key.channel))

    def _add_key(self, key: DtmfRecord) -> None:
        if len(self.keys) < MAX_RECORDS:
            self.keys.append(key)
        else:
            self.over_listed += 1

    def _add_violation(self, rule: str, at: float, detail: str) -> None:
        self._violations.add_violation(rule, at, Culprit.JAMBONZ, detail)


def _check_first_text(metadata: CallMetadata) -> Iterator[tuple[str, str]]:
    """Yield rule and detail of each violation in metadata (listenctl-protocol(7) 2)."""
    if not metadata.valid:
        cut = len(metadata.raw) >= MAX_FIRST_TEXT_BYTES
        yield "first-text-cut" if cut else "first-text-invalid", "; ".join(metadata.repairs)
    if isinstance(metadata.fields.get("sampleRate"), str):
        yield "sample-rate-string", "sampleRate is a string"
    if metadata.sample_rate is None:
        yield "sample-rate-missing", "there is no valid sampleRate"
    elif metadata.sample_rate % _RATE_STEP:
        yield "sample-rate-odd", f"sampleRate is {metadata.sample_rate}"
    if metadata.mix_type is None and not metadata.is_member_tap:
        yield "mix-type-missing", "there is no valid mixType"
    if metadata.call_sid is None:
        yield "call-sid-missing", "there is no callSid"
    if metadata.rest:
        yield "texts-glued", "another JSON document follows in the first text"


def _violation_of_gap(gap: Gap) -> tuple[str, Culprit, str] | None:
    length = f"{'at least ' if gap.at_least else ''}{gap.length:.2f} s"
    match gap.kind:
        case GapKind.HOLE:
            return "audio-lost", Culprit.APPLICATION, f"jambonz dropped {length} of audio that was not read in time"
        case GapKind.PAUSE:
            return "audio-paused", Culprit.JAMBONZ, f"no audio was sent for {length}"
        case GapKind.BURST if not gap.position:
            return "audio-backlog", Culprit.APPLICATION, f"{length} of audio before the connection came all at once"
        case GapKind.BURST:
            return "audio-late", Culprit.UNKNOWN, f"audio was up to {length} late, then came all at once"
        case GapKind.LATE_START:
            return "audio-late-start", Culprit.JAMBONZ, f"the first audio came {length} after the handshake"
    return None
