import json

import pytest

from listenctl.protocol.call_sharing.clip_queue import GIVE_UP_AFTER, MAX_AT_JAMBONZ, MAX_WAITING
from listenctl.protocol.call_sharing.mark_and_clip_names import MAX_OUTSTANDING
from listenctl.protocol.call_sharing.shared_call import SharedCall
from listenctl.protocol.call_sharing.shared_clips import (
    REPEAT_KILL,
    REPEAT_KILL_BEFORE_NEXT_CLIP,
    STOP_TIMEOUT,
    ClipOrder,
)
from listenctl.protocol.call_sharing.shared_stream import IGNORED_AFTER_KILL
from listenctl.protocol.call_sharing.sharing_actions import (
    Actions,
    AudioToJambonz,
    RefuseTool,
    TextToJambonz,
    TextToTool,
)
from listenctl.protocol.call_sharing.tool_messages import Synced
from listenctl.protocol.frames.websocket_messages import TextMessage
from listenctl.protocol.jambonz_messages import PlayDone
from listenctl.protocol.jambonz_model.profiles import OLD, PROFILES, Profile
from listenctl.protocol.listen_verb.listen_verb import BidirectionalAudio
from tests.helpers.playout import play, tone
from tests.helpers.simulated_time import FakeClock
from tests.protocol.call_sharing.test_shared_call import KILL, Conversation, audio, mark, reached, shared
from tests.protocol.call_sharing.test_shared_stream import RELEASE

SYNC = TextMessage(b'{"type":"listenctl:sync"}')


def clip(own: object, seconds: float = 1.0, **data: object) -> TextMessage:
    return TextMessage(play(tone(round(8000 * seconds)), id=own, **{"queuePlay": True, **data}))


def fill(call: SharedCall, tool: int) -> None:
    for number in range(MAX_AT_JAMBONZ):
        assert len(call.take_tool_message(tool, clip(f"full{number}"))) == 1


def name(number: int) -> str:
    """Return the name of the clip that was sent as number ``number`` after ``fill``."""
    return f"lc-c{MAX_AT_JAMBONZ + number}"


def done(clip_name: str) -> bytes:
    return PlayDone(clip_name, None, "1", "1000").serialize().encode()


def sent(actions: Actions) -> list[str]:
    """Return the names on the wire of the clips that go to jambonz."""
    texts = [json.loads(action.text) for action in actions if isinstance(action, TextToJambonz)]
    return [text["data"]["id"] for text in texts if text["type"] == "playAudio"]


def refusals(actions: Actions) -> list[tuple[int, str, object]]:
    refused = [action for action in actions if isinstance(action, RefuseTool)]
    return [(action.tool, action.refusal.reason, action.refusal.id) for action in refused]


def synced(actions: Actions, tool: int) -> list[Synced]:
    texts = [json.loads(action.text) for action in actions if isinstance(action, TextToTool) and action.tool == tool]
    return [Synced.parse(text["data"]) for text in texts if text["type"] == "listenctl:synced"]


def state(call: SharedCall, tool: int) -> Synced:
    """Return what a tool that waits for nothing is told when it asks."""
    (answer,) = synced(call.take_tool_message(tool, SYNC), tool)
    return answer


def test_what_jambonz_wouldnt_keep_waits_and_goes_with_each_answer_in_order() -> None:
    call, (first, second) = shared(2)
    fill(call, first)

    for tool in (second, first):
        assert list(call.take_tool_message(tool, clip("later"))) == []
    actions = call.take_jambonz_text(done("lc-c1"))

    assert [type(action) for action in actions] == [TextToTool, TextToJambonz]
    assert sent(actions) == [name(1)]
    assert sent(call.take_jambonz_text(done("lc-c2"))) == [name(2)]


