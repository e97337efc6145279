"""What a killAudio, and the withdrawal of a clip, do to whom."""

import json

import pytest

from listenctl.protocol.call_sharing.clip_queue import MAX_AT_JAMBONZ
from listenctl.protocol.call_sharing.shared_call import SharedCall
from listenctl.protocol.call_sharing.shared_clips import REPEAT_KILL, REPEAT_KILL_BEFORE_NEXT_CLIP, STOP_TIMEOUT
from listenctl.protocol.call_sharing.shared_stream import IGNORED_AFTER_KILL
from listenctl.protocol.call_sharing.sharing_actions import (
    Action,
    Actions,
    AudioToJambonz,
    RefuseTool,
    TextToJambonz,
    TextToTool,
)
from listenctl.protocol.frames.websocket_messages import BinaryMessages, TextMessage
from tests.helpers.clock import FakeClock
from tests.helpers.playout import tone
from tests.protocol.call_sharing.test_sharing_clips import (
    KILL,
    SYNC,
    acquire,
    clip,
    done,
    fill,
    name,
    refusals,
    sent,
    shared,
    synced,
)

KILLED = TextToJambonz(KILL.data)
SOUND = tone(160)
RELEASE = TextMessage(b'{"type":"listenctl:release"}')


def audio(data: bytes = SOUND) -> BinaryMessages:
    return BinaryMessages(data, len(data), 1)


def streamed(actions: Actions) -> bytes:
    return b"".join(action.data for action in actions if isinstance(action, AudioToJambonz))


def granted(actions: Actions) -> list[int]:
    texts = [(action.tool, json.loads(action.text)) for action in actions if isinstance(action, TextToTool)]
    return [tool for tool, text in texts if text["type"] == "listenctl:granted"]


def kills(actions: Actions) -> int:
    return list[Action](actions).count(KILLED)


def streaming(clock: FakeClock | None = None) -> tuple[SharedCall, int, int]:
    """Have the first of two tools stream."""
    call, (first, second) = shared(2, clock)
    call.take_tool_message(first, acquire(8000))
    call.take_tool_message(first, audio())
    return call, first, second


def test_zeros_before_a_kill_push_out_what_jambonz_holds_back() -> None:
    call, _, second = streaming()

    actions = call.take_tool_message(second, KILL)

    assert streamed(actions) == bytes(2560)
    assert actions[-1] == KILLED
    assert streamed(call.take_tool_message(second, KILL)) == b""


def test_zeros_come_at_a_whole_sample_only() -> None:
    call, first, second = streaming()

    call.take_tool_message(first, audio(b"\x01"))
    assert streamed(call.take_tool_message(first, KILL)) == b""

    call.take_tool_message(first, audio(b"\x01"))
    call.take_tool_message(first, audio(b"\x01"))
    # The half sample of a turn that ends is made whole.
    assert streamed(call.take_tool_message(second, KILL)) == bytes(1 + 2560)


def test_what_an_application_streams_is_left_as_it_is() -> None:
    call = SharedCall(alone=False)
    tool = call.attach_tool()
    call.take_tool_message(tool, audio())

    call.take_application_audio(320)

    assert streamed(call.take_tool_message(tool, KILL)) == b""


def test_a_kill_of_another_ends_the_turn_and_drops_what_is_still_sent() -> None:
    clock = FakeClock()
    call, first, second = streaming(clock)

    call.take_tool_message(second, KILL)
    assert call.streamer is None
    assert list(call.take_tool_message(first, audio())) == []

    # Who goes on after so long means it.
    clock.advance(IGNORED_AFTER_KILL)
    assert streamed(call.take_tool_message(first, audio())) == SOUND


@pytest.mark.parametrize("asked", [acquire(8000), RELEASE])
def test_who_asks_or_is_done_after_a_kill_is_heard_again(asked: TextMessage) -> None:
    call, first, second = streaming()
    call.take_tool_message(second, KILL)

    call.take_tool_message(first, asked)

    assert streamed(call.take_tool_message(first, audio())) == SOUND


def test_a_half_sample_that_was_dropped_after_a_kill_shifts_nothing() -> None:
    clock = FakeClock()
    call, first, second = streaming(clock)
    call.take_tool_message(second, KILL)
    call.take_tool_message(first, audio(b"\x01"))
    clock.advance(IGNORED_AFTER_KILL)

    assert streamed(call.take_tool_message(first, audio(b"\x01" + SOUND))) == SOUND


def test_who_waits_gets_the_turn_that_a_kill_ends() -> None:
    call, first, second = streaming()
    assert granted(call.take_tool_message(second, acquire(8000))) == []

    assert granted(call.take_tool_message(second, KILL)) == [second]
    assert list(call.take_tool_message(first, audio())) == []


def test_a_kill_of_one_s_own_leaves_the_turn() -> None:
    call, first, _ = streaming()

    call.take_tool_message(first, KILL)

    assert call.streamer == first


def withdraw(own: object) -> TextMessage:
    return TextMessage(json.dumps({"type": "listenctl:withdraw", "data": {"id": own}}).encode())


