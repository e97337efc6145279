"""Checks of what the application sends. They depend on the mode of the call, so messages wait until it is known."""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from math import inf
from typing import TYPE_CHECKING, TypedDict

from listenctl.inspection.message_checks.mark_and_clip_records import (
    MAX_RECORDS,
    ClipRecord,
    MarkRecord,
    SentClips,
    SentMarks,
)
from listenctl.inspection.message_checks.stream_or_clips import CallMode, CallModeEvidence
from listenctl.inspection.rule_violations import Culprit, MessagePlace, ViolationLog
from listenctl.inspection.settings import InspectionSettings
from listenctl.protocol.application_commands import (
    ClearMarks,
    Command,
    Disconnect,
    MarkCommand,
    PlayAudio,
    UnknownCommand,
)
from listenctl.protocol.audio import SAMPLE_BYTES
from listenctl.protocol.jambonz_messages import JambonzMessage, Mark, PlayDone, UnknownMessage
from listenctl.protocol.jambonz_model.command_verdicts import VerdictReason
from listenctl.protocol.listen_session import Sender

if TYPE_CHECKING:
    from listenctl.inspection.message_checks.playout_checks import PlayoutChecks, SentMessage

_MAX_WAIT = 10.0
_MAX_WAITING = 1000
_MAX_WAITING_BYTES = 4 * 1024 * 1024
_ANSWER_TIME = 2.0
_CLOSE_TIME = 5.0
_MAX_SHOWN = 40
_PLAY_DONE = '"playDone"'
# A mark with one of these verdicts is not expected to be answered.
_NEVER_ANSWERED = {
    VerdictReason.TOO_MANY_MARKS,
    VerdictReason.NOT_STREAMING,
    VerdictReason.UNSUPPORTED,
    VerdictReason.DISABLED,
    VerdictReason.NAME_NOT_ESCAPED,
}


class StreamReport(TypedDict):
    """The binary audio of the application in `listenctl-inspect(5)`."""

    began: float
    ended: float
    messages: int
    bytes: int
    seconds: float | None
    ahead_max: float
    underruns: int
    underrun_seconds: float