def test_a_clip_that_doesnt_queue_passes_at_once_and_empties_the_queue_as_at_jambonz() -> None:
    call, (first, second) = shared(2)
    fill(call, first)
    call.take_tool_message(second, clip("waits"))

    actions = call.take_tool_message(first, clip("now", queuePlay=False))

    assert sent(actions) == [name(2)]
    dropped = [(first, "killed", f"full{number}") for number in range(1, MAX_AT_JAMBONZ)]
    assert refusals(actions) == [*dropped, (second, "killed", "waits")]
    assert list(call.take_jambonz_text(done(name(1)))) == []


@pytest.mark.parametrize("by_application", [False, True])
def test_a_kill_drops_what_waits_and_tells_each_owner_its_own_id(by_application: bool) -> None:
    call, (first, second) = shared(2)
    fill(call, first)
    for own in (7, "b", None):
        call.take_tool_message(second, clip(own))

    actions = call.take_application_text(KILL.data) if by_application else call.take_tool_message(first, KILL)

    stopped = [(first, "killed", f"full{number}") for number in range(MAX_AT_JAMBONZ)]
    dropped = [(second, "killed", 7), (second, "killed", "b"), (second, "killed", None)]
    assert refusals(actions) == [*stopped, *dropped]
    assert actions[-1] == TextToJambonz(KILL.data)
    assert sent(call.take_jambonz_text(done("lc-c1"))) == []


def test_beside_an_application_a_kill_stops_only_what_plays_and_is_never_repeated() -> None:
    call = SharedCall(alone=False)
    tool = call.attach_tool()
    for own in ("plays", "next"):
        call.take_tool_message(tool, clip(own))

    assert refusals(call.take_tool_message(tool, KILL)) == [(tool, "killed", "plays")]
    assert TextToJambonz(KILL.data) not in call.take_jambonz_text(done("lc-c1"))


def test_a_clip_on_top_is_stopped_before_the_one_below() -> None:
    call, (first, second) = shared(2)
    call.take_tool_message(first, clip("below"))
    call.take_tool_message(second, clip("top", queuePlay=False))

    assert refusals(call.take_tool_message(first, KILL)) == [(second, "killed", "top"), (first, "killed", "below")]

    # Stopped clips are still answered; after that there is nothing to stop.
    for name in ("lc-c2", "lc-c1"):
        assert any(isinstance(action, TextToTool) for action in call.take_jambonz_text(done(name)))
    assert refusals(call.take_tool_message(first, KILL)) == []


def test_what_waits_of_a_tool_that_leaves_is_never_sent_and_its_place_is_free_in_the_end() -> None:
    call, (first, second, third) = shared(3)
    fill(call, first)
    call.take_tool_message(second, clip("gone"))
    call.take_tool_message(third, clip("stays"))

    call.detach_tool(second)
    call.detach_tool(first)

    assert sent(call.take_jambonz_text(done("lc-c1"))) == [name(2)]


def test_clips_that_jambonz_never_answers_dont_stand_in_the_way() -> None:
    clock = FakeClock()
    call, (tool,) = shared(1, clock)
    assert call.deadline is None
    fill(call, tool)
    call.take_tool_message(tool, clip("waits"))
    assert call.deadline == pytest.approx(1.0 + GIVE_UP_AFTER, abs=0.001)

    clock.advance(1.001 + GIVE_UP_AFTER)

    assert sent(call.pass_due_clips()) == [name(1)]
    # It may still be answered.
    (answer,) = call.take_jambonz_text(done("lc-c1"))
    assert isinstance(answer, TextToTool)


def test_too_many_clips_are_refused_by_their_id() -> None:
    call, (first, second) = shared(2)
    fill(call, first)
    for _ in range(MAX_WAITING):
        assert list(call.take_tool_message(second, clip("waits", 0.001))) == []
    other = call.attach_tool()

    assert refusals(call.take_tool_message(other, clip("x"))) == [(other, "queue-full", "x")]


