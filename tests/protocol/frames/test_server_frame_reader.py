"""The frames of a server, against the library alone: the same messages and answers, whatever the cuts."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from listenctl.protocol.frames.server_frame_reader import (
    PongReply,
    ServerEvent,
    ServerFrameReader,
    ServerMessage,
    ServerStreamEnd,
)
from tests.helpers.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, frame
from tests.protocol.frames.test_client_frame_reader import Said, cut, cut_beginning, fragmented, payloads_of, streams_of

MAX_SIZE = 70_000
SIZES = (0, 1, 2, 124, 125, 126, 127, 320, 640, 65_535, 65_536)


def said(opcode: int, payload: bytes, *, fin: bool = True, rsv: int = 0) -> bytes:
    return frame(opcode, payload, fin=fin, rsv=rsv, mask=None)


def sent(stream: bytes) -> list[Said]:
    """Return what we send, unmasked."""
    protocol = ServerProtocol(state=OPEN)
    protocol.receive_data(stream)
    assert protocol.parser_exc is None
    return [(event.opcode.name, bytes(event.data)) for event in protocol.events_received() if isinstance(event, Frame)]


def through_frames(reads: Sequence[bytes]) -> list[ServerEvent]:
    frames = ServerFrameReader(MAX_SIZE)
    return [event for read in reads for event in frames.receive_data(read)]


def summary(events: Sequence[ServerEvent]) -> tuple[list[Said], list[Said], list[ServerStreamEnd]]:
    """Return the messages, the answers to pings, and the end."""
    messages = [
        ("text" if event.is_text else "binary", event.data) for event in events if isinstance(event, ServerMessage)
    ]
    pongs = [answer for event in events if isinstance(event, PongReply) for answer in sent(event.frame)]
    return messages, pongs, [event for event in events if isinstance(event, ServerStreamEnd)]


def through_library(reads: Sequence[bytes]) -> tuple[list[Said], list[Said], ClientProtocol]:
    protocol = ClientProtocol(parse_uri("ws://host/"), state=OPEN, max_size=MAX_SIZE)
    begun: list[Frame] = []
    messages: list[Said] = []
    pongs: list[Said] = []
    for read in reads:
        protocol.receive_data(read)
        for event in protocol.events_received():
            assert isinstance(event, Frame)
            if event.opcode in (Opcode.PING, Opcode.PONG, Opcode.CLOSE):
                pongs += [("PONG", bytes(event.data))] if event.opcode is Opcode.PING else []
                continue
            begun.append(event)
            if event.fin:
                kind = "text" if begun[0].opcode is Opcode.TEXT else "binary"
                messages.append((kind, b"".join(bytes(part.data) for part in begun)))
                begun = []
    return messages, pongs, protocol


payloads, short = payloads_of(SIZES), st.binary(max_size=125)
runs = st.builds(lambda payload, count: said(BINARY, payload) * count, payloads, st.integers(1, 9))
whole = st.builds(said, st.sampled_from((TEXT, BINARY)), payloads)
controls = st.builds(said, st.sampled_from((PING, PONG)), short)
long_forms = st.builds(
    lambda opcode, payload: bytes([0x80 | opcode, 126]) + len(payload).to_bytes(2, "big") + payload,
    st.sampled_from((TEXT, BINARY)),
    short,
)


closes = st.sampled_from(
    (b"", b"\x03", b"\x03\xe8", b"\x03\xe8bye", b"\x0f\xa0", b"\x03\xe7", b"\x03\xed", b"\x00\x00")
)
faults = st.one_of(
    st.builds(frame, st.sampled_from((TEXT, BINARY, PING)), payloads),
    st.builds(lambda rsv, payload: said(BINARY, payload, rsv=rsv), st.integers(1, 7), payloads),
    st.builds(said, st.sampled_from((3, 7, 11, 15)), payloads),
    st.sampled_from((said(PING, bytes(126)), said(PING, b"x", fin=False), said(CONTINUATION, b"x"))),
    st.sampled_from((said(BINARY, bytes(MAX_SIZE + 1)), b"\x82\x7f" + b"\xff" * 8 + bytes(20))),
    st.builds(lambda payload: said(CLOSE, payload), closes),
    st.binary(max_size=20),
)
good = st.one_of(runs, runs, whole, controls, fragmented(said, payloads, controls, runs), long_forms)
streams = streams_of(good, faults)
cuts = st.lists(st.sampled_from((1, 2, 3, 5, 14, 100, 322, 1044, 4096, 65_536, 1_000_000)), min_size=1, max_size=9)


@settings(max_examples=300, deadline=None)
@given(stream=streams, kept=st.one_of(st.just(1.0), st.floats(0, 1)), sizes=cuts)
def test_messages_and_answers_are_those_of_the_library(stream: bytes, kept: float, sizes: list[int]) -> None:
    reads = cut_beginning(stream, kept, sizes)

    messages, pongs, ends = summary(through_frames(reads))

    expected_messages, expected_pongs, protocol = through_library(reads)
    assert (messages, pongs) == (expected_messages, expected_pongs)
    if protocol.close_rcvd is not None or protocol.parser_exc is not None:
        assert len(ends) == 1
        assert ends[0].is_close or ends[0].fault
    elif ends:
        # A header that is condemned already, of a frame that the library waits for.
        protocol.receive_eof()
        assert repr(protocol.parser_exc).startswith("EOFError")
        assert ends[0].fault


@pytest.mark.parametrize("size", SIZES)
def test_a_message_is_the_same_whole_and_byte_by_byte(size: int) -> None:
    payload = bytes(index % 251 for index in range(size))
    stream = said(BINARY, payload) + said(TEXT, b"{}") + said(BINARY, payload)
    expected = [
        ServerMessage(False, payload),
        ServerMessage(True, b"{}"),
        ServerMessage(False, payload),
    ]

    assert through_frames([stream]) == expected
    assert through_frames(cut(stream, [1 if size < 1000 else 61])) == expected


def test_the_parts_of_a_message_are_joined_and_it_is_said() -> None:
    stream = said(TEXT, b"a", fin=False) + said(PING, b"hi") + said(CONTINUATION, b"\xff", fin=True) + said(TEXT, b"b")

    messages = [event for event in through_frames([stream]) if isinstance(event, ServerMessage)]

    assert messages == [ServerMessage(True, b"a\xff", (1, 1)), ServerMessage(True, b"b")]


@pytest.mark.parametrize(
    ("head", "fault"),
    [
        (b"\xc1\x7f", "a frame with reserved bits"),
        (b"\x83\x05", "a frame with the reserved opcode 3"),
        (b"\x82\xfe", "a masked frame"),
        (b"\x89\x7e", "a control frame that is fragmented or too long"),
        (b"\x09\x01", "a control frame that is fragmented or too long"),
        (b"\x80\x7e", "a continuation frame without a message"),
        (b"HE", "a frame with reserved bits"),
    ],
    ids=["RSV1", "reserved opcode", "masked", "long ping", "fragmented ping", "continuation", "garbage"],
)
def test_what_two_bytes_condemn_ends_at_once(head: bytes, fault: str) -> None:
    (end,) = through_frames([head[:1], head[1:]])

    assert isinstance(end, ServerStreamEnd)
    assert end.fault == fault


def test_a_close_inside_a_fragmented_message_is_echoed_like_any_other() -> None:
    (end,) = through_frames([said(TEXT, b"a", fin=False) + said(CLOSE, b"\x03\xe8bye")])

    assert isinstance(end, ServerStreamEnd)
    assert (sent(end.answer), end[1:]) == ([("CLOSE", b"\x03\xe8bye")], (True, 1000, "bye", ""))


def test_a_reason_that_is_no_utf8_is_echoed_as_it_is() -> None:
    (end,) = through_frames([said(CLOSE, b"\x03\xe8\xff")])

    assert isinstance(end, ServerStreamEnd)
    assert bytes(a ^ b for a, b in zip(end.answer[6:], end.answer[2:5], strict=True)) == b"\x03\xe8\xff"
    assert (end.code, end.reason, end.fault) == (1000, "\ufffd", "")


def test_nothing_is_taken_after_the_end() -> None:
    frames = ServerFrameReader()

    assert len(frames.receive_data(said(CLOSE, b"") + said(TEXT, b"late"))) == 1
    assert frames.receive_data(said(TEXT, b"later")) == []


def test_endless_empty_fragments_take_no_memory() -> None:
    frames = ServerFrameReader()
    frames.receive_data(said(BINARY, b"ab", fin=False))

    for _ in range(100):
        assert frames.receive_data(said(CONTINUATION, b"", fin=False) * 100) == []

    assert frames._message == bytearray(b"ab")


@pytest.mark.parametrize(
    ("opcode", "payload", "fault"),
    [
        (CONTINUATION, bytes(600), "an invalid message: "),
        (TEXT, b"y", "a message inside a fragmented one"),
    ],
    ids=["without end", "interleaved"],
)
def test_a_fragmented_message_goes_on_with_its_own_fragments_up_to_a_limit(
    opcode: int, payload: bytes, fault: str
) -> None:
    frames = ServerFrameReader(1000)

    assert frames.receive_data(said(BINARY, bytes(600), fin=False)) == []
    (end,) = frames.receive_data(said(opcode, payload))

    assert isinstance(end, ServerStreamEnd)
    assert end.fault.startswith(fault)
    assert end.answer == b""
