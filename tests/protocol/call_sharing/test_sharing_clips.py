"""The clips of many tools in one queue, and what the server says of it."""

import json

import pytest

from listenctl.protocol.call_sharing.clip_queue import GIVE_UP_AFTER, MAX_AT_JAMBONZ, MAX_WAITING
from listenctl.protocol.call_sharing.shared_call import SharedCall
from listenctl.protocol.call_sharing.sharing_actions import RefuseTool, TextToJambonz, TextToTool
from listenctl.protocol.call_sharing.tool_messages import Synced
from listenctl.protocol.frames.websocket_messages import BinaryMessages, TextMessage
from listenctl.protocol.jambonz_messages import PlayDone
from listenctl.protocol.jambonz_model.playout import Playout
from listenctl.protocol.jambonz_model.profiles import OLD, PROFILES, Profile
from listenctl.protocol.listen_verb.listen_verb import BidirectionalAudio
from tests.helpers.clock import FakeClock
from tests.helpers.playout import play, tone

KILL = TextMessage(b'{"type":"killAudio"}')
SYNC = TextMessage(b'{"type":"listenctl:sync"}')


def clip(own: object, seconds: float = 1.0, **data: object) -> TextMessage:
    return TextMessage(play(tone(round(8000 * seconds)), id=own, **{"queuePlay": True, **data}))


def shared(tools: int, clock: FakeClock | None = None) -> tuple[SharedCall, list[int]]:
    call = SharedCall(clock=clock or FakeClock())
    return call, [call.attach_tool() for _ in range(tools)]


def fill(call: SharedCall, tool: int) -> None:
    for number in range(MAX_AT_JAMBONZ):
        assert len(call.take_tool_message(tool, clip(f"full{number}"))) == 1


def name(number: int) -> str:
    """Return the name of the clip that was sent as number ``number`` after ``fill``."""
    return f"lc-c{MAX_AT_JAMBONZ + number}"


def done(clip_name: str) -> bytes:
    return PlayDone(clip_name, None, "1", "1000").serialize().encode()


def sent(actions: object) -> list[str]:
    """Return the names on the wire of the clips that go to jambonz."""
    assert isinstance(actions, list | tuple)
    texts = [json.loads(action.text) for action in actions if isinstance(action, TextToJambonz)]
    return [text["data"]["id"] for text in texts if text["type"] == "playAudio"]


def refusals(actions: object) -> list[tuple[int, str, object]]:
    assert isinstance(actions, list | tuple)
    return [
        (action.tool, action.refusal.reason, action.refusal.id) for action in actions if isinstance(action, RefuseTool)
    ]


def synced(actions: object, tool: int) -> list[Synced]:
    assert isinstance(actions, list | tuple)
    texts = [json.loads(action.text) for action in actions if isinstance(action, TextToTool) and action.tool == tool]
    return [Synced.parse(text["data"]) for text in texts if text["type"] == "listenctl:synced"]


def test_what_jambonz_wouldnt_keep_waits_and_goes_with_each_answer_in_order() -> None:
    call, (first, second) = shared(2)
    fill(call, first)

    for tool in (second, first):
        assert list(call.take_tool_message(tool, clip("later"))) == []
    actions = call.take_jambonz_text(done("lc-c1"))

    assert isinstance(actions, list)
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


def test_a_kill_drops_what_waits_and_tells_each_owner_its_own_id() -> None:
    call, (first, second) = shared(2)
    fill(call, first)
    for own in (7, "b", None):
        call.take_tool_message(second, clip(own))

    actions = call.take_tool_message(first, KILL)

    stopped = [(first, "killed", f"full{number}") for number in range(MAX_AT_JAMBONZ)]
    dropped = [(second, "killed", 7), (second, "killed", "b"), (second, "killed", None)]
    assert refusals(actions) == [*stopped, *dropped]
    assert actions[-1] == TextToJambonz(KILL.data)
    assert sent(call.take_jambonz_text(done("lc-c1"))) == []


