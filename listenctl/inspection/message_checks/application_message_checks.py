"""
What the application says, and what jambonz makes of it: commands, clips, marks and the stream.

All of it waits to be judged until the mode of the call is known, because it means different things in each.
"""

from collections import Counter, deque
from collections.abc import Sequence
from math import inf

from listenctl.events import MAX_TEXT, Report, describe_command
from listenctl.inspection.message_checks.inspected_playout import TICK, StreamStatistics
from listenctl.inspection.message_checks.mark_and_clip_records import (
    MAX_RECORDS,
    ClipRecord,
    MarkRecord,
    MessagePlace,
    SentClips,
    SentMarks,
)
from listenctl.inspection.message_checks.playout_checks import (
    UNCAPTURED_MESSAGES,
    PlayedAudioCallback,
    PlayoutChecks,
    UncapturedMessages,
)
from listenctl.inspection.message_checks.stream_or_clips import CallMode, CallModeEvidence
from listenctl.inspection.rule_catalogue import Culprit
from listenctl.inspection.rule_violations import ViolationLog
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
from listenctl.protocol.listen_session import Sender

_LONGEST_WAIT = 10.0
_MOST_WAITING = 1000
_MOST_WAITING_BYTES = 4 * 1024 * 1024
_ANSWER_TIME = 2.0
_CLOSE_TIME = 5.0
_SHOWN = 40
_PLAY_DONE = '"playDone"'
# A mark of which one of these is said isn't expected to be answered.
_HOPELESS = {"too-many-marks", "not-streaming", "unsupported", "disabled", "name-not-escaped"}


