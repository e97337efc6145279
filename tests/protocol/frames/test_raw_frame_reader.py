"""Valid and invalid frames on the wire."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame
from websockets.protocol import Protocol, Side

from listenctl.protocol.frames.raw_frame_reader import RawFrame, RawFrameReader
from tests.helpers.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, binary, frame

DATA = st.binary(max_size=200) | st.integers(120, 70_000).map(lambda size: bytes([size & 0xFF]) * size)
FRAMES = st.lists(
    st.tuples(st.sampled_from([TEXT, BINARY, PING, PONG]), DATA).map(
        lambda one: (one[0], one[1][:125] if one[0] in (PING, PONG) else one[1])
    ),
    max_size=8,
)


def read(*pieces: bytes, max_frame: int = 1 << 20) -> list[RawFrame]:
    reader = RawFrameReader(max_frame)
    return [one for piece in pieces for one in reader.feed(piece)]


def bytewise(stream: bytes) -> list[bytes]:
    return [bytes([byte]) for byte in stream]


def test_a_frame_is_unmasked_and_told_as_it_was() -> None:
    frames = read(frame(BINARY, b"\x01\x02\x03", fin=False, rsv=4) + frame(CONTINUATION, b"end", mask=None))

    assert frames == [RawFrame(False, 4, BINARY, True, b"\x01\x02\x03"), RawFrame(True, 0, CONTINUATION, False, b"end")]


def test_frames_that_are_not_allowed_are_given_all_the_same() -> None:
    stream = (
        frame(0x3, b"reserved")
        + frame(0xF, b"\x00" * 200, fin=False, mask=None)
        + b"\x82\xfe\x00\x01\x00\x00\x00\x00A"
        + b"\x82\x7f\x00\x00\x00\x00\x00\x00\x00\x01B"
        + b"\x88\x01\x03"
        + binary(b"after the Close")
    )

    frames = read(stream)

    assert [one.opcode for one in frames] == [0x3, 0xF, BINARY, BINARY, CLOSE, BINARY]
    assert [one.payload for one in frames[2:4]] == [b"A", b"B"]
    assert frames[-1].payload == b"after the Close"


@pytest.mark.parametrize("length", [1 << 63, (1 << 64) - 1, 1001])
def test_after_an_impossible_length_there_is_nothing_more(length: int) -> None:
    reader = RawFrameReader(1000)

    before = reader.feed(binary(b"good") + b"\x82\xff" + length.to_bytes(8, "big")[:-1])
    assert reader.fault == ""
    # The length is a fault as soon as it is there.
    reader.feed(length.to_bytes(8, "big")[-1:])
    after = reader.feed(binary(b"lost"))

    assert [one.payload for one in before] == [b"good"]
    assert after == []
    assert reader.fault == f"a frame of {length} bytes, which is more than 1000"


@given(FRAMES, st.binary(max_size=6), st.booleans())
def test_it_reads_what_the_library_reads(sent: list[tuple[int, bytes]], trail: bytes, whole: bool) -> None:
    stream = b"".join(frame(opcode, data) for opcode, data in sent)
    library = Protocol(Side.SERVER, max_size=None)
    library.receive_data(stream)
    expected = [one for one in library.events_received() if isinstance(one, Frame)]

    ours = read(stream + trail) if whole or len(stream) > 2000 else read(*bytewise(stream + trail))

    ours = ours[: len(expected)]
    assert [(one.opcode, one.payload, one.fin) for one in ours] == [
        (int(one.opcode), bytes(one.data), one.fin) for one in expected
    ]
    assert len(expected) == len(sent)
    assert all(one.masked and one.rsv == 0 for one in ours)


@given(st.lists(st.binary(max_size=60), max_size=20))
def test_cuts_never_matter_and_nothing_raises(pieces: list[bytes]) -> None:
    stream = b"".join(pieces)
    cut, whole, single = RawFrameReader(500), RawFrameReader(500), RawFrameReader(500)

    frames = [one for piece in pieces for one in cut.feed(piece)]

    assert frames == whole.feed(stream)
    assert frames == [one for byte in bytewise(stream) for one in single.feed(byte)]
    assert cut.fault == whole.fault == single.fault


@pytest.mark.parametrize("size", [5, 300, 70_000])
@pytest.mark.parametrize("mask", [None, b"abcd"])
def test_a_frame_that_has_begun_is_given_with_what_it_lacks(size: int, mask: bytes | None) -> None:
    payload = bytes(index % 256 for index in range(size))
    reader = RawFrameReader()

    reader.feed(binary(b"before") + frame(1, payload, mask=mask, fin=False)[:-2])

    assert reader.incomplete_frame() == (RawFrame(False, 0, 1, mask is not None, payload[:-2]), 2)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 7, 8, 50])
def test_a_frame_has_begun_with_its_header(size: int) -> None:
    reader = RawFrameReader()

    reader.feed(binary(b"whole") + binary(bytes(200))[:size])

    assert reader.held_bytes == size
    begun = (RawFrame(True, 0, 2, True, bytes(size - 8)), 208 - size) if size >= 8 else None
    assert reader.incomplete_frame() == begun
