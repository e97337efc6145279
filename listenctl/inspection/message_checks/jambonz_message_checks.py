"""What jambonz sends, weighed: the audio with its gaps and its clock, the first text and those that follow."""

from collections import Counter
from collections.abc import Sequence

from listenctl.capture.capture_events import FramesLost
from listenctl.inspection.call_report import MAX_LISTED, AudioCounts, Completeness, DtmfRecord
from listenctl.inspection.message_checks.arrival_times import ArrivalTimes, MeasuredDrift
from listenctl.inspection.message_checks.first_text_checks import check_first_text
from listenctl.inspection.message_checks.mark_and_clip_records import MessagePlace
from listenctl.inspection.rule_catalogue import Culprit
from listenctl.inspection.rule_violations import ViolationLog
from listenctl.media.dtmf_detector import MIN_DTMF_RATE, CallDtmfDetector, DtmfTone
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.call_metadata import CallMetadata
from listenctl.protocol.gaps.gap_ledger import Gap, GapKind
from listenctl.protocol.jambonz_messages import Dtmf, JambonzMessage, Mark, PlayDone, SessionSummary, UnknownMessage
from listenctl.protocol.listen_session import Sender

_SHOWN = 60
_TOO_SMALL = "what is missing in the capture is too little to be measured"
# Of a masked frame, before its payload.
_SHORT_HEAD, _HEAD = 6, 8
_SHORT = 126
_MOST_SIZES = 256
_MOST_GAPS = 10_000
_NOTABLE_DRIFT = 100
# The fastest that a clock is off; what is more is another rate.
_ANOTHER_RATE = 0.2
_SHORTEST_PACE = 3.0
_FEWEST_MESSAGES = 50


