"""Checks of what an application sends by simulated playout: each verdict of the simulation becomes a violation."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from listenctl.inspection.message_checks.inspected_playout import InspectedPlayout, StreamStatistics
from listenctl.inspection.message_checks.stream_or_clips import CallMode
from listenctl.inspection.rule_catalogue import Severity
from listenctl.inspection.rule_violations import Culprit, MessagePlace, ViolationLog
from listenctl.inspection.settings import InspectionSettings
from listenctl.protocol.application_commands import Command, KillAudio
from listenctl.protocol.jambonz_model.command_verdicts import CommandOutcome, Verdict, VerdictReason

VERDICT_RULES: Mapping[VerdictReason, str] = MappingProxyType(
    {
        VerdictReason.NO_JSON: "command-no-json",
        VerdictReason.NO_TYPE: "command-no-type",
        VerdictReason.UNKNOWN_TYPE: "command-unknown",
        VerdictReason.NO_EFFECT: "command-no-effect",
        VerdictReason.NO_DATA: "clip-no-data",
        VerdictReason.NO_NAME: "mark-no-name",
        VerdictReason.ENDS_VERB_ONLY: "command-error",
        VerdictReason.STREAMING: "clip-while-streaming",
        VerdictReason.NOT_STREAMING: "stream-not-played",
        VerdictReason.UNSUPPORTED: "stream-not-played",
        VerdictReason.TAIL_HELD: "stream-tail-held",
        VerdictReason.CALL_ENDED: "stream-cut-off",
        VerdictReason.TOO_MANY_MARKS: "marks-too-many",
        VerdictReason.NAME_NOT_ESCAPED: "mark-name-unsafe",
        VerdictReason.SAMPLE_VALUE: "mark-early",
        VerdictReason.SHIFTED: "mark-shifted",
        VerdictReason.RESAMPLED: "mark-resampled",
        VerdictReason.NO_CONTENT_TYPE: "clip-no-content-type",
        VerdictReason.CONTENT_TYPE: "clip-content-type",
        VerdictReason.NO_CONTENT: "clip-no-content",
        VerdictReason.NO_AUDIO: "clip-no-audio",
        VerdictReason.WAV_UNREADABLE: "clip-wav-unreadable",
        VerdictReason.WAV_AS_RAW: "clip-wav-as-raw",
        VerdictReason.BASE64_ENDS: "clip-base64-cut",
        VerdictReason.RATE_MISSING: "clip-rate-missing",
        VerdictReason.RATE_NO_NUMBER: "clip-rate-string",
        VerdictReason.RATE_UNKNOWN: "clip-rate-unknown",
        VerdictReason.RATE_UNREADABLE: "clip-rate-unreadable",
        VerdictReason.RATE_IS_NOISE: "clip-rate-noise",
        VerdictReason.ID_MANGLED: "clip-id-unsafe",
        VerdictReason.ON_TOP: "clip-on-top",
        VerdictReason.QUEUE_EMPTIED: "clip-dropped",
        VerdictReason.QUEUE_FULL: "clip-queue-full",
    }
)

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
        self._violations = violations
        self._mode = mode
        self._is_proven = is_proven  # returns whether jambonz's answers prove the mode
        self._killed_at: float | None = None
        self._complete = True
        self._playout = InspectedPlayout(
            mode,
            settings.profile,
            call_rate=settings.call_rate,
            phase=phase,
            on_verdict=self._take_verdict,
            on_played_audio=on_played_audio,
        )

    @property
    def stream(self) -> StreamStatistics:
        return self._playout.stream

    def take_message(self, place: MessagePlace, message: SentMessage) -> None:
        if message is None:
            # From here on it is unknown how much is buffered.
            self._complete = False
            self._playout.ignore_underruns()
            return
        if isinstance(message, bytes):
            self._playout.advance_to(place.at)
            if self._mode.streams:
                self._check_held_tail(place)
                self._check_audio_after_kill(place, message)
            self._playout.take_audio(place, message)
            return
        if isinstance(message, KillAudio):
            self._killed_at = place.at
        self._playout.take_command(place, message)

    def advance_to(self, at: float) -> None:
        self._playout.advance_to(at)

    def finish_call(self, at: float, *, whole: bool) -> None:
        """Play up to the end of the call, or of the capture if that is not ``whole``."""
        if whole:
            self._playout.end_call(at)
        else:
            self._playout.advance_to(at)
        stream = self.stream
        if stream.first_underrun is not None:
            times = f"{stream.underruns} times" if stream.underruns > 1 else "once"
            detail = f"the stream ran empty {times}, for {stream.underrun_seconds:.2f} s in total"
            self._add_violation("stream-underrun", MessagePlace(stream.first_underrun), detail)

    def _check_held_tail(self, place: MessagePlace) -> None:
        before = self._playout.last_audio
        if before is None or not self._complete or place.at - before.at <= _IDLE:
            return
        held = self._playout.held_tail()
        if held > _MIN_TAIL:
            late = place.at - before.at
            detail = f"the last {held * 1000:.0f} ms of an utterance were played {late:.1f} s late, with the next one"
            self._add_violation("stream-tail-held", before, detail)

    def _check_audio_after_kill(self, place: MessagePlace, data: bytes) -> None:
        if self._killed_at is None:
            return
        since = place.at - self._killed_at
        if since >= _AFTER_KILL:
            self._killed_at = None
        elif data.strip(b"\0"):
            detail = f"audio {since * 1000:.0f} ms after killAudio may be dropped with the earlier audio"
            self._add_violation("audio-after-kill", place, detail)

    def _take_verdict(self, at: float, place: MessagePlace, verdict: Verdict) -> None:
        if place.record is not None:
            place.record.add_verdict(at, verdict.reason, finished=verdict.outcome is CommandOutcome.FINISHED)
        rule = VERDICT_RULES.get(verdict.reason)
        if rule and (self._complete or rule not in _NEED_COMPLETE_CAPTURE) and self._is_fault(verdict):
            self._add_violation(rule, place, verdict.sentence, severity=self._severity_of(rule))

    def _is_fault(self, verdict: Verdict) -> bool:
        if verdict.reason is VerdictReason.CALL_ENDED:
            return self.stream.left >= _MIN_CUT_OFF
        return verdict.wrong or verdict.reason is VerdictReason.ON_TOP

    def _severity_of(self, rule: str) -> Severity | None:
        guessed = rule in _DEPEND_ON_MODE and not self._mode.stated and not self._is_proven()
        return Severity.WARNING if guessed else None

    def _add_violation(self, rule: str, place: MessagePlace, detail: str, *, severity: Severity | None = None) -> None:
        self._violations.add_violation_at(rule, place, Culprit.APPLICATION, detail, severity=severity)