def test_a_tool_is_synced_when_its_own_clips_have_been_passed_on() -> None:
    call, (first, second) = shared(2)
    fill(call, first)
    for tool in (second, first, second):
        call.take_tool_message(tool, clip("waits"))

    assert synced(call.take_tool_message(second, SYNC), second) == []
    assert [synced(call.take_jambonz_text(done(f"lc-c{number}")), second) for number in (1, 2)] == [[], []]
    assert len(synced(call.take_jambonz_text(done("lc-c3")), second)) == 1


def test_a_tool_whose_clips_are_killed_is_told_before_it_is_synced() -> None:
    call, (first, second) = shared(2)
    fill(call, first)
    call.take_tool_message(second, clip("waits"))
    call.take_tool_message(second, SYNC)

    actions = call.take_tool_message(first, KILL)

    assert [type(action) for action in actions[-3:]] == [RefuseTool, TextToTool, TextToJambonz]


def acquire(rate: object) -> TextMessage:
    return TextMessage(json.dumps({"type": "listenctl:acquire", "data": {"sampleRate": rate}}).encode())


def test_synced_says_the_rate_and_what_is_still_to_be_played() -> None:
    clock = FakeClock()
    call, (first, second) = shared(2, clock)
    call.take_tool_message(first, acquire(16_000))
    call.take_tool_message(first, audio(tone(16_000)))
    # Only the audio of the one that streams counts.
    call.take_tool_message(second, audio(tone(16_000)))

    clock.advance(0.25)
    assert state(call, second) == Synced(16_000, "tool", 0.75, clip_seconds=0.0)

    call.take_tool_message(second, KILL)
    assert state(call, second) == Synced(16_000, "tool", 0.0, clip_seconds=0.0)

    # 0 is what a tool says that found out that the call takes clips.
    call.take_tool_message(first, acquire(0))
    assert (state(call, second).stream_rate, state(call, second).stream_rate_from) == (0, "tool")


def test_a_rate_that_a_tool_claims_is_forgotten_when_it_takes_it_back_and_one_that_was_probed_stays() -> None:
    call, (first, second) = shared(2)

    call.take_tool_message(first, acquire(16_000))
    call.take_tool_message(first, acquire(None))
    assert (state(call, second).stream_rate, state(call, second).stream_rate_from) == (None, None)

    call.take_tool_message(first, TextMessage(b'{"type":"listenctl:acquire","data":{"sampleRate":8000,"probed":true}}'))
    call.take_tool_message(first, acquire(16_000))
    call.take_tool_message(first, acquire(None))
    assert (state(call, second).stream_rate, state(call, second).stream_rate_from) == (8000, "probe")


def test_synced_says_what_waits_and_whether_a_mark_was_ever_answered() -> None:
    call, (first, second) = shared(2)
    fill(call, first)
    for message in (*[clip("waits")] * 3, mark("here")):
        call.take_tool_message(first, message)

    before = state(call, second)
    assert (before.playout, before.waiting_clips, before.mark_answered) == (0.0, 3, False)
    assert before.clip_seconds == pytest.approx(MAX_AT_JAMBONZ + 3.0, abs=0.01)

    call.take_jambonz_text(reached("lc-m1"))
    assert state(call, second).mark_answered
    assert not any(isinstance(action, RefuseTool) for action in call.take_tool_message(first, audio(SOUND)))


def test_the_streamer_is_told_of_a_kill_that_isnt_its_own() -> None:
    call, (first, second) = shared(2)
    call.take_tool_message(first, acquire(8000))

    assert refusals(call.take_tool_message(second, KILL)) == [(first, "killed", None)]
    call.take_tool_message(first, acquire(8000))
    assert refusals(call.take_application_text(KILL.data)) == [(first, "killed", None)]
    call.take_tool_message(first, acquire(8000))
    assert refusals(call.take_tool_message(first, KILL)) == []


@pytest.mark.parametrize("data", ['{"sampleRate":-8000}', '{"sampleRate":{}}', "[]", '"x"', "null"])
def test_a_request_without_a_usable_rate_takes_the_stream_all_the_same(data: str) -> None:
    call, (tool,) = shared(1)

    call.take_tool_message(tool, TextMessage(f'{{"type":"listenctl:acquire","data":{data}}}'.encode()))

    assert (call._stream.turns.holder, call.rates.tool) == (tool, None)