class ApplicationMessageChecks:
    """
    Follow the application of one call.

    Args:
        stated: the mode that the user names, None to find out.

    Attributes:
        complete: nothing of the conversation is missing in the capture.
    """

    def __init__(
        self,
        findings: ViolationLog,
        settings: InspectionSettings,
        *,
        stated: CallMode | None,
        hear: PlayedAudioCallback,
    ) -> None:
        self._findings = findings
        self._settings = settings
        self._stated = stated
        self._hear = hear
        self._evidence = CallModeEvidence()
        self._judge: PlayoutChecks | None = None
        self._waiting: list[tuple[MessagePlace, Command | bytes | UncapturedMessages]] = []
        self._waiting_bytes = 0
        self._waiting_since: float | None = None
        self._disconnected: MessagePlace | None = None
        self._stream_began: float | None = None
        self._stream_last = 0.0
        self._stream_bytes = self._stream_messages = 0
        self._phase = 0.0
        self._lost_at = -inf
        self._lost_first = False
        self._clips_answered_badly: deque[float] = deque(maxlen=MAX_RECORDS)
        self.complete = True
        self.mode: CallMode | None = None
        self.marks = SentMarks()
        self.clips = SentClips(settings.profile)
        self.kinds: Counter[str] = Counter()

    @property
    def spoke(self) -> bool:
        """Whether the application said anything but control frames."""
        return bool(self.kinds or self._stream_messages)

    def audio(self, at: float, data: bytes) -> None:
        """Take a binary message."""
        if len(data) % SAMPLE_BYTES:
            detail = f"a binary message of {len(data)} bytes ends within a sample"
            self._findings.add("stream-odd-bytes", at, Culprit.APPLICATION, detail)
        self._stream_began = at if self._stream_began is None else self._stream_began
        self._stream_last = at
        self._stream_bytes += len(data)
        self._stream_messages += 1
        self._evidence.audio(at, len(data))
        self._take(self._place(at), data)

    def command(self, at: float, command: Command) -> None:
        """Take a text."""
        self.kinds[str(describe_command(command)["type"]) if _is_known(command) else "other"] += 1
        self._evidence.command(command)
        place = self._place(at)
        match command:
            case MarkCommand(name=name):
                mark = MarkRecord(name[:MAX_TEXT], at, place.position, place.packet)
                self.marks.add(mark)
                place = self._place(at, mark)
            case PlayAudio():
                place = self._place(at, self.clips.add(at, command, place.position, place.packet))
            case ClearMarks():
                self.marks.forget()
            case Disconnect():
                self._disconnected = self._disconnected or place
        self._take(place, command)

    def answer(self, at: float, message: JambonzMessage) -> None:
        """Take a text of jambonz."""
        self._evidence.answer(at, message)
        match message:
            case Mark():
                known = self.marks.answer(at, message)
                named = f"the mark {message.name[:_SHOWN]!r}, though no such mark is outstanding"
            case PlayDone():
                known = self.clips.answer(at, message)
                named = f"a clip with the id {str(message.id)[:_SHOWN]!r}, though no such clip is outstanding"
            case UnknownMessage(value=None, text=text) if _PLAY_DONE in text:
                self._clips_answered_badly.append(at)
                return
            case _:
                return
        if not known and self.complete:
            self._findings.add("answer-unasked", at, Culprit.JAMBONZ, f"answers {named}")
        if self._waiting and self._evidence.proven:
            self._decide()

    def lose(self, at: float, sender: Sender) -> None:
        """Take notice that something is missing in the capture."""
        self.complete = False
        # The answer may be what is missing, or what made it that none came.
        self._lost_at = at
        if sender is Sender.APPLICATION:
            if self._judge or self._waiting:
                self._take(MessagePlace(at), UNCAPTURED_MESSAGES)
            else:
                self._lost_first = True

    def learn(self, received_rate: int, stream_rate: int | None) -> None:
        """Take what the metadata say: the rate of the audio from jambonz, and that of the stream if they name it."""
        self._evidence.received_rate = received_rate
        if stream_rate is not None and not self._stated:
            self._stated = CallMode(stream_rate, "metadata", stated=True)

    def tick(self, at: float) -> None:
        """Take notice that audio from jambonz came, which it sends at the ticks of its clock."""
        self._phase = at
        if self._judge:
            self._judge.advance(at)
        elif self._waiting_since is not None and at - self._waiting_since > _LONGEST_WAIT:
            self._decide()

    def tick_all(self, times: Sequence[float]) -> None:
        """Take notice of several such ticks."""
        if self._judge or self._waiting_since is not None:
            for at in times:
                self.tick(at)
        else:
            self._phase = times[-1]

    def finish(self, at: float, *, closed_at: float | None, whole: bool = True) -> None:
        """
        Settle what the end of the call settles.

        Args:
            closed_at: when jambonz sent its Close.
            whole: the call ended, and not only the capture of it.
        """
        if self._waiting or self._judge:
            self._decide().finish(at, whole=whole)
        else:
            self.mode = self._stated
        self._find_unanswered(at)
        self._find_unproven()
        if (
            self._disconnected
            and self._disconnected.at > self._lost_at
            and (at if closed_at is None else closed_at) - self._disconnected.at > _CLOSE_TIME
        ):
            detail = f"no Close within {_CLOSE_TIME:.0f} s of the disconnect"
            self._findings.at_place("disconnect-ignored", self._disconnected, Culprit.JAMBONZ, detail)

    def describe_stream(self) -> Report | None:
        """Return what a report says of the stream, None without one."""
        if self._stream_began is None:
            return None
        rate = self.mode.stream_rate if self.mode else 0
        seconds = self._stream_bytes / SAMPLE_BYTES / rate if rate else None
        played = self._judge.stream if self._judge else StreamStatistics()
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

    def _take(self, place: MessagePlace, item: Command | bytes | UncapturedMessages) -> None:
        if self._judge:
            self._judge.take(place, item)
            return
        self._waiting.append((place, item))
        self._waiting_bytes += len(item) if isinstance(item, bytes) else 0
        if self._waiting_since is None and (self._evidence.has_audio or self._evidence.has_clips):
            self._waiting_since = place.at
        full = len(self._waiting) > _MOST_WAITING or self._waiting_bytes > _MOST_WAITING_BYTES
        if self._stated or full:
            self._decide()

    def _decide(self) -> PlayoutChecks:
        """Settle the mode, and judge what has waited for it."""
        if self._judge:
            return self._judge
        self.mode = self._stated or self._evidence.decide()
        # The tick before the first that was sent.
        first = self._waiting[0][0].at
        phase = first - (first - self._phase) % TICK
        judge = self._judge = PlayoutChecks(
            self._findings,
            self._settings,
            self.mode,
            phase=phase,
            hear=self._hear,
            proven=lambda: self._evidence.proven,
        )
        if self._lost_first:
            judge.take(self._waiting[0][0], UNCAPTURED_MESSAGES)
        for place, item in self._waiting:
            judge.take(place, item)
        self._waiting.clear()
        return judge

    def _find_unanswered(self, at: float) -> None:
        for mark in self.marks.unanswered:
            if mark.at <= self._lost_at:
                continue  # The answer may be what is missing.
            place = MessagePlace(mark.at, mark.position, mark.packet)
            if "resampled" in mark.verdicts and mark.due is None:
                self._unanswered(place, mark.name, "resampling lost its place in the stream")
            elif mark.due is not None and at - mark.due > _ANSWER_TIME and not _HOPELESS & set(mark.verdicts):
                self._unanswered(place, mark.name, f"it was due after {mark.due - mark.at:.1f} s")
        # Such an answer is told by itself; whose it is can't be known for sure.
        badly = deque(self._clips_answered_badly)
        for clip in self.clips.records:
            while badly and badly[0] < clip.at:
                badly.popleft()
            if clip.done is None and clip.due is not None and badly:
                badly.popleft()
                continue
            if clip.done is None and clip.at > self._lost_at and clip.due is not None and at - clip.due > _ANSWER_TIME:
                place = MessagePlace(clip.at, clip.position, clip.packet)
                detail = f"no playDone came for a clip of {clip.seconds or 0:.1f} s"
                self._findings.at_place("clip-not-done", place, Culprit.JAMBONZ, detail)

    def _find_unproven(self) -> None:
        mode, began = self.mode, self._stream_began
        if began is not None and mode and mode.streams and not mode.stated and not self._evidence.mark_answered:
            detail = f"nothing shows that jambonz plays the stream; taken for {mode.stream_rate} Hz"
            self._findings.at_place("stream-unproven", MessagePlace(began), Culprit.CAPTURE, detail)

    def _unanswered(self, place: MessagePlace, name: str, why: str) -> None:
        detail = f"the mark {name[:_SHOWN]!r} was never answered; {why}"
        self._findings.at_place("mark-unanswered", place, Culprit.JAMBONZ, detail)

    def _place(self, at: float, record: MarkRecord | ClipRecord | None = None) -> MessagePlace:
        return MessagePlace(at, self._findings.position, self._findings.packet, record)


def _is_known(command: Command) -> bool:
    return not isinstance(command, UnknownCommand)
