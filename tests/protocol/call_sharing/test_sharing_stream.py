"""One stream for all tools of a call, and what a tool and the server say to each other about it."""

import json

from listenctl.protocol.call_sharing.sharing_actions import AudioToJambonz, TextToJambonz, TextToTool
from listenctl.protocol.call_sharing.tool_messages import RefusalReason, ToolMessageType, ToolRefusal
from listenctl.protocol.frames.websocket_messages import BinaryMessages, TextMessage
from tests.protocol.call_sharing.test_shared_call import reason, shared

ACQUIRE = TextMessage(b'{"type":"listenctl:acquire"}')
RELEASE = TextMessage(b'{"type":"listenctl:release"}')
GRANTED = b'{"type":"listenctl:granted"}'


def audio(data: bytes) -> BinaryMessages:
    return BinaryMessages(data, len(data), 1)


def test_a_second_streamer_is_refused_once_and_its_audio_dropped() -> None:
    call, (first, second) = shared(2)

    assert list(call.take_tool_message(first, audio(b"1111"))) == [AudioToJambonz(b"1111")]
    (refuse,) = call.take_tool_message(second, audio(b"2222"))
    assert reason(refuse) == "stream-busy"
    assert list(call.take_tool_message(second, audio(b"2222"))) == []
    assert list(call.take_tool_message(first, audio(b"1111"))) == [AudioToJambonz(b"1111")]
    assert call.streamer == first


def test_a_free_stream_can_be_taken_and_refusals_are_said_anew() -> None:
    call, (first, second) = shared(2)
    call.take_tool_message(first, audio(b"11"))
    call.take_tool_message(second, audio(b"22"))

    assert list(call.take_tool_message(first, RELEASE)) == []
    assert list(call.take_tool_message(second, audio(b"22"))) == [AudioToJambonz(b"22")]
    assert [reason(action) for action in call.take_tool_message(first, audio(b"11"))] == ["stream-busy"]


def test_a_refusal_is_said_anew_for_each_streamer() -> None:
    call, (first, second, third) = shared(3)
    call.take_tool_message(first, audio(b"11"))
    call.take_tool_message(third, audio(b"33"))

    call.take_tool_message(first, RELEASE)
    call.take_tool_message(second, audio(b"22"))

    assert [reason(action) for action in call.take_tool_message(third, audio(b"33"))] == ["stream-busy"]


def test_a_refusal_is_said_anew_to_who_has_released() -> None:
    call, (first, second) = shared(2)
    call.take_tool_message(first, audio(b"11"))
    call.take_tool_message(second, audio(b"22"))

    call.take_tool_message(second, RELEASE)

    assert [reason(action) for action in call.take_tool_message(second, audio(b"22"))] == ["stream-busy"]


def test_the_rest_of_a_dropped_sample_is_not_sent() -> None:
    call, (first, second) = shared(2)
    call.take_tool_message(first, audio(b"11"))
    call.take_tool_message(second, audio(b"2"))
    call.take_tool_message(first, RELEASE)

    assert list(call.take_tool_message(second, audio(b"2"))) == []
    assert list(call.take_tool_message(second, audio(b"22"))) == [AudioToJambonz(b"22")]


def test_who_asks_waits_for_its_turn_in_order() -> None:
    call, (first, second, third) = shared(3)

    assert list(call.take_tool_message(first, ACQUIRE)) == [TextToTool(first, GRANTED)]
    assert list(call.take_tool_message(second, ACQUIRE)) == []
    assert list(call.take_tool_message(third, ACQUIRE)) == []
    assert list(call.take_tool_message(first, RELEASE)) == [TextToTool(second, GRANTED)]
    assert list(call.detach_tool(second)) == [TextToTool(third, GRANTED)]
    assert list(call.detach_tool(third)) == []
    assert call.streamer is None


def test_half_a_sample_of_a_streamer_does_not_shift_the_next() -> None:
    call, (first, second) = shared(2)
    call.take_tool_message(first, audio(b"111"))
    call.take_tool_message(second, ACQUIRE)

    assert list(call.detach_tool(first)) == [AudioToJambonz(b"\0"), TextToTool(second, GRANTED)]


def test_empty_audio_takes_nothing() -> None:
    call, (tool,) = shared(1)

    assert list(call.take_tool_message(tool, audio(b""))) == []
    assert call.streamer is None


def test_sync_is_answered_behind_what_was_sent_before_even_to_a_tool_that_waits_its_turn() -> None:
    call, (first, second) = shared(2)
    call.take_tool_message(first, ACQUIRE)
    call.take_tool_message(second, ACQUIRE)

    actions = [
        *call.take_tool_message(second, TextMessage(b"x")),
        *call.take_tool_message(second, TextMessage(b'{"type":"listenctl:sync"}')),
    ]

    (passed, synced) = actions
    assert passed == TextToJambonz(b"x")
    assert isinstance(synced, TextToTool)
    assert synced.tool == second
    assert json.loads(synced.text)["type"] == "listenctl:synced"


def test_control_messages_never_reach_jambonz() -> None:
    call, (tool,) = shared(1)

    for kind in (*ToolMessageType, "listenctl:other", "listenctl:"):
        actions = call.take_tool_message(tool, TextMessage(json.dumps({"Type": kind}).encode()))
        assert not any(isinstance(action, TextToJambonz) for action in actions)
    assert [reason(action) for action in actions] == ["unknown-control"]


def test_a_refusal_says_why_in_json() -> None:
    text = ToolRefusal(RefusalReason.STREAM_BUSY, "wait").serialize()

    assert text == '{"type":"listenctl:error","data":{"reason":"stream-busy","detail":"wait"}}'