def test_a_kill_of_the_application_counts_too() -> None:
    call, (tool,) = shared(1)
    fill(call, tool)
    call.take_tool_message(tool, clip("waits"))

    assert (tool, "killed", "waits") in refusals(call.take_application_text(KILL.data))


def test_beside_an_application_a_kill_stops_only_what_plays() -> None:
    call = SharedCall(alone=False)
    tool = call.attach_tool()
    for own in ("plays", "next"):
        call.take_tool_message(tool, clip(own))

    assert refusals(call.take_tool_message(tool, KILL)) == [(tool, "killed", "plays")]


def test_a_clip_on_top_is_stopped_before_the_one_below() -> None:
    call, (first, second) = shared(2)
    call.take_tool_message(first, clip("below"))
    call.take_tool_message(second, clip("top", queuePlay=False))

    assert refusals(call.take_tool_message(first, KILL)) == [(second, "killed", "top"), (first, "killed", "below")]

    # Of what was stopped there is an answer all the same, and once it has come there is nothing to stop.
    for name in ("lc-c2", "lc-c1"):
        assert any(isinstance(action, TextToTool) for action in call.take_jambonz_text(done(name)))
    assert refusals(call.take_tool_message(first, KILL)) == []


def test_what_waits_of_a_tool_that_leaves_is_never_sent() -> None:
    call, (first, second) = shared(2)
    fill(call, first)
    call.take_tool_message(second, clip("gone"))
    call.take_tool_message(first, clip("stays"))

    call.detach_tool(second)

    assert sent(call.take_jambonz_text(done("lc-c1"))) == [name(2)]


def test_the_place_of_a_clip_whose_sender_left_is_free_when_it_is_over() -> None:
    call, (first, second) = shared(2)
    fill(call, first)
    call.take_tool_message(second, clip("waits"))
    call.detach_tool(first)

    assert sent(call.take_jambonz_text(done("lc-c1"))) == [name(1)]


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

    assert isinstance(actions, list)
    assert [type(action) for action in actions[-3:]] == [RefuseTool, TextToTool, TextToJambonz]


def test_synced_says_how_many_clips_wait() -> None:
    call, (first, second) = shared(2)
    fill(call, first)
    for _ in range(3):
        call.take_tool_message(first, clip("waits"))

    (answer,) = synced(call.take_tool_message(second, SYNC), second)

    assert (answer.playout, answer.waiting_clips) == (0.0, 3)
    assert answer.clip_seconds == pytest.approx(MAX_AT_JAMBONZ + 3.0, abs=0.01)


def acquire(rate: object) -> TextMessage:
    return TextMessage(json.dumps({"type": "listenctl:acquire", "data": {"sampleRate": rate}}).encode())


def test_synced_says_the_rate_and_what_is_still_to_be_played() -> None:
    clock = FakeClock()
    call, (first, second) = shared(2, clock)
    call.take_tool_message(first, acquire(16_000))
    call.take_tool_message(first, BinaryMessages(tone(16_000), 32_000, 1))

    clock.advance(0.25)
    (answer,) = synced(call.take_tool_message(second, SYNC), second)
    assert answer == Synced(16_000, "tool", 0.75, clip_seconds=0.0)

    call.take_tool_message(second, KILL)
    (answer,) = synced(call.take_tool_message(second, SYNC), second)
    assert answer == Synced(16_000, "tool", 0.0, clip_seconds=0.0)


def test_a_tool_that_found_out_that_the_call_takes_clips_tells_the_others() -> None:
    call, (first, second) = shared(2)

    call.take_tool_message(first, acquire(0))

    (answer,) = synced(call.take_tool_message(second, SYNC), second)
    assert (answer.stream_rate, answer.stream_rate_from) == (0, "tool")


def test_the_streamer_is_told_of_a_kill_that_isnt_its_own() -> None:
    call, (first, second) = shared(2)
    call.take_tool_message(first, acquire(8000))

    assert refusals(call.take_tool_message(second, KILL)) == [(first, "killed", None)]
    call.take_tool_message(first, acquire(8000))
    assert refusals(call.take_application_text(KILL.data)) == [(first, "killed", None)]
    call.take_tool_message(first, acquire(8000))
    assert refusals(call.take_tool_message(first, KILL)) == []


