"""The reader gives the same messages, answers and failures as the library alone, after every read."""

from collections.abc import Callable, Iterable, Sequence
from struct import Struct
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

import listenctl.protocol.frames.client_frame_reader as client_frame_reader
from listenctl.protocol.frames.client_frame_reader import ClientFrameReader
from listenctl.protocol.frames.frame_rate_limit import FRAMES_PER_TURN
from listenctl.protocol.frames.websocket_messages import BinaryMessages, ControlFrame, ReceivedMessage, TextMessage
from tests.helpers.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, binary, close, frame, text

MAX_SIZE = 70_000
SIZES = (0, 1, 2, 4, 124, 125, 126, 127, 320, 320, 624, 640, 999, 1000, 1001, 1280, 32_768, 32_769, 65_535, 65_536)

Said = tuple[str, bytes]


class Condition(NamedTuple):
    """What can be seen of a connection after a read."""

    messages: list[Said]
    answer: bytes
    failure: str
    close_received: Close | None
    close_sent: Close | None
    state: int


def open_protocol(max_size: int = MAX_SIZE) -> ServerProtocol:
    return ServerProtocol(state=OPEN, max_size=max_size)


def open_reader(max_size: int = MAX_SIZE) -> tuple[ClientFrameReader, ServerProtocol]:
    protocol = open_protocol(max_size)
    return ClientFrameReader(protocol, max_size=max_size), protocol


def condition(protocol: ServerProtocol, messages: list[Said]) -> Condition:
    return Condition(
        messages,
        b"".join(protocol.data_to_send()),
        repr(protocol.parser_exc),
        protocol.close_rcvd,
        protocol.close_sent,
        protocol.state,
    )


def expand(messages: Iterable[ReceivedMessage]) -> list[Said]:
    """Return messages as one pair each, runs of audio taken apart."""
    said: list[Said] = []
    for message in messages:
        match message:
            case BinaryMessages(data, message_bytes, count):
                assert len(data) == message_bytes * count
                said += [("binary", data[at * message_bytes : (at + 1) * message_bytes]) for at in range(count)]
            case TextMessage(data):
                said.append(("text", data))
            case ControlFrame(control):
                said.append((control.opcode.name.lower(), bytes(control.data)))
    return said


class Library:
    """The reference: all bytes go through the library."""

    def __init__(self, protocol: ServerProtocol) -> None:
        self._protocol = protocol
        self._begun: list[Frame] = []

    def receive(self, data: bytes) -> list[Said]:
        self._protocol.receive_data(data)
        return [said for event in self._protocol.events_received() for said in self._take(event)]

    def _take(self, event: object) -> list[Said]:
        assert isinstance(event, Frame)
        if event.opcode in (Opcode.CLOSE, Opcode.PING, Opcode.PONG):
            return [(event.opcode.name.lower(), bytes(event.data))]
        self._begun.append(event)
        if not event.fin:
            return []
        frames, self._begun = self._begun, []
        return [(frames[0].opcode.name.lower(), b"".join(bytes(part.data) for part in frames))]


def conditions_of(
    receive: Callable[[bytes], list[Said]],
    receive_eof: Callable[[], object],
    protocol: ServerProtocol,
    reads: Sequence[bytes],
    close_after: int,
) -> list[Condition]:
    conditions = []
    for index, read in enumerate(reads):
        if index == close_after and protocol.state is OPEN:
            protocol.send_close(1001)
        conditions.append(condition(protocol, receive(read)))
    receive_eof()
    return [*conditions, condition(protocol, [])]


def through_reader(reads: Sequence[bytes], max_size: int, close_after: int) -> list[Condition]:
    reader, protocol = open_reader(max_size)

    def receive(read: bytes) -> list[Said]:
        messages = reader.receive_data(read)
        while reader.left:
            messages += reader.receive_data(reader.left)
        return expand(messages)

    return conditions_of(receive, reader.receive_eof, protocol, reads, close_after)


def through_library(reads: Sequence[bytes], max_size: int, close_after: int) -> list[Condition]:
    protocol = open_protocol(max_size)
    return conditions_of(Library(protocol).receive, protocol.receive_eof, protocol, reads, close_after)


def cut(stream: bytes, sizes: Sequence[int]) -> list[bytes]:
    """Cut ``stream`` into reads of ``sizes`` bytes in turn."""
    reads: list[bytes] = []
    at = 0
    while at < len(stream):
        size = sizes[len(reads) % len(sizes)]
        reads.append(stream[at : at + size])
        at += size
    return reads