def test_where_ids_dont_return_clips_that_one_on_top_dropped_are_not_answered() -> None:
    conversation = Conversation(OLD, BidirectionalAudio(), 1)
    (tool,) = conversation.tools

    for own in ("plays", "dropped", "dropped too"):
        conversation.send(tool, clip(own))
    conversation.send(tool, KILL)
    conversation.send(tool, clip("on top", queuePlay=False))
    conversation.run(300)

    assert set(conversation.answers[tool]) <= {"plays", "on top"}


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_after_a_kill_the_caller_hears_nothing_but_what_comes_later(profile: Profile) -> None:
    conversation = Conversation(profile, BidirectionalAudio(), 2)
    tool, other = conversation.tools
    for number in range(MAX_AT_JAMBONZ + 4):
        conversation.send(tool, clip(number))
    conversation.run(10)

    conversation.send(other, KILL)
    conversation.run(50)
    assert not any(conversation.run(500))

    conversation.send(other, clip("later"))
    assert any(conversation.run(100))


SOUND = tone(160)


def streamed(actions: Actions) -> bytes:
    return b"".join(action.data for action in actions if isinstance(action, AudioToJambonz))


def granted(actions: Actions) -> list[int]:
    texts = [(action.tool, json.loads(action.text)) for action in actions if isinstance(action, TextToTool)]
    return [tool for tool, text in texts if text["type"] == "listenctl:granted"]


def kills(actions: Actions) -> int:
    return actions.count(TextToJambonz(KILL.data))


def streaming(clock: FakeClock | None = None) -> tuple[SharedCall, int, int]:
    """Have the first of two tools stream."""
    call, (first, second) = shared(2, clock)
    call.take_tool_message(first, acquire(8000))
    call.take_tool_message(first, audio(SOUND))
    return call, first, second


def test_zeros_before_a_kill_push_out_what_jambonz_holds_back() -> None:
    call, _, second = streaming()

    actions = call.take_tool_message(second, KILL)

    assert streamed(actions) == bytes(2560)
    assert actions[-1] == TextToJambonz(KILL.data)
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
    call.take_tool_message(tool, audio(SOUND))

    call.take_application_audio(320)

    assert streamed(call.take_tool_message(tool, KILL)) == b""


def test_a_kill_of_another_ends_the_turn_and_drops_what_is_still_sent() -> None:
    clock = FakeClock()
    call, first, second = streaming(clock)
    call.take_tool_message(first, KILL)
    after_its_own = call._stream.turns.holder

    call.take_tool_message(second, KILL)
    assert (after_its_own, call._stream.turns.holder) == (first, None)
    assert list(call.take_tool_message(first, audio(SOUND + b"\x01"))) == []

    # Who goes on after so long means it; the rest of a sample that was dropped is dropped as well.
    clock.advance(IGNORED_AFTER_KILL)
    assert streamed(call.take_tool_message(first, audio(b"\x01" + SOUND))) == SOUND


def test_who_waits_gets_the_turn_that_a_kill_ends() -> None:
    call, first, second = streaming()
    assert granted(call.take_tool_message(second, acquire(8000))) == []

    assert granted(call.take_tool_message(second, KILL)) == [second]
    assert list(call.take_tool_message(first, audio(SOUND))) == []


@pytest.mark.parametrize("asked", [acquire(8000), RELEASE])
def test_who_asks_or_is_done_after_a_kill_is_heard_again(asked: TextMessage) -> None:
    call, first, second = streaming()
    call.take_tool_message(second, KILL)

    call.take_tool_message(first, asked)

    assert streamed(call.take_tool_message(first, audio(SOUND))) == SOUND


def withdraw(own: object) -> TextMessage:
    return TextMessage(json.dumps({"type": "listenctl:withdraw", "data": {"id": own}}).encode())


