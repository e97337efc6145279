import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listenctl.protocol.call_sharing.shared_stream import (
    PlayoutClock,
    SampleBoundaries,
    Speaker,
    StreamTail,
    StreamTurns,
    TurnEnd,
)
from listenctl.protocol.call_sharing.sharing_actions import AudioToJambonz, TextToJambonz, TextToTool
from listenctl.protocol.call_sharing.tool_messages import RefusalReason, ToolMessageType, ToolRefusal
from listenctl.protocol.frames.websocket_messages import BinaryMessages, TextMessage
from tests.protocol.call_sharing.test_shared_call import audio, reason, shared

SECOND = 16_000
"""Bytes at 8000 Hz."""


@pytest.mark.parametrize(
    ("sent", "at", "left"),
    [
        ([(2, 10.0)], 10.0, 2.0),
        ([(2, 10.0)], 10.5, 1.5),
        ([(2, 10.0)], 12.0, 0.0),
        ([(2, 10.0)], 99.0, 0.0),
        # A time in which nothing played is not made up for.
        ([(1, 0.0), (1, 60.0)], 60.25, 0.75),
        ([(1, 0.0), (1, 0.2), (1, 0.4)], 0.5, 2.5),
    ],
)
def test_audio_plays_from_when_it_comes_behind_what_is_left(
    sent: list[tuple[int, float]], at: float, left: float
) -> None:
    clock = PlayoutClock()

    for seconds, came_at in sent:
        clock.add_bytes(seconds * SECOND, 8000, came_at)

    assert clock.seconds_left(8000, at) == pytest.approx(left)


def test_without_a_rate_it_knows_only_that_nothing_was_sent() -> None:
    clock = PlayoutClock()
    assert clock.seconds_left(None, 0.0) == 0.0

    clock.add_bytes(SECOND, None, 1.0)

    assert clock.seconds_left(None, 1.5) is None
    # What was played until the rate became known is known then.
    assert clock.seconds_left(8000, 1.5) == 0.5


@given(st.lists(st.tuples(st.integers(0, 50_000), st.floats(0, 5)), max_size=30))
def test_never_more_than_was_sent_nor_less_than_what_time_can_have_played(sent: list[tuple[int, float]]) -> None:
    clock, now, total = PlayoutClock(), 0.0, 0.0

    for size, pause in sent:
        clock.add_bytes(size, 8000, now)
        total += size / SECOND
        now += pause
        left = clock.seconds_left(8000, now)
        assert left is not None
        assert max(0.0, total - now) - 1e-6 <= left <= total + 1e-6


def test_a_dropped_stream_that_gets_the_turn_goes_on_with_a_whole_sample() -> None:
    turns = StreamTurns()
    turns.request_turn(1)
    turns.take_audio(2, b"abc")

    turns.end_turn(1)

    assert turns.take_audio(2, b"def") == b"ef"
    assert turns.end_turn(2) == TurnEnd()


STEPS = st.tuples(st.sampled_from(["audio", "ask", "leave"]), st.integers(1, 4), st.integers(1, 5))


@given(st.lists(STEPS, max_size=60))
def test_every_turn_is_whole_samples_of_one_tool(steps: list[tuple[str, int, int]]) -> None:
    turns = StreamTurns()
    positions = dict.fromkeys(range(1, 5), 0)
    streamed = b""

    for step, tool, size in steps:
        before = turns.holder
        match step:
            case "audio":
                # High and low bytes of each tool's samples differ, so a shift shows.
                sent = bytes(16 * tool + (positions[tool] + at) % 2 for at in range(size))
                positions[tool] += size
                streamed += turns.take_audio(tool, sent) or b""
                assert turns.holder == before or before is None
            case "ask":
                positions[tool] *= turns.request_turn(tool) == (before == tool)
            case "leave":
                end = turns.end_turn(tool)
                streamed += end.padding
                positions[tool] = 0
                if end.next is not None:
                    positions[end.next] = 0

    for low, high in zip(streamed[::2], streamed[1::2], strict=False):
        assert low % 16 == 0
        assert high in (low + 1, 0)


SOUND = b"\x01\x00" * 100
PAD = bytes(2560)


@pytest.mark.parametrize(
    ("sent", "rate", "samples"),
    [
        ([SOUND], 8000, 1280),
        ([SOUND], 16_000, 2560),
        ([SOUND], 24_000, 3840),
        ([SOUND], None, 3840),
        # Enough silence behind it.
        ([], 8000, 0),
        ([PAD], 8000, 0),
        ([SOUND, PAD], 8000, 0),
        ([SOUND + PAD], 8000, 0),
        ([SOUND, bytes(2000), bytes(560)], 8000, 0),
        # Too little silence is none.
        ([SOUND, bytes(2558)], 8000, 1280),
        ([SOUND, PAD, SOUND], 8000, 1280),
        ([SOUND, bytes(2000), SOUND, bytes(2000)], 8000, 1280),
    ],
)
def test_zeros_behind_a_sound_fill_the_pre_buffer(sent: list[bytes], rate: int | None, samples: int) -> None:
    tail = StreamTail()
    for data in sent:
        tail.add_audio(data)

    assert len(tail.flushing_zeros(rate)) == 2 * samples


