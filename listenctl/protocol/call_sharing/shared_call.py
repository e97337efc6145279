"""
One call that several attached tools use at once, none of which sees the others' marks and clips: these get generated
names on the wire, and each answer returns to its sender. Everything else from jambonz goes to everyone.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from listenctl.protocol import peer_json
from listenctl.protocol.application_commands import (
    ClearMarks,
    Command,
    KillAudio,
    MarkCommand,
    PlayAudio,
    UnknownCommand,
    mark_name_is_safe,
    parse_command,
)
from listenctl.protocol.call_sharing.clip_queue import MAX_WAITING, MAX_WAITING_BYTES
from listenctl.protocol.call_sharing.mark_and_clip_names import (
    MAX_OUTSTANDING,
    NAME_PREFIX,
    GeneratedNames,
    PendingAnswer,
)
from listenctl.protocol.call_sharing.mark_answers import MarkAnswers
from listenctl.protocol.call_sharing.shared_clips import Owned, SharedClips
from listenctl.protocol.call_sharing.shared_stream import SharedStream
from listenctl.protocol.call_sharing.sharing_actions import (
    Action,
    Actions,
    AudioToJambonz,
    RefuseTool,
    TextToEveryone,
    TextToJambonz,
    TextToTool,
)
from listenctl.protocol.call_sharing.stream_rate import stream_rate
from listenctl.protocol.call_sharing.tool_messages import PREFIX, RefusalReason, Synced, ToolMessageType, ToolRefusal
from listenctl.protocol.frames.websocket_messages import BinaryMessages, TextMessage
from listenctl.protocol.jambonz_messages import JambonzMessage, Mark, PlayDone, parse_texts

_TOOL_SENDS = (ToolMessageType.ACQUIRE, ToolMessageType.RELEASE, ToolMessageType.SYNC, ToolMessageType.WITHDRAW)
MAX_NAME = 1024
"""Characters of a mark's name or a clip's id as JSON, which is kept until the answer arrives."""


class SharedCall:
    """
    Share one call among tools. An application behind us must not use names with ``prefix``; ``server_rate`` of streamed
    audio is 0 for clips, None for unknown. By default the ``clock`` stands still, so that no clip is ever given up.
    """

    def __init__(
        self,
        *,
        prefix: str = NAME_PREFIX,
        alone: bool = True,
        server_rate: int | None = None,
        clock: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._attached = 0
        self._tools: set[int] = set()
        self._marks = GeneratedNames[str](f"{prefix}m")
        self._clips = SharedClips(f"{prefix}c", clock)
        self._alone = alone  # whether there is no application beside the tools, which may have sent clips before them
        if not alone:
            self._clips.order.stop_assuming()
        self._stream = SharedStream(server_rate, clock)
        self.rates = self._stream.rates
        self._answers = MarkAnswers()
        # Tools that wait for SYNCED, each with the clip that has to be sent before.
        self._syncs: list[tuple[int, str]] = []

    @property
    def tools(self) -> frozenset[int]:
        return frozenset(self._tools)

    @property
    def deadline(self) -> float | None:
        return self._clips.deadline

    def with_own_name(self, answer: JambonzMessage) -> JambonzMessage:
        """Return an answer with the name that the tool, and so its user, gave the mark or clip."""
        match answer:
            case Mark(name=name):
                return replace(answer, name=str(self._marks.own_name(name, name)))
            case PlayDone(id=str(clip)):
                return replace(answer, id=self._clips.names.own_name(clip, clip))
        return answer

    def attach_tool(self) -> int:
        self._attached += 1
        self._tools.add(self._attached)
        return self._attached

    def detach_tool(self, tool: int) -> Actions:
        self._tools.remove(tool)
        self._marks.forget_tool(tool)
        self._answers.forget_tool(tool)
        self._clips.forget_tool(tool)
        self._syncs = [sync for sync in self._syncs if sync[0] != tool]
        return self._stream.end_turn(tool)

    def take_tool_message(
        self, tool: int, message: TextMessage | BinaryMessages, command: Command | None = None
    ) -> Actions:
        if tool not in self._tools:
            raise ValueError(f"no tool {tool} is attached")
        if isinstance(message, BinaryMessages):
            return self._take_audio(tool, message.data)
        command = command or parse_command(message.data)
        if isinstance(command, UnknownCommand) and command.type and command.type.startswith(PREFIX):
            return self._handle_tool_message(tool, command)
        if isinstance(command, MarkCommand | PlayAudio):
            return self._send_named(tool, command)
        return [*self._handle_command(command, tool), TextToJambonz(message.data, command)]

    def take_application_text(self, text: bytes, command: Command | None = None) -> Actions:
        """Take a text of the application beside the tools; its names stay unchanged."""
        command = command or parse_command(text)
        if isinstance(command, PlayAudio):
            # From now on a playDone without an id may be the application's.
            self._clips.order.stop_assuming()
        if isinstance(command, MarkCommand):
            self._answers.add_mark(None)
        return [*self._handle_command(command), TextToJambonz(text, command)]

    def take_application_audio(self, size: int) -> None:
        self._stream.take_application_audio(size)
        if size:
            self._answers.add_audio()

    def take_jambonz_text(self, text: bytes) -> Actions:
        """Take a text from jambonz; what answers no tool goes to everyone, unchanged if it came alone."""
        messages = parse_texts(text)
        answers = [self._answer_tool(message) for message in messages]
        if all(answer is None for answer in answers):
            return (TextToEveryone(text),)
        return [
            action
            for message, answer in zip(messages, answers, strict=True)
            for action in ([TextToEveryone(message.serialize().encode())] if answer is None else answer)
        ]

    def pass_due_clips(self) -> Actions:
        must_kill = self._clips.take_due_kill() and not self._streams
        kill = [_command_to_jambonz(KillAudio())] if must_kill else []
        return [*kill, *(TextToJambonz(text) for text in self._clips.take_due_texts()), *self._answer_syncs()]

    def _handle_command(self, command: Command, sender: int | None = None) -> Actions:
        match command:
            case ClearMarks():
                # No mark is answered any more (listenctl-protocol(7) 6.4).
                self._marks.forget_all_tools()
                self._answers.clear_marks()
            case KillAudio():
                self._answers.clear_marks()
                # The playDone of a stopped clip is not reliable (listenctl-protocol(7) 13).
                stopped = self._refuse_dropped(self._clips.clips_to_stop(behind=self._alone), "stopped by killAudio")
                killed = self._clips.add_kill(all_of_them=self._alone and not self._streams)
                dropped = self._refuse_dropped(killed, "not played: killAudio came before its turn")
                return [*stopped, *dropped, *self._stream.take_kill(sender)]
            case PlayAudio() if command.queue_play is not True:
                why = "not played: a clip without queuePlay, which empties the queue, came before its turn"
                return self._refuse_dropped(self._clips.drop_interrupted(command), why)
        return ()

    def _take_audio(self, tool: int, data: bytes) -> Actions:
        actions = self._stream.take_audio(tool, data)
        if any(isinstance(action, AudioToJambonz) for action in actions):
            self._answers.add_audio()
        return actions

    def _send_named(self, tool: int, command: MarkCommand | PlayAudio) -> Actions:
        own = command.name if isinstance(command, MarkCommand) else command.id
        if refusal := self._check_name(tool, own):
            return (RefuseTool(tool, refusal),)
        if isinstance(command, PlayAudio):
            return self._send_clip(tool, command)
        name = self._marks.new_name(tool, command.name, readable=command.name)
        self._answers.add_mark(tool)
        return (_command_to_jambonz(MarkCommand(name)),)

    def _send_clip(self, tool: int, command: PlayAudio) -> Actions:
        if command.queue_play is not True:
            return [*self._handle_command(command), _command_to_jambonz(self._clips.interrupt_with(tool, command))]
        if self._clips.has_room(command):
            self._clips.add_clip(tool, command)
            return self.pass_due_clips()
        room = f"at most {MAX_WAITING} clips and {MAX_WAITING_BYTES // 1024 // 1024} MiB wait"
        detail = f"not sent: {len(self._clips.queue)} clips wait for their turn; {room}; send it when some have played"
        return (RefuseTool(tool, ToolRefusal(RefusalReason.QUEUE_FULL, detail, command.id)),)

    @property
    def _streams(self) -> bool:
        """Whether the call streams, as far as is known, so that a killAudio for clips would end a stream."""
        return self._answers.any_answered or self._stream.turns.holder is not None

    def _refuse_dropped(self, clips: Iterable[Owned], why: str) -> Actions:
        refusals = [RefuseTool(one.tool, ToolRefusal(RefusalReason.KILLED, why, one.own_name)) for one in clips]
        return [*refusals, *self._answer_syncs()]

    def _check_name(self, tool: int, own: object) -> ToolRefusal | None:
        if self._marks.count_for(tool) + self._clips.names.count_for(tool) >= MAX_OUTSTANDING:
            detail = f"not sent: {MAX_OUTSTANDING} marks and clips are unanswered; wait for answers, or attach again"
            return ToolRefusal(RefusalReason.TOO_MANY_OUTSTANDING, detail)
        if (length := len(peer_json.encode(own))) > MAX_NAME:
            detail = f"not sent: its name has {length} characters as JSON; use at most {MAX_NAME}"
            return ToolRefusal(RefusalReason.NAME_TOO_LONG, detail)
        return None

    def _answer_tool(self, message: JambonzMessage) -> Iterable[Action] | None:
        match message:
            case Mark(name=name):
                self._answers.add_answer()
                if not self._marks.is_generated(name):
                    return None
                mark = self._marks.take_pending_answer(name)
                return [TextToTool(mark.tool, _mark_text(mark, message.event))] if mark else ()
            case PlayDone() if (clips := self._clips.take_play_done(message)) is not None:
                answers = [
                    TextToTool(one.tool, replace(message, id=one.own_name).serialize().encode()) for one in clips
                ]
                return [*answers, *self.pass_due_clips()]
        return None

    def _handle_tool_message(self, tool: int, command: UnknownCommand) -> Actions:
        match command.type:
            case ToolMessageType.ACQUIRE:
                self._take_rate(_data_of(command))
                return self._stream.request_turn(tool)
            case ToolMessageType.RELEASE:
                return self._stream.end_turn(tool)
            case ToolMessageType.WITHDRAW:
                withdrawn = self._clips.withdraw_clip(tool, _data_of(command).get("id"))
                return [*self._refuse_dropped(withdrawn, "withdrawn by you"), *self.pass_due_clips()]
            case ToolMessageType.SYNC:
                last = self._clips.queue.last_waiting(tool)
                self._syncs += [(tool, last)] if last else []
                return () if last else (self._synced(tool),)
        acquire, release, sync, withdraw = _TOOL_SENDS
        known = f"{acquire}, {release}, {sync} and {withdraw}"
        detail = f"unknown type {str(command.type)[:40]!r}; send {known}, or a command of jambonz"
        return (RefuseTool(tool, ToolRefusal(RefusalReason.UNKNOWN_CONTROL, detail)),)

    def _take_rate(self, data: Mapping[str, object]) -> None:
        rate = stream_rate(data.get("sampleRate"))
        if rate is not None:
            self.rates.take_tool_rate(rate, probed=data.get("probed") is True)
        elif "sampleRate" in data and data["sampleRate"] is None:
            self.rates.tool = None

    def _answer_syncs(self) -> Actions:
        done = [tool for tool, clip in self._syncs if not self._clips.queue.is_waiting(clip)]
        self._syncs = [(tool, clip) for tool, clip in self._syncs if self._clips.queue.is_waiting(clip)]
        return [self._synced(tool) for tool in done]

    def _synced(self, tool: int) -> TextToTool:
        rate = self.rates.best
        synced = Synced(
            stream_rate=rate.hertz,
            stream_rate_from=rate.source,
            playout=self._stream.seconds_left,
            waiting_clips=len(self._clips.queue),
            clip_seconds=self._clips.seconds_left,
            stopping=self._clips.stopping,
            mark_answered=self._answers.any_answered,
            marks_may_be_lost=self._answers.may_lose_mark(tool),
        )
        return TextToTool(tool, synced.serialize().encode())


def _command_to_jambonz(command: Command) -> TextToJambonz:
    return TextToJambonz(command.serialize().encode(), command)


def _data_of(command: UnknownCommand) -> Mapping[str, object]:
    return peer_json.object_in(command.value, "data") if isinstance(command.value, dict) else {}


def _mark_text(mark: PendingAnswer[str], event: str) -> bytes:
    """Return the answer in jambonz's form, or as valid JSON if the name would break that (listenctl-protocol(7) 4)."""
    if mark_name_is_safe(mark.own_name + event):
        return Mark(mark.own_name, event).serialize().encode()
    return peer_json.encode({"type": "mark", "data": {"name": mark.own_name, "event": event}}).encode()
