"""Hold what an application sends against what jambonz makes of it: the playout's verdicts become violations."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from listenctl.inspection.message_checks.inspected_playout import InspectedPlayout, StreamStatistics, TimedVerdict
from listenctl.inspection.message_checks.mark_and_clip_records import MessagePlace
from listenctl.inspection.message_checks.stream_or_clips import CallMode
from listenctl.inspection.rule_catalogue import Culprit, Severity
from listenctl.inspection.rule_violations import ViolationLog
from listenctl.inspection.settings import InspectionSettings
from listenctl.protocol.application_commands import Command, KillAudio
from listenctl.protocol.jambonz_model.command_verdicts import Verdict

VERDICT_RULES: Mapping[str, str] = MappingProxyType(
    {
        "no-json": "command-no-json",
        "no-type": "command-no-type",
        "unknown-type": "command-unknown",
        "no-effect": "command-no-effect",
        "no-data": "clip-no-data",
        "no-name": "mark-no-name",
        "ends-verb-only": "command-error",
        "streaming": "clip-while-streaming",
        "not-streaming": "stream-not-played",
        "unsupported": "stream-not-played",
        "tail-held": "stream-tail-held",
        "call-ended": "stream-cut-off",
        "too-many-marks": "marks-too-many",
        "name-not-escaped": "mark-name-unsafe",
        "sample-value": "mark-early",
        "shifted": "mark-shifted",
        "resampled": "mark-resampled",
        "no-content-type": "clip-no-content-type",
        "content-type": "clip-content-type",
        "no-content": "clip-no-content",
        "no-audio": "clip-no-audio",
        "wav-unreadable": "clip-wav-unreadable",
        "wav-as-raw": "clip-wav-as-raw",
        "base64-ends": "clip-base64-cut",
        "rate-missing": "clip-rate-missing",
        "rate-no-number": "clip-rate-string",
        "rate-unknown": "clip-rate-unknown",
        "rate-unreadable": "clip-rate-unreadable",
        "rate-is-noise": "clip-rate-noise",
        "id-mangled": "clip-id-unsafe",
        "on-top": "clip-on-top",
        "queue-emptied": "clip-dropped",
        "queue-full": "clip-queue-full",
    }
)

OTHERS = frozenset(
    {"forgotten", "killed", "ended", "nothing-playing", "too-soon", "unanswered", "fragments-too-long", "disabled"}
)
"""Reasons without a rule: what was asked for, what is found by other means, and what can't be known from outside."""


PlayedAudioCallback = Callable[[float, int, bytes], None]

# The next tick empties jambonz's buffer, whatever has come by then (protocol.md 6.3).
_AFTER_KILL = 0.04
_IDLE = 0.2
_SHORTEST_TAIL = 0.005
# Whoever sends back what it hears is cut off by that much.
_NOTABLE_REST = 0.5
# What may be missing in the capture decides on them.
_DEPEND_ON_ALL = frozenset(
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


class UncapturedMessages:
    """Stands for what the application sent and the capture lacks."""


UNCAPTURED_MESSAGES = UncapturedMessages()


class PlayoutChecks:
    """
    Play one call and say what is wrong with what was sent.

    Args:
        phase: time of a tick of jambonz's clock.
        proven: tells whether jambonz has shown the mode by an answer.
    """

    def __init__(
        self,
        findings: ViolationLog,
        settings: InspectionSettings,
        mode: CallMode,
        *,
        phase: float,
        hear: PlayedAudioCallback,
        proven: Callable[[], bool],
    ) -> None:
        self._findings = findings
        self._mode = mode
        self._proven = proven
        self._killed_at: float | None = None
        self._whole = True
        self._player = InspectedPlayout(
            mode, settings.profile, call_rate=settings.call_rate, phase=phase, judge=self._judge, hear=hear
        )

    @property
    def stream(self) -> StreamStatistics:
        """How the stream was played."""
        return self._player.stream

    def take(self, place: MessagePlace, item: Command | bytes | UncapturedMessages) -> None:
        """Take a command or a binary message, or notice that some are missing."""
        if isinstance(item, UncapturedMessages):
            # How much waits to be played is never known again.
            self._whole = False
            self._player.doubt()
            return
        if isinstance(item, bytes):
            self._player.advance(place.at)
            if self._mode.streams:
                self._check_tail(place)
                self._check_kill(place, item)
            self._player.audio(place, item)
            return
        if isinstance(item, KillAudio):
            self._killed_at = place.at
        self._player.command(place, item)

    def advance(self, at: float) -> None:
        """Take notice of the time."""
        self._player.advance(at)

    def finish(self, at: float, *, whole: bool = True) -> None:
        """Play to the end, which isn't that of the call unless ``whole``."""
        if whole:
            self._player.finish(at)
        else:
            self._player.advance(at)
        stream = self.stream
        if stream.first_underrun is not None:
            count = f"{stream.underruns} times" if stream.underruns > 1 else "once"
            detail = f"the stream ran dry {count}, for {stream.underrun_seconds:.2f} s in all"
            self._findings.at_place("stream-underrun", MessagePlace(stream.first_underrun), Culprit.APPLICATION, detail)

    def _check_tail(self, place: MessagePlace) -> None:
        before = self._player.last_audio
        if before is None or not self._whole or place.at - before.at <= _IDLE:
            return
        held = self._player.held_tail()
        if held > _SHORTEST_TAIL:
            late = place.at - before.at
            detail = f"the last {held * 1000:.0f} ms of an utterance were heard {late:.1f} s late, with the next one"
            self._findings.at_place("stream-tail-held", before, Culprit.APPLICATION, detail)

    def _check_kill(self, place: MessagePlace, data: bytes) -> None:
        if self._killed_at is None:
            return
        since = place.at - self._killed_at
        if since >= _AFTER_KILL:
            self._killed_at = None
        elif data.strip(b"\0"):
            detail = f"audio {since * 1000:.0f} ms after killAudio may be dropped with what came before"
            self._findings.at_place("audio-after-kill", place, Culprit.APPLICATION, detail)

    def _judge(self, judged: TimedVerdict) -> None:
        verdict, record = judged.verdict, judged.place.record
        if record is not None:
            record.judge(judged.at, verdict)
        rule = VERDICT_RULES.get(verdict.reason)
        if rule and (self._whole or rule not in _DEPEND_ON_ALL) and self._is_fault(verdict):
            severity = self._severity_of(rule)
            detail = verdict.sentence
            self._findings.at_place(rule, judged.place, Culprit.APPLICATION, detail, severity=severity)

    def _is_fault(self, verdict: Verdict) -> bool:
        if verdict.reason == "call-ended":
            return self.stream.left >= _NOTABLE_REST
        return verdict.wrong or verdict.reason == "on-top"

    def _severity_of(self, rule: str) -> Severity | None:
        """Return a milder severity where the mode is but a guess."""
        guessed = rule in _DEPEND_ON_MODE and not self._mode.stated and not self._proven()
        return Severity.WARNING if guessed else None