@pytest.mark.parametrize("rate", [None, "eight thousand", -8000, 8000.5, True, 10**9, {}])
def test_a_rate_that_is_none_takes_the_stream_all_the_same(rate: object) -> None:
    call, (tool,) = shared(1)

    call.take_tool_message(tool, acquire(rate))

    assert call.streamer == tool
    assert call.rates.tool is None


@pytest.mark.parametrize("data", [b"[]", b"5", b'"x"', b"null"])
def test_data_that_is_no_object_is_none(data: bytes) -> None:
    call, (tool,) = shared(1)

    call.take_tool_message(tool, TextMessage(b'{"type":"listenctl:acquire","data":%s}' % data))

    assert call.streamer == tool


def test_audio_while_another_streams_is_not_counted() -> None:
    call, (first, second) = shared(2)
    call.take_tool_message(first, acquire(8000))

    call.take_tool_message(second, BinaryMessages(tone(8000), 16_000, 1))

    (answer,) = synced(call.take_tool_message(first, SYNC), first)
    assert answer.playout == 0.0


def test_where_ids_dont_return_clips_that_one_on_top_dropped_are_not_answered() -> None:
    call, (tool,) = shared(1)
    playout = Playout(OLD, BidirectionalAudio())
    answered: list[object] = []

    def act(actions: object) -> None:
        assert isinstance(actions, list | tuple)
        for action in actions:
            if isinstance(action, TextToJambonz):
                playout.take_text(action.text)
            elif isinstance(action, TextToTool):
                answered.append(json.loads(action.text).get("data", {}).get("id"))

    for own in ("plays", "dropped", "dropped too"):
        act(call.take_tool_message(tool, clip(own)))
    act(call.take_tool_message(tool, KILL))
    act(call.take_tool_message(tool, clip("on top", queuePlay=False)))
    for _ in range(300):
        for text in playout.profile.serialize_messages(playout.play_tick().messages):
            act(call.take_jambonz_text(text.encode()))

    assert set(answered) <= {"plays", "on top"}


def test_a_kill_is_repeated_until_jambonz_has_none_of_the_clips_that_it_was_meant_for() -> None:
    call, (tool,) = shared(1)
    for own in ("a", "b", "c"):
        call.take_tool_message(tool, clip(own))
    call.take_tool_message(tool, KILL)
    call.take_tool_message(tool, clip("later"))

    actions = [list(call.take_jambonz_text(done(f"lc-c{number}"))) for number in (1, 2, 3, 4)]

    assert [TextToJambonz(KILL.data) in one for one in actions] == [True, True, False, False]


def test_beside_an_application_a_kill_is_never_repeated() -> None:
    call = SharedCall(alone=False)
    tool = call.attach_tool()
    for own in ("a", "b"):
        call.take_tool_message(tool, clip(own))
    call.take_tool_message(tool, KILL)

    assert TextToJambonz(KILL.data) not in call.take_jambonz_text(done("lc-c1"))


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_after_a_kill_the_caller_hears_nothing_but_what_comes_later(profile: Profile) -> None:
    call, (tool, other) = shared(2)
    playout = Playout(profile, BidirectionalAudio())
    heard = b""

    def act(actions: object) -> None:
        assert isinstance(actions, list | tuple)
        for action in actions:
            if isinstance(action, TextToJambonz):
                playout.take_text(action.text)

    def run(ticks: int) -> None:
        nonlocal heard
        for _ in range(ticks):
            tick = playout.play_tick()
            heard += tick.audio
            for text in playout.profile.serialize_messages(tick.messages):
                act(call.take_jambonz_text(text.encode()))

    for number in range(MAX_AT_JAMBONZ + 4):
        act(call.take_tool_message(tool, clip(number)))
    run(10)
    act(call.take_tool_message(other, KILL))
    run(50)
    heard = b""
    run(500)
    assert not any(heard)

    act(call.take_tool_message(other, clip("later")))
    run(100)
    assert any(heard)
