import json
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from listenctl.protocol.application_commands import MarkCommand, PlayAudio, parse_command
from listenctl.protocol.call_sharing.mark_and_clip_names import MAX_OUTSTANDING
from listenctl.protocol.call_sharing.shared_call import MAX_NAME, SharedCall
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
from listenctl.protocol.jambonz_model.profiles import CURRENT, IDEAL, NEXT, PROFILES, Profile
from listenctl.protocol.listen_verb.listen_verb import BidirectionalAudio
from tests.helpers.playout import new_playout, play, tone
from tests.helpers.simulated_time import FakeClock
from tests.protocol.test_peer_json import JSON

DTMF = b'{"event":"dtmf","dtmf":"2","duration":"1600"}'
PLAY_DONE = (
    '{"type":"playDone","data":{"id":%s,"playbackSeconds":"1","playbackMilliseconds":"1240",'
    '"playbackLastOffsetPos":"9920"}}'
)
KILL = TextMessage(b'{"type":"killAudio"}')
CLEAR = TextMessage(b'{"type":"clearMarks"}')


def mark(name: str) -> TextMessage:
    return TextMessage(MarkCommand(name).serialize().encode())


def audio(data: bytes) -> BinaryMessages:
    return BinaryMessages(data, len(data), 1)


def reached(name: str, event: str = "playout") -> bytes:
    return Mark(name, event).serialize().encode()


def shared(tools: int, clock: FakeClock | None = None) -> tuple[SharedCall, list[int]]:
    call = SharedCall(clock=clock or FakeClock())
    return call, [call.attach_tool() for _ in range(tools)]


def reason(action: Action) -> str:
    assert isinstance(action, RefuseTool)
    return action.refusal.reason


def test_a_mark_goes_out_under_a_name_of_its_own_and_returns_once_under_the_sender_s() -> None:
    call, (first, second) = shared(2)

    sent = [list(call.take_tool_message(tool, mark("end"))) for tool in (first, second)]
    assert sent == [[TextToJambonz(b'{"type":"mark","data":{"name":"lc-m%d-end"}}' % number)] for number in (1, 2)]

    answer = b'{"type": "mark", "data": {"name":"end", "event": "playout"}}'
    assert list(call.take_jambonz_text(reached("lc-m2-end"))) == [TextToTool(second, answer)]
    assert list(call.take_jambonz_text(reached("lc-m1-end"))) == [TextToTool(first, answer)]
    assert list(call.take_jambonz_text(reached("lc-m1-end"))) == []


@pytest.mark.parametrize("name", ['say "hi"', "back\\slash", "new\nline", "O'Brien", "é", ""])
def test_names_that_jambonz_would_break_return_whole(name: str) -> None:
    call, (tool,) = shared(1)
    call.take_tool_message(tool, mark(name))

    (action,) = call.take_jambonz_text(reached("lc-m1"))

    assert isinstance(action, TextToTool)
    assert json.loads(action.text) == {"type": "mark", "data": {"name": name, "event": "playout"}}
    assert parse_texts(action.text) == (Mark(name, "playout"),)


@pytest.mark.parametrize(
    ("own", "returned"),
    [('"greeting"', '"greeting"'), ("7", "7"), ("1.5", "1.5"), ("false", "false"), ('["a","\'"]', '["a","\'"]')],
)
def test_a_clip_s_id_returns_with_its_json_type(own: str, returned: str) -> None:
    call, (tool,) = shared(1)
    command = '{"type":"playAudio","data":{"audioContent":"AAA=","audioContentType":"raw","sampleRate":8000,"id":%s}}'

    sent = call.take_tool_message(tool, TextMessage((command % own).encode()))
    answer = call.take_jambonz_text((PLAY_DONE % '"lc-c1"').encode())

    assert list(sent) == [TextToJambonz((command % '"lc-c1"').encode())]
    assert list(answer) == [TextToTool(tool, (PLAY_DONE % returned).encode())]


@pytest.mark.parametrize("field", ["", ',"id":null'])
def test_a_clip_without_an_id_is_answered_without_one(field: str) -> None:
    call, (tool,) = shared(1)
    command = '{"type":"playAudio","data":{"audioContent":"AAA=","audioContentType":"raw"%s}}'

    sent = call.take_tool_message(tool, TextMessage((command % field).encode()))
    answer = call.take_jambonz_text((PLAY_DONE % '"lc-c1"').encode())

    assert list(sent) == [TextToJambonz((command % ',"id":"lc-c1"').encode())]
    assert list(answer) == [TextToTool(tool, (PLAY_DONE % "0").replace('"id":0,', "").encode())]


