"""
Checks of what an application sends, by simulated playout: each verdict of the simulation becomes a violation.
Playout ticks with the audio from jambonz, which the same clock drives, and only while there is something to play.
"""

from collections import OrderedDict
from collections.abc import Callable

from listenctl.inspection.message_checks.mark_and_clip_records import MAX_RECORDS, ClipRecord, MarkRecord
from listenctl.inspection.message_checks.stream_or_clips import CallMode
from listenctl.inspection.rule_violations import Culprit, MessagePlace, ViolationLog
from listenctl.inspection.settings import InspectionSettings
from listenctl.media.files.libsndfile import read_clip_wav
from listenctl.media.resampling import PromptResampler
from listenctl.protocol.application_commands import Command, KillAudio
from listenctl.protocol.audio import SAMPLE_BYTES, unpack_samples
from listenctl.protocol.jambonz_model.command_verdicts import CommandOutcome, Verdict, VerdictReason
from listenctl.protocol.jambonz_model.playout import TICKS_PER_SECOND, Playout
from listenctl.protocol.jambonz_model.rule_catalogue import VERDICT_RULES, Severity
from listenctl.protocol.listen_verb.listen_verb import BidirectionalAudio

TICK = 1 / TICKS_PER_SECOND
_CLIP_CALL_RATE = 8000
_MAX_UNDERRUN = 0.5
"""Seconds; a longer pause in a stream is intended."""
# Inaudible: -55 dB.
_SILENCE = 58
# Nothing changes after that: one tick answers one mark, and at most thirty are outstanding.
_QUIET_TICKS = 50
_MAX_BUFFERED = 1800.0
_MAX_PLACES = 4096
# The maximum that jambonz holds in its pre-buffer: 64 kHz into a call of 8 kHz.
_MAX_TAIL = SAMPLE_BYTES * 1280 * 8

# The next tick empties jambonz's buffer and drops what has arrived by then (listenctl-protocol(7) 6.3).
_AFTER_KILL = 0.04
_IDLE = 0.2
_MIN_TAIL = 0.005
# An application that returns the caller's audio always has some of it left.
_MIN_CUT_OFF = 0.5
_NEED_COMPLETE_CAPTURE = frozenset(
    {
        "stream-tail-held",
        "stream-cut-off",
        "mark-early",
        "mark-shifted",
        "mark-resampled",
        "marks-too-many",
        "clip-on-top",
        "clip-dropped",
        "clip-queue-full",
    }
)
_DEPEND_ON_MODE = ("stream-not-played", "clip-while-streaming")
_ANSWER_TIME = 2.0
"""Seconds in which jambonz answers marks and clips that it takes."""

SentMessage = Command | bytes | None
"""A command or a binary message of the application; None for messages that are missing from the capture."""