def test_a_clip_that_waits_here_is_withdrawn_without_a_word_to_jambonz() -> None:
    call, (first, second) = shared(2)
    fill(call, first)
    call.take_tool_message(second, clip("mine"))
    call.take_tool_message(first, clip("mine"))

    assert refusals(call.take_tool_message(second, withdraw("mine"))) == [(second, "killed", "mine")]

    assert sent(call.take_jambonz_text(done("lc-c1"))) == [name(2)]


def test_a_clip_that_waits_at_jambonz_is_stopped_when_it_begins() -> None:
    clock = FakeClock()
    call, (first, second) = shared(2, clock)
    for tool in (first, second, first):
        call.take_tool_message(tool, clip("mine"))

    actions = call.take_tool_message(second, withdraw("mine"))
    assert (refusals(actions), kills(actions)) == ([(second, "killed", "mine")], 0)

    assert kills(call.take_jambonz_text(done("lc-c1"))) == 1
    # The next is somebody else's.
    actions = call.take_jambonz_text(done("lc-c2"))
    assert (kills(actions), call.deadline) == (0, None)


def test_the_clip_that_plays_is_stopped_at_once_and_again_if_that_was_too_soon() -> None:
    clock = FakeClock()
    call, (tool, other) = shared(2, clock)
    call.take_tool_message(tool, clip("mine"))
    call.take_tool_message(other, clip("other"))

    assert kills(call.take_tool_message(tool, withdraw("mine"))) == 1
    assert kills(call.pass_due_clips()) == 0
    clock.advance(REPEAT_KILL_BEFORE_NEXT_CLIP)
    assert call.deadline == pytest.approx(clock.now())
    assert kills(call.pass_due_clips()) == 1
    assert kills(call.take_jambonz_text(done("lc-c1"))) == 0


def test_a_clip_that_is_over_or_never_was_is_withdrawn_in_silence() -> None:
    call, (tool,) = shared(1)
    call.take_tool_message(tool, clip("mine"))
    call.take_jambonz_text(done("lc-c1"))

    assert [list(call.take_tool_message(tool, withdraw(own))) for own in ("mine", "none", None, ["x"])] == [[]] * 4


def test_the_clip_of_a_tool_that_left_is_stopped_all_the_same() -> None:
    call, (first, second) = shared(2)
    for tool in (first, second):
        call.take_tool_message(tool, clip("mine"))
    call.take_tool_message(second, withdraw("mine"))
    call.detach_tool(second)

    assert kills(call.take_jambonz_text(done("lc-c1"))) == 1


def test_a_kill_is_repeated_with_the_clock_and_nothing_is_passed_on_meanwhile() -> None:
    clock = FakeClock()
    call, (tool, other) = shared(2, clock)
    for own in ("a", "b"):
        call.take_tool_message(tool, clip(own))
    call.take_tool_message(other, KILL)
    call.take_tool_message(tool, clip("later"))
    (state,) = synced(call.take_tool_message(other, SYNC), other)
    assert state.stopping

    clock.advance(REPEAT_KILL)
    actions = call.pass_due_clips()
    assert (kills(actions), sent(actions)) == (1, [])

    answers = [call.take_jambonz_text(done(f"lc-c{number}")) for number in (1, 2)]
    assert [(kills(one), sent(one)) for one in answers] == [(1, []), (0, ["lc-c3"])]
    (state,) = synced(call.take_tool_message(other, SYNC), other)
    assert not state.stopping


def test_clips_that_jambonz_never_answers_hold_up_others_for_a_moment_only() -> None:
    clock = FakeClock()
    call, (tool,) = shared(1, clock)
    fill(call, tool)
    call.take_tool_message(tool, KILL)
    for own in range(MAX_AT_JAMBONZ):
        call.take_tool_message(tool, clip(own))

    clock.advance(STOP_TIMEOUT)

    assert len(sent(call.pass_due_clips())) == MAX_AT_JAMBONZ
    assert kills(call.pass_due_clips()) == 0


def test_where_the_call_streams_a_kill_is_not_repeated() -> None:
    clock = FakeClock()
    call, (tool,) = shared(1, clock)
    call.take_tool_message(tool, clip("ignored"))
    call.take_tool_message(tool, acquire(8000))
    call.take_tool_message(tool, KILL)
    clock.advance(REPEAT_KILL)

    assert list(call.pass_due_clips()) == []


def test_where_the_call_streams_a_clip_is_withdrawn_without_a_kill() -> None:
    call, (tool, streamer) = shared(2)
    call.take_tool_message(tool, clip("ignored"))
    call.take_tool_message(streamer, acquire(8000))

    actions = call.take_tool_message(tool, withdraw("ignored"))

    assert (refusals(actions), kills(actions)) == ([(tool, "killed", "ignored")], 0)


def test_synced_says_whether_a_mark_was_ever_answered() -> None:
    call, (first, second) = shared(2)
    call.take_tool_message(first, TextMessage(b'{"type":"mark","data":{"name":"here"}}'))
    assert [state.mark_answered for state in synced(call.take_tool_message(second, SYNC), second)] == [False]

    call.take_jambonz_text(b'{"type": "mark", "data": {"name":"lc-m1", "event": "playout"}}')

    assert [state.mark_answered for state in synced(call.take_tool_message(second, SYNC), second)] == [True]
    assert not any(isinstance(action, RefuseTool) for action in call.take_tool_message(first, audio()))