def test_a_clip_that_waits_here_is_withdrawn_without_a_word_to_jambonz() -> None:
    call, (first, second) = shared(2)
    fill(call, first)
    call.take_tool_message(second, clip("mine"))
    call.take_tool_message(first, clip("mine"))

    assert refusals(call.take_tool_message(second, withdraw("mine"))) == [(second, "killed", "mine")]

    assert sent(call.take_jambonz_text(done("lc-c1"))) == [name(2)]


@pytest.mark.parametrize("leaves", [False, True])
def test_a_clip_that_waits_at_jambonz_is_stopped_when_it_begins(leaves: bool) -> None:
    call, (first, second) = shared(2)
    for tool in (first, second, first):
        call.take_tool_message(tool, clip("mine"))

    actions = call.take_tool_message(second, withdraw("mine"))
    assert (refusals(actions), kills(actions)) == ([(second, "killed", "mine")], 0)
    if leaves:
        call.detach_tool(second)

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
    assert call.deadline == pytest.approx(clock())
    assert kills(call.pass_due_clips()) == 1
    assert kills(call.take_jambonz_text(done("lc-c1"))) == 0


def test_a_clip_that_is_over_or_never_was_is_withdrawn_in_silence() -> None:
    call, (tool,) = shared(1)
    call.take_tool_message(tool, clip("mine"))
    call.take_jambonz_text(done("lc-c1"))

    assert [list(call.take_tool_message(tool, withdraw(own))) for own in ("mine", "none", None, ["x"])] == [[]] * 4


def test_a_kill_is_repeated_with_the_clock_and_nothing_is_passed_on_meanwhile() -> None:
    clock = FakeClock()
    call, (tool, other) = shared(2, clock)
    for own in ("a", "b"):
        call.take_tool_message(tool, clip(own))
    call.take_tool_message(other, KILL)
    call.take_tool_message(tool, clip("later"))
    assert state(call, other).stopping

    clock.advance(REPEAT_KILL)
    actions = call.pass_due_clips()
    assert (kills(actions), sent(actions)) == (1, [])

    answers = [call.take_jambonz_text(done(f"lc-c{number}")) for number in (1, 2)]
    assert [(kills(one), sent(one)) for one in answers] == [(1, []), (0, ["lc-c3"])]
    assert not state(call, other).stopping


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


def test_where_the_call_streams_no_kill_is_repeated_or_sent_for_a_withdrawn_clip() -> None:
    clock = FakeClock()
    call, (tool, streamer) = shared(2, clock)
    call.take_tool_message(tool, clip("ignored"))
    call.take_tool_message(streamer, acquire(8000))

    actions = call.take_tool_message(tool, withdraw("ignored"))
    assert (refusals(actions), kills(actions)) == ([(tool, "killed", "ignored")], 0)

    call.take_tool_message(tool, KILL)
    clock.advance(REPEAT_KILL)
    assert list(call.pass_due_clips()) == []


@pytest.mark.parametrize(
    ("steps", "answered"),
    [
        (["a", "b"], [("a",), ("b",), ()]),
        # One answer comes for all that were killed.
        (["a", "b", "c", "kill", "d", "kill", "kill", "e"], [("a", "b", "c"), ("d",), ("e",), ()]),
        (["kill", "a"], [("a",)]),
        (["a", "stop", "b"], [()]),
        # Beyond what is kept, no order is assumed.
        (["a"] * (MAX_OUTSTANDING + 1), [()]),
    ],
    ids=["in order", "killed", "nothing to kill", "stopped", "too many"],
)
def test_clips_without_ids_are_answered_in_their_order(steps: list[str], answered: list[tuple[str, ...]]) -> None:
    order = ClipOrder()
    for step in steps:
        if step == "kill":
            order.add_kill()
        elif step == "stop":
            order.stop_assuming()
        else:
            order.add_clip(step)

    assert [order.take_answered() for _ in answered] == answered