class JambonzMessageChecks:
    """Follow what jambonz sends in one call."""

    def __init__(self, findings: ViolationLog, *, detect_dtmf: bool) -> None:
        self._findings = findings
        self._detect_dtmf = detect_dtmf
        self._listener: CallDtmfDetector | None = None
        self._holes: list[int] = []
        self._format = AudioFormat(8000, 1)
        self._frame_bytes = self._format.frame_bytes
        self.arrivals: ArrivalTimes | None = None
        self.counts = AudioCounts()
        self.completeness = Completeness()
        self.gaps: list[Gap] = []
        self.keys: list[DtmfRecord] = []
        self.texts: Counter[str] = Counter()
        self.over_listed = 0

    def start(self, at: float, metadata: CallMetadata, audio_format: AudioFormat, *, late: bool = False) -> None:
        """Take the metadata, or that there are none."""
        self.begin(audio_format)
        if late:
            self._findings.add("first-text-late", at, Culprit.JAMBONZ, "the metadata came after the first audio")
        if metadata.raw:
            for rule, sender, detail in check_first_text(metadata):
                self._findings.add(rule, at, sender, detail)
        else:
            detail = f"no metadata came; taken for {audio_format.sample_rate} Hz, {audio_format.channels} channel(s)"
            self._findings.add("first-text-missing", at, Culprit.JAMBONZ, detail)

    def begin(self, audio_format: AudioFormat) -> None:
        """Take what follows for audio of this format."""
        self._format = audio_format
        self._frame_bytes = audio_format.frame_bytes
        self.arrivals = ArrivalTimes(audio_format.sample_rate)
        if self._detect_dtmf and audio_format.sample_rate >= MIN_DTMF_RATE:
            self._listener = CallDtmfDetector(audio_format, self.counts.samples)

    def audio(self, at: float, data: bytes) -> None:
        """Take whole sample frames."""
        counts, size = self.counts, len(data)
        counts.messages += 1
        counts.samples += size // self._frame_bytes
        if size in counts.sizes or len(counts.sizes) < _MOST_SIZES:
            counts.sizes[size] += 1
        self._findings.position = counts.samples
        if self.arrivals:
            self.arrivals.add(at, counts.samples)
        if self._listener:
            self._hear(self._listener.feed(data))

    def audio_run(self, times: Sequence[float], data: bytes) -> None:
        """Take messages of equal size, each whole sample frames."""
        size = len(data) // len(times)
        counts = self.counts
        if self._listener or self.arrivals is None or size not in counts.sizes:
            for number, at in enumerate(times):
                self.audio(at, data[number * size : (number + 1) * size])
            return
        self.arrivals.add_all(times, counts.samples, size // self._frame_bytes)
        counts.messages += len(times)
        counts.samples += len(data) // self._frame_bytes
        counts.sizes[size] += len(times)
        self._findings.position = counts.samples

    def lose(self, at: float, lost: FramesLost) -> None:
        """Take notice that frames are missing in the capture here."""
        if lost.sender is Sender.JAMBONZ:
            self.completeness.unknown = _TOO_SMALL
            if self.arrivals:
                self.arrivals.go_on()
            if len(self._holes) < _MOST_GAPS:
                self._holes.append(self.counts.samples)
        size = "some bytes" if lost.size is None else f"{lost.size} bytes"
        sender = "jambonz" if lost.sender is Sender.JAMBONZ else "the application"
        detail = f"{size} of what {sender} sent are missing: {lost.detail}"
        self._findings.add("capture-hole", at, Culprit.CAPTURE, detail)

    def samples_in(self, lost: FramesLost) -> int | None:
        """Return how much audio is missing where it is whole messages as they usually are; None if that isn't known."""
        if lost.size is None or not self.counts.sizes:
            return None
        usual, _ = self.counts.sizes.most_common(1)[0]
        messages, rest = divmod(lost.size, usual + (_HEAD if usual >= _SHORT else _SHORT_HEAD))
        return None if rest else messages * usual // self._frame_bytes

    def gap(self, at: float, gap: Gap) -> None:
        """Take an irregularity that is known now."""
        uncaptured = gap.kind is GapKind.UNCAPTURED
        if self.arrivals and not uncaptured:
            self.arrivals.gap(gap)
        if len(self.gaps) < _MOST_GAPS:
            self.gaps.append(gap)
        rate = self._format.sample_rate
        # When it began: what has come since and what is missing took that long.
        began = at - (self.counts.samples - gap.position + max(0, gap.missing)) / rate
        place = MessagePlace(max(0.0, began), gap.position)
        self._count(gap, uncaptured=uncaptured)
        if not uncaptured:
            self._tell(gap, place)

    def message(self, at: float, message: JambonzMessage, *, glued: bool) -> None:
        """Take a text, ``glued`` if it is another in the same message."""
        if glued:
            self._findings.add("texts-glued", at, Culprit.JAMBONZ, "several texts in one message")
        self.texts[_kind(message)] += 1
        match message:
            case Dtmf(digit=digit):
                self._list(DtmfRecord(at, self.counts.samples, digit, message.duration_ms))
            case UnknownMessage(value=None):
                self._findings.add(
                    "text-broken", at, Culprit.JAMBONZ, f"a text that is no JSON: {message.text[:_SHOWN]!r}"
                )
            case UnknownMessage():
                self._findings.add(
                    "text-unknown", at, Culprit.JAMBONZ, f"a text of no known kind: {message.text[:_SHOWN]!r}"
                )

    def finish(self) -> MeasuredDrift | None:
        """Settle what the end of the call settles; return how jambonz's clock runs."""
        if self._listener:
            self._hear(self._listener.end_audio())
        self.completeness.received = self.counts.samples
        arrivals = self.arrivals
        if arrivals is None or arrivals.first is None:
            return None
        arrivals.finish()
        self.keys.sort(key=lambda key: key.at)
        drift = (
            None
            if self._is_of_another_rate(arrivals)
            else arrivals.drift([*(gap.position for gap in self.gaps), *self._holes])
        )
        arrivals.forget()
        if drift and abs(drift.ppm) - drift.uncertainty > _NOTABLE_DRIFT:
            pace = "slower" if drift.ppm > 0 else "faster"
            detail = f"jambonz's clock is {abs(drift.ppm):.0f} ± {drift.uncertainty:.0f} ppm {pace} than the capture's"
            self._findings.add("clock-drift", arrivals.last, Culprit.JAMBONZ, detail)
        return drift

    def _is_of_another_rate(self, arrivals: ArrivalTimes) -> bool:
        """Tell whether audio comes at another pace than its format says, message by message and on the whole."""
        first, rate, counts = arrivals.first or 0.0, self._format.sample_rate, self.counts
        elapsed = arrivals.last - first
        if elapsed < _SHORTEST_PACE or counts.messages < _FEWEST_MESSAGES:
            return False
        usual, _ = counts.sizes.most_common(1)[0]
        each = self._format.duration(usual // self._format.frame_bytes) / max(arrivals.intervals.quantile(0.5), 1e-4)
        whole = self._format.duration(counts.samples) / elapsed
        if abs(whole - 1) < _ANOTHER_RATE or abs(each / whole - 1) > _ANOTHER_RATE:
            return False
        detail = f"audio said to be {rate} Hz in {self._format.channels} channel(s) comes {whole:.2f} times as fast"
        self._findings.at_place("format-wrong", MessagePlace(first, 0), Culprit.JAMBONZ, detail)
        return True

    def _count(self, gap: Gap, *, uncaptured: bool) -> None:
        completeness = self.completeness
        if uncaptured:
            completeness.uncaptured += gap.missing
        elif gap.kind is GapKind.PAUSE:
            completeness.paused += gap.missing
        elif gap.kind is GapKind.HOLE:
            completeness.lost += gap.missing
        elif gap.missing < 0:
            # A burst brought what had been given up, mostly as paused.
            back = min(-gap.missing, completeness.paused)
            completeness.paused -= back
            completeness.lost = max(0, completeness.lost + gap.missing + back)

    def _tell(self, gap: Gap, place: MessagePlace) -> None:
        length = f"{'at least ' if gap.at_least else ''}{gap.length:.2f} s"
        match gap.kind:
            case GapKind.HOLE:
                detail = f"{length} of audio were dropped by jambonz, because they weren't taken in time"
                self._findings.at_place("audio-lost", place, Culprit.APPLICATION, detail)
            case GapKind.PAUSE:
                detail = f"no audio was sent for {length}"
                self._findings.at_place("audio-paused", place, Culprit.JAMBONZ, detail)
            case GapKind.BURST if not gap.position:
                detail = f"the audio of the {length} before the connection came all at once"
                self._findings.at_place("audio-backlog", place, Culprit.APPLICATION, detail)
            case GapKind.BURST:
                detail = f"audio was up to {length} late, then came all at once"
                self._findings.at_place("audio-late", place, Culprit.NETWORK, detail)
            case GapKind.LATE_START:
                detail = f"the first audio came {length} after the handshake"
                self._findings.at_place("audio-late-start", place, Culprit.JAMBONZ, detail)

    def _hear(self, keys: Sequence[DtmfTone]) -> None:
        arrivals = self.arrivals
        for key in keys:
            behind = (self.counts.samples - key.position) / self._format.sample_rate
            at = max(0.0, (arrivals.last if arrivals else 0.0) - behind)
            self._list(DtmfRecord(at, key.position, key.digit, key.duration_ms, key.channel))

    def _list(self, key: DtmfRecord) -> None:
        if len(self.keys) < MAX_LISTED:
            self.keys.append(key)
        else:
            self.over_listed += 1


def _kind(message: JambonzMessage) -> str:
    match message:
        case Dtmf():
            return "dtmf"
        case Mark():
            return "mark"
        case PlayDone():
            return "playDone"
        case SessionSummary():
            return "session:summary"
    return "other"