@pytest.mark.parametrize(
    "said",
    [
        # One speaker alone is left as it is.
        [("application", piece, piece) for piece in (b"\x01", b"\x02\x03", b"", b"\x04\x05\x06")],
        # A sample that another speaker cuts is completed and its rest left out.
        [
            ("application", b"\x01\x02\x03", b"\x01\x02\x03"),
            ("tool", b"\x11\x12\x13", b"\0\x11\x12\x13"),
            ("application", b"\x04", b"\0"),
            ("application", b"\x05\x06", b"\x05\x06"),
            ("tool", b"\x14\x15\x16", b"\x15\x16"),
        ],
        # Nothing said owes nothing.
        [
            ("application", b"\x01", b"\x01"),
            ("tool", b"\x11\x12", b"\0\x11\x12"),
            ("application", b"", b""),
            ("application", b"\x02\x03\x04", b"\x03\x04"),
        ],
    ],
    ids=["alone", "cut", "nothing said"],
)
def test_two_speakers_never_share_a_sample(said: list[tuple[Speaker, bytes, bytes]]) -> None:
    seams = SampleBoundaries()

    assert [seams.align_audio(speaker, data) for speaker, data, _ in said] == [sent for _, _, sent in said]


def test_whole_samples_arrive_as_they_were_said_whatever_the_cuts() -> None:
    chance = random.Random(1)
    for _ in range(300):
        seams, sent = SampleBoundaries(), bytearray()
        # Low bytes are even and high bytes odd, and the speaker can be read off both.
        places: dict[Speaker, int] = {"application": 0, "tool": 0}
        for _ in range(chance.randrange(1, 30)):
            speaker: Speaker = chance.choice(["application", "tool"])
            size, at = chance.randrange(6), places[speaker]
            base = 0x40 if speaker == "application" else 0x80
            sent += seams.align_audio(speaker, bytes(base + (at + index) % 2 for index in range(size)))
            places[speaker] += size

        low, high = sent[0::2], sent[1::2]
        assert all(byte in (0x40, 0x80) for byte in low)
        assert all(after in (before + 1, 0) for before, after in zip(low, high, strict=False))


ACQUIRE = TextMessage(b'{"type":"listenctl:acquire"}')
RELEASE = TextMessage(b'{"type":"listenctl:release"}')
GRANTED = b'{"type":"listenctl:granted"}'


def test_a_second_streamer_is_refused_once_and_its_audio_dropped() -> None:
    call, (first, second) = shared(2)

    assert list(call.take_tool_message(first, audio(b"1111"))) == [AudioToJambonz(b"1111")]
    (refuse,) = call.take_tool_message(second, audio(b"2222"))
    assert reason(refuse) == "stream-busy"
    assert list(call.take_tool_message(second, audio(b"2222"))) == []
    assert list(call.take_tool_message(first, audio(b"1111"))) == [AudioToJambonz(b"1111")]
    assert call._stream.turns.holder == first


@pytest.mark.parametrize(
    ("steps", "refused"),
    [
        ([(0, RELEASE), (1, audio(b"22"))], 0),
        ([(0, RELEASE), (1, audio(b"22"))], 2),
        ([(1, RELEASE)], 1),
    ],
    ids=["to the former streamer", "for each streamer", "after a release"],
)
def test_a_free_stream_can_be_taken_and_refusals_are_repeated(
    steps: list[tuple[int, TextMessage | BinaryMessages]], refused: int
) -> None:
    call, tools = shared(3)
    for tool in tools:
        call.take_tool_message(tool, audio(b"11"))

    actions = [list(call.take_tool_message(tools[index], message)) for index, message in steps]

    assert actions in ([[], [AudioToJambonz(b"22")]], [[]])
    assert [reason(action) for action in call.take_tool_message(tools[refused], audio(b"33"))] == ["stream-busy"]


def test_who_asks_waits_for_its_turn_in_order_and_is_passed_over_when_it_leaves() -> None:
    call, (first, second, third, fourth) = shared(4)

    asked = [list(call.take_tool_message(tool, ACQUIRE)) for tool in (first, second, third, fourth, second, first)]
    assert asked == [[TextToTool(first, GRANTED)], [], [], [], [], [TextToTool(first, GRANTED)]]
    assert list(call.take_tool_message(first, RELEASE)) == [TextToTool(second, GRANTED)]
    assert list(call.detach_tool(third)) == []
    assert list(call.detach_tool(second)) == [TextToTool(fourth, GRANTED)]
    assert list(call.detach_tool(fourth)) == []
    assert call._stream.turns.holder is None


def test_half_a_sample_of_a_streamer_does_not_shift_the_next() -> None:
    call, (first, second) = shared(2)
    call.take_tool_message(first, audio(b"111"))
    call.take_tool_message(second, ACQUIRE)

    assert list(call.detach_tool(first)) == [AudioToJambonz(b"\0"), TextToTool(second, GRANTED)]
    assert list(call.take_tool_message(second, audio(b"22"))) == [AudioToJambonz(b"22")]


def test_empty_audio_takes_nothing() -> None:
    call, (tool,) = shared(1)

    assert list(call.take_tool_message(tool, audio(b""))) == []
    assert call._stream.turns.holder is None


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