class PlayoutChecks:
    """Check the messages of the application in one call; ``phase`` is the time of any tick of jambonz's clock."""

    def __init__(
        self,
        violations: ViolationLog,
        settings: InspectionSettings,
        mode: CallMode,
        *,
        phase: float,
        on_played_audio: Callable[[float, int, bytes], None],
        is_proven: Callable[[], bool],
    ) -> None:
        option = BidirectionalAudio(streaming=mode.streams, sample_rate=mode.stream_rate or None)
        # No capture shows the rate of the call; by default assume no resampling, whose faults would not be certain.
        rate = settings.call_rate or mode.stream_rate or _CLIP_CALL_RATE
        self._playout = Playout(
            settings.profile, option, call_rate=rate, resampler=PromptResampler, wav_reader=read_clip_wav
        )
        self._violations = violations
        self._mode = mode
        self._rate = mode.stream_rate or _CLIP_CALL_RATE
        self._on_played_audio = on_played_audio  # takes what the caller hears: time, sample rate, 16-bit samples
        self._is_proven = is_proven  # returns whether jambonz's answers prove the mode
        self._complete = True
        self._due = phase
        self._quiet = _QUIET_TICKS
        self._places: OrderedDict[int, MessagePlace] = OrderedDict()
        self._last_audio: MessagePlace | None = None
        self._tail = bytearray()
        self._empty_since: float | None = None
        self._killed = False  # since the last tick
        self._killed_at: float | None = None
        self._first_underrun: float | None = None
        self._left = 0.0  # seconds not yet played at the end
        # What is a fault only if the mode is the detected one, which later answers may refute.
        self._mode_faults: list[tuple[str, MessagePlace, str]] = []
        self.ahead = 0.0  # maximum of buffered audio, in seconds
        self.underruns = 0
        self.underrun_seconds = 0.0  # of all underruns

    def take_message(self, place: MessagePlace, message: SentMessage) -> None:
        if message is None:
            # From here on it is unknown how much is buffered.
            self._complete = False
            return
        self.advance_to(place.at)
        if isinstance(message, bytes):
            if self._mode.streams:
                self._check_held_tail(place)
                self._check_audio_after_kill(place, message)
            self._take_audio(place, message)
        else:
            self._take_command(place, message)

    def advance_to(self, at: float) -> None:
        while self._due <= at:
            if self._quiet >= _QUIET_TICKS:
                self._due += TICK * (int((at - self._due) / TICK) + 1)
                return
            self._tick()

    def finish_call(self, at: float, *, whole: bool) -> None:
        """Play up to the end of the call, or of the capture if that is not ``whole``."""
        self.advance_to(at)
        if whole:
            self._left = self._playout.buffered + self._playout.held
            self._take_verdicts(at, self._playout.end_listen())
        self._report_mode_faults(at)
        if self._first_underrun is not None:
            times = f"{self.underruns} times" if self.underruns > 1 else "once"
            detail = f"the stream ran empty {times}, for {self.underrun_seconds:.2f} s in total"
            self._add_violation("stream-underrun", MessagePlace(self._first_underrun), detail)

    def _take_command(self, place: MessagePlace, command: Command) -> None:
        self._quiet = 0
        if isinstance(command, KillAudio):
            self._killed, self._killed_at = True, place.at
        verdicts = self._playout.take_command(command)
        self._places[self._playout.message_number] = place
        if len(self._places) > _MAX_PLACES:
            self._places.popitem(last=False)
        self._take_verdicts(place.at, verdicts)

    def _take_audio(self, place: MessagePlace, data: bytes) -> None:
        if not data or self._playout.buffered > _MAX_BUFFERED:
            return
        self._last_audio = place
        self._tail += data[-_MAX_TAIL:]
        if len(self._tail) > 4 * _MAX_TAIL:
            del self._tail[:-_MAX_TAIL]
        self._quiet = 0
        self._take_verdicts(place.at, self._playout.take_audio(data, fragments=place.fragments))
        self.ahead = max(self.ahead, self._playout.buffered)

    def _tick(self) -> None:
        playing = self._playout.buffered > 0
        tick = self._playout.play_tick()
        self._take_verdicts(self._due, tick.verdicts)
        if playing:
            self._end_underrun()
            self._quiet = 0
            self._on_played_audio(self._due, self._playout.call_rate, tick.audio)
            # After silence, as in a probe of the rate or at the end of an utterance, nobody hears a gap.
            empty = not self._playout.buffered and not self._killed and tick.audio.strip(b"\0")
            self._empty_since = self._due + TICK if empty else None
        else:
            self._quiet += 1
        self._killed = False
        self._due += TICK

    def _end_underrun(self) -> None:
        if self._empty_since is None or not self._playout.streams or not self._complete:
            return
        since, self._empty_since = self._empty_since, None
        seconds = self._due - since
        if TICK / 2 < seconds <= _MAX_UNDERRUN:
            if self._first_underrun is None:
                self._first_underrun = since
            self.underruns += 1
            self.underrun_seconds += seconds

    def _check_held_tail(self, place: MessagePlace) -> None:
        before = self._last_audio
        if before is None or not self._complete or place.at - before.at <= _IDLE:
            return
        held = self._held_tail()
        if held > _MIN_TAIL:
            late = place.at - before.at
            detail = f"the last {held * 1000:.0f} ms of an utterance were played {late:.1f} s late, with the next one"
            self._add_violation("stream-tail-held", before, detail)

    def _held_tail(self) -> float:
        """Return the seconds of sound that the pre-buffer holds back; 0 if it holds silence."""
        # Of a tail with half a sample, the first byte belongs to no sample.
        samples = min(round(self._playout.held * self._rate), len(self._tail) // SAMPLE_BYTES)
        tail = unpack_samples(bytes(self._tail[-samples * SAMPLE_BYTES :])) if samples else ()
        sound = next((index for index in range(len(tail), 0, -1) if abs(tail[index - 1]) > _SILENCE), 0)
        return sound / self._rate

    def _check_audio_after_kill(self, place: MessagePlace, data: bytes) -> None:
        if self._killed_at is None:
            return
        since = place.at - self._killed_at
        if since >= _AFTER_KILL:
            self._killed_at = None
        elif data.strip(b"\0"):
            detail = f"audio {since * 1000:.0f} ms after killAudio may be dropped with the earlier audio"
            self._add_violation("audio-after-kill", place, detail)

    def _take_verdicts(self, at: float, verdicts: tuple[Verdict, ...]) -> None:
        for verdict in verdicts:
            place = self._places.get(verdict.command) or self._last_audio or MessagePlace(at)
            if place.record is not None:
                place.record.add_verdict(at, verdict.reason, finished=verdict.outcome is CommandOutcome.FINISHED)
            rule = VERDICT_RULES.get(verdict.reason)
            if rule is None or not self._is_fault(verdict):
                continue
            if rule in _DEPEND_ON_MODE:
                if len(self._mode_faults) < MAX_RECORDS:
                    self._mode_faults.append((rule, place, verdict.sentence))
            elif self._complete or rule not in _NEED_COMPLETE_CAPTURE:
                self._add_violation(rule, place, verdict.sentence)

    def _report_mode_faults(self, at: float) -> None:
        """Report what the mode makes a fault; in a mode that is a guess, what jambonz had the time to answer."""
        guessed = not self._mode.stated and not self._is_proven()
        for rule, place, sentence in self._mode_faults:
            record = place.record
            if isinstance(record, MarkRecord) and (record.result == "playout" or record.is_of_tool):
                continue
            length = (record.seconds or 0.0) if isinstance(record, ClipRecord) else 0.0
            if not guessed or at - place.at - length > _ANSWER_TIME:
                self._add_violation(rule, place, sentence, severity=Severity.WARNING if guessed else None)

    def _is_fault(self, verdict: Verdict) -> bool:
        if verdict.reason is VerdictReason.CALL_ENDED:
            return self._left >= _MIN_CUT_OFF
        return verdict.wrong or verdict.reason is VerdictReason.ON_TOP

    def _add_violation(self, rule: str, place: MessagePlace, detail: str, *, severity: Severity | None = None) -> None:
        self._violations.add_violation_at(rule, place, Culprit.APPLICATION, detail, severity=severity)