def cut_beginning(stream: bytes, share: float, sizes: Sequence[int]) -> list[bytes]:
    """Cut the first part of ``stream`` into reads, a long one into fewer."""
    return cut(stream[: int(len(stream) * share)], [max(size, len(stream) // 1000) for size in sizes])


def long_form(opcode: int, payload: bytes, length_bytes: int) -> bytes:
    """Return a masked frame with a length in more bytes than needed."""
    code = {2: 126, 8: 127}[length_bytes]
    return bytes([0x80 | opcode, 0x80 | code]) + len(payload).to_bytes(length_bytes, "big") + bytes(4) + payload


def payloads_of(sizes: Sequence[int]) -> st.SearchStrategy[bytes]:
    return st.builds(
        lambda size, seed: (seed * (size // len(seed) + 1))[:size],
        st.sampled_from(sizes),
        st.binary(min_size=1, max_size=9),
    )


@st.composite
def fragmented(
    draw: st.DrawFn,
    build: Callable[..., bytes],
    payloads: st.SearchStrategy[bytes],
    controls: st.SearchStrategy[bytes],
    runs: st.SearchStrategy[bytes],
) -> bytes:
    """A message in fragments, with control frames in between."""
    frames = [build(draw(st.sampled_from((TEXT, BINARY))), draw(payloads), fin=False)]
    for payload in draw(st.lists(st.one_of(payloads, st.just(b"")), max_size=4)):
        frames += [draw(st.one_of(st.just(b""), controls)), build(CONTINUATION, payload, fin=False)]
    return b"".join([*frames, draw(st.one_of(st.just(b""), controls, runs)), build(CONTINUATION, draw(payloads))])


def streams_of(good: st.SearchStrategy[bytes], end: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Return streams of valid frames with at most one ``end`` among the last."""
    return st.builds(
        lambda frames, end, tail: b"".join([*frames, *end, *tail]),
        st.lists(good, max_size=6),
        st.lists(end, max_size=1),
        st.lists(good, max_size=2),
    )


payloads = payloads_of(SIZES)
short = st.binary(max_size=125)
masks = st.binary(min_size=4, max_size=4)
runs = st.builds(
    lambda payload, masks: b"".join(
        frame(BINARY, payload[at:] + payload[:at], mask=mask) for at, mask in enumerate(masks)
    ),
    payloads,
    st.lists(masks, min_size=1, max_size=9),
)
messages = st.builds(
    lambda opcode, payload, mask: frame(opcode, payload, mask=mask), st.sampled_from((TEXT, BINARY)), payloads, masks
)
controls = st.builds(
    lambda opcode, payload, mask: frame(opcode, payload, mask=mask), st.sampled_from((PING, PONG)), short, masks
)


closes = st.one_of(
    st.sampled_from((close(), close(None), close(1001, "bye"), close(4000), close(1000, "é"))),
    st.sampled_from((close(999), close(1005), close(1006), close(5000), close(0))),
    st.sampled_from((frame(CLOSE, b"\x03"), frame(CLOSE, b"\x03\xe8\xff"), frame(CLOSE, bytes(126)))),
)
faults = st.one_of(
    st.builds(
        lambda opcode, payload: frame(opcode, payload, mask=None), st.sampled_from((TEXT, BINARY, PING)), payloads
    ),
    st.builds(lambda size: frame(BINARY, bytes(size), mask=None), st.integers(0, 130)),
    st.builds(lambda rsv, payload: frame(BINARY, payload, rsv=rsv), st.integers(1, 7), payloads),
    st.builds(frame, st.sampled_from((3, 7, 11, 15)), payloads),
    st.sampled_from((frame(PING, bytes(126)), frame(PING, b"x", fin=False), frame(CONTINUATION, b"x"))),
    st.sampled_from((frame(CONTINUATION, b"", fin=False), b"\x82\xff" + b"\xff" * 8, b"\x82\xff" + b"\x7f" * 12)),
)
long_forms = st.builds(long_form, st.sampled_from((TEXT, BINARY, PING)), short, st.sampled_from((2, 8)))
good = st.one_of(runs, runs, messages, controls, fragmented(frame, payloads, controls, runs), long_forms)
streams = streams_of(good, st.one_of(faults, closes, st.binary(max_size=20)))
cuts = st.lists(st.sampled_from((1, 2, 3, 5, 14, 100, 326, 327, 1044, 4096, 65_536, 1_000_000)), min_size=1, max_size=9)


@settings(max_examples=500)
@given(
    stream=streams,
    kept=st.one_of(st.just(1.0), st.floats(0, 1)),
    sizes=cuts,
    max_size=st.sampled_from((1000, MAX_SIZE)),
    close_after=st.one_of(st.just(-1), st.integers(0, 5)),
)
def test_any_stream_gives_what_the_library_gives(
    stream: bytes, kept: float, sizes: list[int], max_size: int, close_after: int
) -> None:
    reads = cut_beginning(stream, kept, sizes)

    assert through_reader(reads, max_size, close_after) == through_library(reads, max_size, close_after)


def test_frames_of_a_call_come_out_as_one_run() -> None:
    reader, _ = open_reader()

    # e8 03 fe ff under the mask 12 9a 5c e7, then the same under another one.
    found = reader.receive_data(
        b"\x82\x84\x12\x9a\x5c\xe7\xfa\x99\xa2\x18" + b"\x82\x84\xff\x00\xff\x00\x17\x03\x01\xff"
    )

    assert found == [BinaryMessages(b"\xe8\x03\xfe\xff\xe8\x03\xfe\xff", 4, 2)]


@pytest.mark.parametrize("size", [1, 125, 126, 127, 320, 32_762, 32_768, 32_769, 65_535, 65_536])
def test_a_message_is_the_same_whole_and_byte_by_byte(size: int) -> None:
    payload = bytes(index % 251 for index in range(size))
    stream = binary(payload) + text("{}") + binary(payload)
    expected = [("binary", payload), ("text", b"{}"), ("binary", payload)]

    assert expand(open_reader()[0].receive_data(stream)) == expected
    reader, _ = open_reader()
    assert [
        said for read in cut(stream, [1 if size < 1000 else 61]) for said in expand(reader.receive_data(read))
    ] == expected


def test_an_empty_binary_message_stays_a_message() -> None:
    reader, _ = open_reader()

    assert reader.receive_data(binary(b"ab") + binary(b"") + binary(b"cd")) == [
        BinaryMessages(b"ab", 2, 1),
        BinaryMessages(b"", 0, 1),
        BinaryMessages(b"cd", 2, 1),
    ]


@pytest.mark.parametrize("size", range(130))
def test_an_unmasked_frame_of_any_size_fails_the_connection(size: int) -> None:
    reader, protocol = open_reader()

    assert reader.receive_data(frame(BINARY, bytes(size), mask=None)) == []
    assert str(protocol.parser_exc) == "incorrect masking"


@pytest.mark.parametrize("head", [b"\x83\xfe", b"\x82\x7e"], ids=["reserved opcode", "unmasked"])
def test_a_frame_that_two_bytes_condemn_is_refused_at_once(head: bytes) -> None:
    reader, protocol = open_reader()

    reader.receive_data(head)

    assert protocol.eof_sent


def test_pings_between_audio_are_answered() -> None:
    reader, protocol = open_reader()

    found = reader.receive_data(binary(b"ab") + frame(PING, b"hi") + binary(b"cd"))

    assert expand(found) == [("binary", b"ab"), ("ping", b"hi"), ("binary", b"cd")]
    assert protocol.data_to_send() == [b"\x8a\x02hi"]


def test_nothing_is_taken_after_a_close_or_after_we_gave_up_on_the_peer() -> None:
    closed, _ = open_reader()
    reader, protocol = open_reader()

    protocol.fail(1011, "no answer to pings")

    assert reader.receive_data(binary(b"ab")) == []
    assert expand(closed.receive_data(close(1000) + binary(b"ab"))) == [("close", b"\x03\xe8")]
    assert closed.receive_data(binary(b"ab")) == []


@pytest.mark.parametrize(
    ("limit", "stream"),
    [
        (29_999, binary(bytes(30_000))),
        (59_999, binary(bytes(60_000))),
        # Fragments count together.
        (1000, frame(BINARY, bytes(600), fin=False) + frame(CONTINUATION, bytes(600))),
    ],
)
def test_a_message_over_the_limit_is_refused(limit: int, stream: bytes) -> None:
    reader, protocol = open_reader(limit)

    assert reader.receive_data(stream) == []
    assert protocol.close_sent is not None
    assert protocol.close_sent.code == 1009


def test_endless_empty_fragments_take_no_memory() -> None:
    reader, _ = open_reader()
    reader.receive_data(frame(BINARY, b"ab", fin=False))

    for _ in range(100):
        assert reader.receive_data(frame(CONTINUATION, b"", fin=False) * 100) == []

    assert reader._message == bytearray(b"ab")
    assert reader._rest == b""


def test_what_waits_for_the_rest_of_its_frame_is_bounded() -> None:
    reader, _ = open_reader(1_000_000)
    waiting = []

    # What waits is copied at every read, so of a big frame it may be the header at most.
    for read in cut(binary(bytes(30_000)) + binary(bytes(900_000)), [100]):
        reader.receive_data(read)
        waiting.append(len(reader._rest))

    assert max(waiting[:300]) < 30_010
    assert max(waiting[301:]) < 14


def test_sizes_that_alternate_do_not_make_each_frame_cost_the_whole_read(monkeypatch: pytest.MonkeyPatch) -> None:
    unpacked = []

    def count_frames(header_bytes: int, payload_bytes: int, count: int) -> Struct:
        unpacked.append(count)
        return Struct(f"{header_bytes}s4s{payload_bytes}s" * count)

    monkeypatch.setattr(client_frame_reader, "_frames_of", count_frames)
    reader, _ = open_reader()

    assert len(reader.receive_data((binary(b"a") + binary(b"bc")) * 1000)) == FRAMES_PER_TURN
    assert sum(unpacked) <= 64 * FRAMES_PER_TURN