@pytest.mark.parametrize("text", [DTMF, reached("lc-m1"), reached('a "b"'), b"no JSON \xff", b"", DTMF + DTMF])
def test_what_answers_no_tool_goes_to_everyone_byte_by_byte(text: bytes) -> None:
    call, _ = shared(2)

    assert list(call.take_jambonz_text(text)) == [TextToEveryone(text)]


def test_texts_that_are_glued_together_are_told_apart() -> None:
    call, (tool,) = shared(1)
    call.take_tool_message(tool, TextMessage(play(tone(8), id=5)))

    actions = call.take_jambonz_text(DTMF + (PLAY_DONE % '"lc-c1"').encode() + reached("theirs"))

    assert list(actions) == [
        TextToEveryone(DTMF),
        TextToTool(tool, (PLAY_DONE % 5).encode()),
        TextToEveryone(reached("theirs")),
    ]


def test_an_event_with_quotes_can_t_break_the_answer() -> None:
    call, (tool,) = shared(1)
    call.take_tool_message(tool, mark("a"))

    (action,) = call.take_jambonz_text(rb'{"type":"mark","data":{"name":"lc-m1-a","event":"\"x\""}}')

    assert isinstance(action, TextToTool)
    assert json.loads(action.text)["data"] == {"name": "a", "event": '"x"'}


@pytest.mark.parametrize(
    "text",
    [
        KILL.data,
        CLEAR.data,
        b'{"type":"disconnect"}',
        b'{"type":"error", "data": 1}',
        b'{"type":"mark","data":{"name":5}}',
        b'{"type":"playAudio"}',
        b'{"TYPE" : "killAudio"} trailing',
        b"no JSON \xff",
        b"",
        b"[1]",
    ],
)
def test_what_has_no_name_is_passed_on_byte_by_byte(text: bytes) -> None:
    call, (tool,) = shared(1)

    assert list(call.take_tool_message(tool, TextMessage(text))) == [TextToJambonz(text)]


@given(JSON)
def test_any_json_is_passed_on_as_it_is(value: object) -> None:
    call, (tool,) = shared(1)
    text = json.dumps({"type": "x", "data": value}).encode()

    assert list(call.take_tool_message(tool, TextMessage(text))) == [TextToJambonz(text)]


@pytest.mark.parametrize("by_application", [False, True])
def test_clear_marks_of_one_makes_room_for_all(by_application: bool) -> None:
    call, (first, second) = shared(2)
    for _ in range(MAX_OUTSTANDING):
        call.take_tool_message(first, mark("a"))

    passed = call.take_application_text(CLEAR.data) if by_application else call.take_tool_message(second, CLEAR)

    assert list(passed) == [TextToJambonz(CLEAR.data)]
    assert list(call.take_jambonz_text(reached("lc-m1-a"))) == []
    assert [type(action) for action in call.take_tool_message(first, mark("a"))] == [TextToJambonz]


@pytest.mark.parametrize(
    ("asked", "answer"), [(mark("a"), reached("lc-m1-a")), (TextMessage(play(b"")), (PLAY_DONE % '"lc-c1"').encode())]
)
def test_a_tool_that_waits_for_too_much_is_refused_until_answers_come(asked: TextMessage, answer: bytes) -> None:
    call, (tool, other) = shared(2)
    for _ in range(MAX_OUTSTANDING):
        call.take_tool_message(tool, asked)

    for message in (mark("b"), TextMessage(play(tone(8)))):
        assert [reason(action) for action in call.take_tool_message(tool, message)] == ["too-many-outstanding"]
    assert [type(action) for action in call.take_tool_message(other, mark("b"))] == [TextToJambonz]

    call.take_jambonz_text(answer)
    assert [type(action) for action in call.take_tool_message(tool, mark("b"))] == [TextToJambonz]


def test_clips_that_a_kill_has_dropped_are_waited_for_no_more() -> None:
    call, (tool,) = shared(1)
    for _ in range(MAX_OUTSTANDING):
        call.take_tool_message(tool, TextMessage(play(b"", id="a")))

    call.take_tool_message(tool, KILL)

    answer = b'{"type":"playDone","data":{"id":"a"}}'
    assert list(call.take_jambonz_text(b'{"type":"playDone"}')) == [TextToTool(tool, answer)]
    for _ in range(MAX_OUTSTANDING):
        assert [type(action) for action in call.take_tool_message(tool, mark("a"))] == [TextToJambonz]


