"""Many tools on one call: in any order against a model of jambonz, and with playout as it is in each implementation."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from listenctl.protocol.application_commands import MarkCommand, PlayAudio, parse_command
from listenctl.protocol.call_sharing.shared_call import SharedCall
from listenctl.protocol.call_sharing.sharing_actions import (
    Action,
    AudioToJambonz,
    RefuseTool,
    TextToEveryone,
    TextToJambonz,
    TextToTool,
)
from listenctl.protocol.frames.websocket_messages import BinaryMessages, TextMessage
from listenctl.protocol.jambonz_messages import Mark, PlayDone, parse_texts
from listenctl.protocol.jambonz_model.playout import Playout
from listenctl.protocol.jambonz_model.profiles import CURRENT, IDEAL, NEXT, PROFILES, Profile
from listenctl.protocol.listen_verb.listen_verb import BidirectionalAudio
from tests.helpers.playout import play, tone

DTMF = b'{"event":"dtmf","dtmf":"2","duration":"1600"}'
KILL = TextMessage(b'{"type":"killAudio"}')
REPEATED = TextToJambonz(KILL.data)
CLEAR = TextMessage(b'{"type":"clearMarks"}')


def mark(name: str) -> TextMessage:
    return TextMessage(MarkCommand(name).serialize().encode())


@dataclass(frozen=True, slots=True)
class Owed:
    """An answer that jambonz owes, and what the sender should get instead of ``wire_name``."""

    wire_name: str
    tool: int
    own: object


INDEX = st.integers(0, 1000)
NAMES = st.sampled_from(["a", "b", "it's", "é"])
IDS = st.sampled_from(["a", "b", "it's", 7, 0, False, None, ["a"], {"a": 1.5}])


class ManyTools(RuleBasedStateMachine):
    """20 tools send, come and go, and jambonz answers in any order or never: each gets its own answers and no other."""

    def __init__(self) -> None:
        super().__init__()
        self.call = SharedCall()
        self.tools = [self.call.attach_tool() for _ in range(20)]
        self.marks: list[Owed] = []
        self.clips: list[Owed] = []
        self.wire_names: set[str] = set()

    @rule(index=INDEX, name=NAMES)
    def ask_for_mark(self, index: int, name: str) -> None:
        tool = self._tool(index)
        self.marks.append(Owed(self._wire_name(tool, mark(name)), tool, name))

    @rule(index=INDEX, own=IDS)
    def ask_for_clip(self, index: int, own: object) -> None:
        tool = self._tool(index)
        self.clips.append(Owed(self._wire_name(tool, TextMessage(play(b"", id=own))), tool, own))

    @precondition(lambda self: self.marks)
    @rule(index=INDEX)
    def answer_mark(self, index: int) -> None:
        self._answer_mark(self.marks.pop(index % len(self.marks)), "playout")

    @precondition(lambda self: self.clips)
    @rule(index=INDEX)
    def answer_clip(self, index: int) -> None:
        owed = self.clips.pop(index % len(self.clips))
        self._answer(owed, PlayDone(owed.wire_name, None, "0", "1"), PlayDone(owed.own, None, "0", "1"))

    @rule(index=INDEX)
    def kill(self, index: int) -> None:
        actions = self.call.take_tool_message(self._tool(index), KILL)
        assert actions[-1] == TextToJambonz(KILL.data)
        assert all(isinstance(action, RefuseTool) for action in actions[:-1])
        for owed in self.marks:
            self._answer_mark(owed, "cleared")
        self.marks.clear()

    @rule(index=INDEX)
    def clear_marks(self, index: int) -> None:
        assert list(self.call.take_tool_message(self._tool(index), CLEAR)) == [TextToJambonz(CLEAR.data)]
        self.marks.clear()

    @rule(index=INDEX)
    def replace_tool(self, index: int) -> None:
        left = self._tool(index)
        assert list(self.call.detach_tool(left)) == []
        self.tools[self.tools.index(left)] = self.call.attach_tool()

    @rule()
    def press_digit(self) -> None:
        assert list(self.call.take_jambonz_text(DTMF)) == [TextToEveryone(DTMF)]

    def _tool(self, index: int) -> int:
        return self.tools[index % len(self.tools)]

    def _wire_name(self, tool: int, message: TextMessage) -> str:
        (action,) = self.call.take_tool_message(tool, message)
        assert isinstance(action, TextToJambonz)
        command = parse_command(action.text)
        assert isinstance(command, MarkCommand | PlayAudio)
        name = command.name if isinstance(command, MarkCommand) else command.id
        assert isinstance(name, str)
        assert name not in self.wire_names
        self.wire_names.add(name)
        return name

    def _answer_mark(self, owed: Owed, event: str) -> None:
        self._answer(owed, Mark(owed.wire_name, event), Mark(str(owed.own), event))

    def _answer(self, owed: Owed, answer: Mark | PlayDone, returned: Mark | PlayDone) -> None:
        expected = [TextToTool(owed.tool, returned.serialize().encode())] if owed.tool in self.tools else []
        # A killAudio may have to be repeated for the clips behind.
        actions = [action for action in self.call.take_jambonz_text(answer.serialize().encode()) if action != REPEATED]
        assert actions == expected


def test_every_answer_reaches_its_sender_under_its_own_name() -> None:
    run_state_machine_as_test(ManyTools)


WORDS = st.sampled_from(
    [
        b'{"type":',
        b'"mark"',
        b'"playAudio"',
        b'"playDone"',
        b',"data":{"name":"lc-m1"',
        b',"id":"\\ud800"',
        b"}",
        b"\xff",
        b"[",
    ]
)


@given(st.lists(st.binary(max_size=20) | st.lists(WORDS, max_size=8).map(b"".join), max_size=8))
def test_no_bytes_raise_and_every_text_gets_somewhere(texts: list[bytes]) -> None:
    call = SharedCall()
    tool = call.attach_tool()

    for text in texts:
        assert len(call.take_tool_message(tool, TextMessage(text))) == 1
        assert len(call.take_application_text(text)) == 1
        assert call.take_jambonz_text(text) or b"lc-m1" in text


class Conversation:
    """Tools that share a call with playout as it is; what each was answered is kept in order."""

    def __init__(self, profile: Profile, option: BidirectionalAudio, tools: int) -> None:
        self.call = SharedCall()
        self.tools = [self.call.attach_tool() for _ in range(tools)]
        self.playout = Playout(profile, option)
        self.answers: dict[int, list[object]] = {tool: [] for tool in self.tools}
        self.everyone: list[bytes] = []

    def send(self, tool: int, message: TextMessage | BinaryMessages) -> None:
        for action in self.call.take_tool_message(tool, message):
            match action:
                case TextToJambonz(text):
                    self.playout.take_text(text)
                case AudioToJambonz(data):
                    self.playout.take_audio(data)

    def run(self, ticks: int) -> None:
        for _ in range(ticks):
            for text in self.playout.profile.serialize_messages(self.playout.play_tick().messages):
                for action in self.call.take_jambonz_text(text.encode()):
                    self._keep(action)

    def _keep(self, action: Action) -> None:
        match action:
            case TextToTool(tool, text):
                for message in parse_texts(text):
                    assert isinstance(message, Mark | PlayDone)
                    self.answers[tool].append(message.id if isinstance(message, PlayDone) else message.name)
            case TextToEveryone(text):
                self.everyone.append(text)
            case TextToJambonz(text):
                self.playout.take_text(text)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_clips_of_many_tools_are_answered_to_each_by_every_implementation(profile: Profile) -> None:
    # More than any of them keeps.
    conversation = Conversation(profile, BidirectionalAudio(), 30)

    for tool in conversation.tools:
        conversation.send(tool, TextMessage(play(tone(160), queuePlay=True, id=tool)))
    conversation.run(300)

    assert conversation.answers == {tool: [tool] for tool in conversation.tools}
    assert conversation.everyone == []


@pytest.mark.parametrize("profile", [CURRENT, NEXT, IDEAL], ids=["current", "next", "ideal"])
def test_marks_of_many_tools_are_answered_to_each_in_order(profile: Profile) -> None:
    option = BidirectionalAudio(streaming=True, sample_rate=8000)
    conversation = Conversation(profile, option, 10)
    streamer = conversation.tools[0]

    for round_ in ("first", "second"):
        for tool in conversation.tools:
            conversation.send(tool, mark(round_))
        conversation.send(streamer, BinaryMessages(tone(1280), 2560, 1))
    conversation.run(100)

    assert conversation.answers == {tool: ["first", "second"] for tool in conversation.tools}


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_after_a_kill_the_next_clip_is_answered_to_its_own_sender(profile: Profile) -> None:
    conversation = Conversation(profile, BidirectionalAudio(), 3)
    playing, waiting, later = conversation.tools
    conversation.send(playing, TextMessage(play(tone(1600), queuePlay=True, id="playing")))
    conversation.send(waiting, TextMessage(play(tone(1600), queuePlay=True, id="waiting")))
    conversation.run(3)

    conversation.send(later, KILL)
    conversation.send(later, TextMessage(play(tone(160), queuePlay=True, id="later")))
    conversation.run(100)

    # The documented killAudio empties the queue, that of the others goes on with what waits.
    rest = [] if profile.kill_empties_queue else ["waiting"]
    assert conversation.answers == {playing: ["playing"], waiting: rest, later: ["later"]}
    assert conversation.everyone == []
