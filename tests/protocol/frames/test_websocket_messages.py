import pytest
from websockets.frames import Frame, Opcode

from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.protocol.frames.websocket_messages import (
    BinaryMessages,
    ControlFrame,
    FrameFault,
    MessageAssembler,
    TextMessage,
    add_fragment,
)
from tests.helpers.frames import BINARY, CLOSE, CONTINUATION, PING, TEXT


def sent(opcode: int, payload: bytes, *, fin: bool = True, rsv: int = 0, masked: bool = True) -> RawFrame:
    return RawFrame(fin, rsv, opcode, masked, payload)


def join(*frames: RawFrame, max_message: int = 1000) -> list[BinaryMessages | TextMessage | ControlFrame | FrameFault]:
    joiner = MessageAssembler(masked=True, max_message=max_message)
    return [message for frame in frames for message in joiner.feed_frame(frame)]


def test_a_binary_message_in_several_frames_has_their_sizes() -> None:
    frames = [sent(BINARY, b"ab", fin=False), sent(CONTINUATION, b"", fin=False), sent(CONTINUATION, b"c")]

    assert join(*frames) == [BinaryMessages(b"abc", 3, 1, (2, 1))]


def test_the_sizes_of_too_many_frames_are_added_up() -> None:
    sizes: list[int] = []
    for _ in range(65_540):
        add_fragment(sizes, 1)

    assert (len(sizes), sizes[-1], sum(sizes)) == (65_536, 5, 65_540)


def test_fragments_are_joined_around_control_frames() -> None:
    frames = [sent(TEXT, b"a", fin=False), sent(PING, b"p"), sent(CONTINUATION, b"b", fin=False)]

    messages = join(*frames, sent(CONTINUATION, b"c"), sent(BINARY, b""))

    assert messages == [ControlFrame(Frame(Opcode.PING, b"p")), TextMessage(b"abc"), BinaryMessages(b"", 0, 1)]


@pytest.mark.parametrize(
    ("frame", "rules"),
    [
        (sent(BINARY, b"ab", masked=False), ["frame-masking"]),
        (sent(BINARY, b"ab", rsv=4), ["frame-reserved-bits"]),
        (sent(BINARY, b"ab", masked=False, rsv=1), ["frame-masking", "frame-reserved-bits"]),
        (sent(0x3, b""), ["frame-opcode"]),
        (sent(PING, b"", fin=False), ["frame-control"]),
        (sent(CLOSE, bytes(126)), ["frame-control"]),
        (sent(CONTINUATION, b""), ["frame-order"]),
    ],
)
def test_a_frame_against_the_rfc_is_named_and_what_can_be_read_of_it_is_read(frame: RawFrame, rules: list[str]) -> None:
    messages = join(frame)

    assert [message.rule for message in messages if isinstance(message, FrameFault)] == rules
    assert messages[-1] == BinaryMessages(b"ab", 2, 1) or frame.payload != b"ab"


def test_a_message_within_a_fragmented_one_costs_that_and_not_itself() -> None:
    messages = join(sent(TEXT, b"a", fin=False), sent(BINARY, b"b"), sent(CONTINUATION, b"c"), sent(TEXT, b"d"))

    assert [message for message in messages if not isinstance(message, FrameFault)] == [
        BinaryMessages(b"b", 1, 1),
        TextMessage(b"d"),
    ]
    assert [message.rule for message in messages if isinstance(message, FrameFault)] == ["frame-order"] * 2


def test_a_message_that_is_too_long_is_named_once_and_not_held() -> None:
    frames = [sent(TEXT, bytes(6), fin=False), *[sent(CONTINUATION, bytes(6), fin=False)] * 5, sent(CONTINUATION, b"x")]

    messages = join(*frames, sent(TEXT, b"next"), sent(BINARY, bytes(11)), sent(BINARY, bytes(10)), max_message=10)

    too_long = FrameFault("message-too-long", "a message of more than 10 bytes")
    assert messages == [too_long, TextMessage(b"next"), too_long, BinaryMessages(bytes(10), 10, 1)]