@pytest.mark.parametrize("message", [mark("x" * MAX_NAME), TextMessage(play(tone(8), id=["x" * MAX_NAME]))])
def test_a_name_that_is_too_long_is_refused(message: TextMessage) -> None:
    call, (tool,) = shared(1)

    assert [reason(action) for action in call.take_tool_message(tool, message)] == ["name-too-long"]


def test_where_ids_return_an_answer_without_one_is_nobody_s() -> None:
    call, (tool,) = shared(1)
    for own in ("a", "b"):
        call.take_tool_message(tool, TextMessage(play(b"", id=own)))
    call.take_jambonz_text((PLAY_DONE % '"lc-c1"').encode())

    assert list(call.take_jambonz_text(b'{"type":"playDone"}')) == [TextToEveryone(b'{"type":"playDone"}')]


def test_answers_to_a_tool_that_has_left_are_dropped() -> None:
    call, (first, second) = shared(2)
    call.take_tool_message(first, mark("a"))
    call.take_tool_message(first, TextMessage(play(tone(8), id="a")))

    call.detach_tool(first)

    assert list(call.take_jambonz_text(reached("lc-m1-a"))) == []
    assert list(call.take_jambonz_text((PLAY_DONE % '"lc-c1"').encode())) == []
    assert list(call.take_tool_message(second, mark("a"))) == [TextToJambonz(mark("lc-m2-a").data)]


def test_the_number_of_a_tool_that_has_left_is_never_used_again() -> None:
    call, (first, second) = shared(2)
    call.detach_tool(first)
    call.detach_tool(second)

    assert call.attach_tool() not in (first, second)
    assert len(call.tools) == 1
    with pytest.raises(ValueError, match=f"no tool {first} is attached"):
        call.take_tool_message(first, KILL)


def test_an_application_s_own_names_stay_and_their_answers_go_to_everyone() -> None:
    call, (tool,) = shared(1)
    call.take_tool_message(tool, mark("a"))

    assert list(call.take_application_text(mark("a").data)) == [TextToJambonz(mark("a").data)]
    assert list(call.take_jambonz_text(reached("a"))) == [TextToEveryone(reached("a"))]
    assert list(call.take_jambonz_text(reached("lc-m1-a"))) == [TextToTool(tool, reached("a"))]


def test_an_application_s_clip_without_an_id_is_not_answered_to_a_tool() -> None:
    call, (tool,) = shared(1)
    call.take_application_text(play(tone(8)))
    call.take_tool_message(tool, TextMessage(play(tone(8), id="tool")))

    assert list(call.take_jambonz_text(b'{"type":"playDone"}')) == [TextToEveryone(b'{"type":"playDone"}')]


def test_another_listenctl_behind_us_is_kept_apart_by_the_prefix() -> None:
    call = SharedCall(prefix="lc-7f3a-")
    tool = call.attach_tool()

    assert list(call.take_tool_message(tool, mark("a"))) == [TextToJambonz(mark("lc-7f3a-m1-a").data)]
    assert list(call.take_jambonz_text(reached("lc-m1"))) == [TextToEveryone(reached("lc-m1"))]
    assert list(call.take_jambonz_text(reached("lc-7f3a-m1-a"))) == [TextToTool(tool, reached("a"))]


REPEATED = TextToJambonz(KILL.data)


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
        # A killAudio may be repeated for the next clips.
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
        self.playout = new_playout(profile, option)
        self.answers: dict[int, list[object]] = {tool: [] for tool in self.tools}
        self.everyone: list[bytes] = []

    def send(self, tool: int, message: TextMessage | BinaryMessages) -> None:
        for action in self.call.take_tool_message(tool, message):
            match action:
                case TextToJambonz(text):
                    self.playout.take_text(text)
                case AudioToJambonz(data):
                    self.playout.take_audio(data)

    def run(self, ticks: int) -> bytes:
        """Play; return the audio."""
        heard = b""
        for _ in range(ticks):
            tick = self.playout.play_tick()
            heard += tick.audio
            for text in self.playout.profile.serialize_messages(tick.messages):
                for action in self.call.take_jambonz_text(text.encode()):
                    self._keep(action)
        return heard

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
        conversation.send(streamer, audio(tone(1280)))
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