class ApplicationMessageChecks:
    def __init__(
        self,
        violations: ViolationLog,
        settings: InspectionSettings,
        on_played_audio: Callable[[float, int, bytes], None],
    ) -> None:
        rate = settings.stream_rate
        self._violations = violations
        self._settings = settings
        # The mode that the user or the metadata states, None to detect it.
        self._stated = None if rate is None else CallMode(rate, "option", stated=True)
        self._on_played_audio = on_played_audio
        self._evidence = CallModeEvidence()
        self._playout: PlayoutChecks | None = None
        self._waiting: list[tuple[MessagePlace, SentMessage]] = []
        self._waiting_bytes = 0
        self._waiting_since: float | None = None
        self._disconnected: MessagePlace | None = None
        self._stream_began: float | None = None
        self._stream_last = 0.0
        self._stream_bytes = self._stream_messages = 0
        self._phase = 0.0
        self._lost_at = -inf
        self._lost_first = False
        self._broken_play_dones: deque[float] = deque(maxlen=MAX_RECORDS)
        self.complete = True  # nothing of the conversation is missing from the capture
        self.mode: CallMode | None = None
        self.marks = SentMarks()
        self.clips = SentClips(settings.profile)
        self.commands: Counter[str] = Counter()  # number of commands by type

    @property
    def has_messages(self) -> bool:
        """Whether the application sent anything but control frames."""
        return bool(self.commands or self._stream_messages)

    def take_audio(self, at: float, data: bytes, fragments: Sequence[int] = ()) -> None:
        if len(data) % SAMPLE_BYTES:
            detail = f"a binary message of {len(data)} bytes ends within a sample"
            self._violations.add_violation("stream-odd-bytes", at, Culprit.APPLICATION, detail)
        self._stream_began = at if self._stream_began is None else self._stream_began
        self._stream_last = at
        self._stream_bytes += len(data)
        self._stream_messages += 1
        self._evidence.take_audio(at, len(data))
        place = self._place(at)
        self._check_or_hold(place._replace(fragments=fragments) if fragments else place, data)

    def take_command(self, at: float, command: Command) -> None:
        self.commands["other" if isinstance(command, UnknownCommand) else command.type] += 1
        self._evidence.take_command(command)
        place = self._place(at)
        match command:
            case MarkCommand():
                place = place._replace(record=self.marks.add_mark(command, place))
            case PlayAudio():
                place = place._replace(record=self.clips.add_clip(command, place))
            case ClearMarks():
                self.marks.clear_marks()
            case Disconnect():
                self._disconnected = self._disconnected or place
        self._check_or_hold(place, command)

    def take_answer(self, at: float, message: JambonzMessage) -> None:
        self._evidence.take_answer(at, message)
        match message:
            case Mark():
                known = self.marks.answer_mark(at, message)
                what = f"the mark {message.name[:_MAX_SHOWN]!r}, but no such mark is outstanding"
            case PlayDone():
                known = self.clips.answer_clip(at, message)
                what = f"a clip with the id {str(message.id)[:_MAX_SHOWN]!r}, but no such clip is outstanding"
            case UnknownMessage(value=None, text=text) if _PLAY_DONE in text:
                self._broken_play_dones.append(at)
                return
            case _:
                return
        if not known and self.complete:
            self._violations.add_violation("answer-unasked", at, Culprit.JAMBONZ, f"answers {what}")
        if self._waiting and self._evidence.proven:
            self._start_playout()

    def lose_frames(self, at: float, sender: Sender) -> None:
        self.complete = False
        # An answer may be among them, or the reason why none came.
        self._lost_at = at
        if sender is Sender.APPLICATION:
            if self._playout or self._waiting:
                self._check_or_hold(MessagePlace(at), None)
            else:
                self._lost_first = True

    def set_rates(self, received_rate: int, stream_rate: int | None) -> None:
        self._evidence.received_rate = received_rate
        if stream_rate is not None and not self._stated:
            self._stated = CallMode(stream_rate, "metadata", stated=True)

    def tick(self, at: float) -> None:
        """Take the arrival time of audio from jambonz, which comes with the ticks of its clock."""
        self._phase = at
        if self._playout:
            self._playout.advance_to(at)
        elif self._waiting_since is not None and at - self._waiting_since > _MAX_WAIT:
            self._start_playout()

    def tick_all(self, times: Sequence[float]) -> None:
        if self._playout or self._waiting_since is not None:
            for at in times:
                self.tick(at)
        else:
            self._phase = times[-1]

    def finish_call(self, at: float, *, closed_at: float | None, whole: bool) -> None:
        """Finish the checks; jambonz closed at ``closed_at``, and ``whole`` means that the capture has the end."""
        if self._waiting or self._playout:
            self._start_playout().finish_call(at, whole=whole)
        else:
            self.mode = self._stated
        self._check_unanswered_marks(at)
        self._check_unanswered_clips(at)
        self._check_unproven_stream()
        if (
            self._disconnected
            and self._disconnected.at > self._lost_at
            and (at if closed_at is None else closed_at) - self._disconnected.at > _CLOSE_TIME
        ):
            detail = f"no Close frame within {_CLOSE_TIME:.0f} s after the disconnect"
            self._violations.add_violation_at("disconnect-ignored", self._disconnected, Culprit.JAMBONZ, detail)

    def describe_stream(self) -> StreamReport | None:
        if self._stream_began is None or self._playout is None:
            return None
        rate = self.mode.stream_rate if self.mode else 0
        seconds = self._stream_bytes / SAMPLE_BYTES / rate if rate else None
        played = self._playout
        return {
            "began": round(self._stream_began, 3),
            "ended": round(self._stream_last, 3),
            "messages": self._stream_messages,
            "bytes": self._stream_bytes,
            "seconds": None if seconds is None else round(seconds, 3),
            "ahead_max": round(played.ahead, 3),
            "underruns": played.underruns,
            "underrun_seconds": round(played.underrun_seconds, 3),
        }

    def _check_or_hold(self, place: MessagePlace, message: "SentMessage") -> None:
        if self._playout:
            self._playout.take_message(place, message)
            return
        self._waiting.append((place, message))
        self._waiting_bytes += len(message) if isinstance(message, bytes) else 0
        if self._waiting_since is None and (self._evidence.has_audio or self._evidence.has_clips):
            self._waiting_since = place.at
        full = len(self._waiting) > _MAX_WAITING or self._waiting_bytes > _MAX_WAITING_BYTES
        if self._stated or full:
            self._start_playout()

    def _start_playout(self) -> "PlayoutChecks":
        """Decide on the mode, and check the messages that waited for it."""
        if self._playout:
            return self._playout
        # Imported here, because in many calls the application only receives and the start-up counts.
        from listenctl.inspection.message_checks.playout_checks import TICK, PlayoutChecks

        self.mode = self._stated or self._evidence.decide()
        # The tick before the first message.
        first = self._waiting[0][0].at
        phase = first - (first - self._phase) % TICK
        playout = self._playout = PlayoutChecks(
            self._violations,
            self._settings,
            self.mode,
            phase=phase,
            on_played_audio=self._on_played_audio,
            is_proven=lambda: self._evidence.proven,
        )
        if self._lost_first:
            playout.take_message(self._waiting[0][0], None)
        for place, message in self._waiting:
            playout.take_message(place, message)
        self._waiting.clear()
        return playout

    def _check_unanswered_marks(self, at: float) -> None:
        for mark in self.marks.unanswered:
            if mark.at <= self._lost_at:
                continue  # The answer may be missing from the capture.
            if VerdictReason.RESAMPLED in mark.verdicts and mark.due is None:
                why = "resampling lost its place in the stream"
            elif mark.due is not None and at - mark.due > _ANSWER_TIME and not _NEVER_ANSWERED & set(mark.verdicts):
                why = f"it was due after {mark.due - mark.at:.1f} s"
            else:
                continue
            detail = f"the mark {mark.name[:_MAX_SHOWN]!r} was never answered; {why}"
            self._add_violation_of("mark-unanswered", mark, detail)

    def _check_unanswered_clips(self, at: float) -> None:
        # A broken playDone is reported by itself; which clip it belongs to is uncertain.
        broken = deque(self._broken_play_dones)
        for clip in self.clips.records:
            while broken and broken[0] < clip.at:
                broken.popleft()
            if clip.done is not None or clip.due is None:
                continue
            if broken:
                broken.popleft()
            elif clip.at > self._lost_at and at - clip.due > _ANSWER_TIME:
                self._add_violation_of("clip-not-done", clip, f"no playDone for a clip of {clip.seconds or 0:.1f} s")

    def _check_unproven_stream(self) -> None:
        mode, began = self.mode, self._stream_began
        if began is not None and mode and mode.streams and not mode.stated and not self._evidence.mark_answered:
            detail = f"nothing shows that jambonz plays the stream; {mode.stream_rate} Hz is assumed"
            self._violations.add_violation_at("stream-unproven", MessagePlace(began), Culprit.CAPTURE, detail)

    def _add_violation_of(self, rule: str, record: MarkRecord | ClipRecord, detail: str) -> None:
        place = MessagePlace(record.at, record.position, record.packet)
        self._violations.add_violation_at(rule, place, Culprit.JAMBONZ, detail)

    def _place(self, at: float) -> MessagePlace:
        return MessagePlace(at, self._violations.position, self._violations.packet)
