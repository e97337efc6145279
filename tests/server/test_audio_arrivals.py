"""Audio that waits is one run for the reader of frames, and everything else ends the run."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from listenctl.protocol.frames.client_frame_reader import MAX_RUN, ClientFrameReader
from listenctl.protocol.frames.websocket_messages import BinaryMessages
from listenctl.server.audio_arrivals import AudioArrivals
from tests.helpers.frames import BINARY, PING, binary, close, frame, text

TINY = b"\x82\xfe\x00\x02" + binary(bytes(2))[2:]
AUDIO = bytes(range(160))
LONGER = bytes(320)


def new_reader(max_size: int = 1 << 20) -> ClientFrameReader:
    return ClientFrameReader(ServerProtocol(state=OPEN), max_size=max_size)


def test_reads_wait_with_their_times_and_are_taken_as_one_run() -> None:
    arrivals, reader = AudioArrivals(), new_reader()

    assert not arrivals
    for number, frames in enumerate((1, 1, 3, 1)):
        assert arrivals.add_read(binary(AUDIO) * frames, float(number), reader)
    assert arrivals
    data, reads = arrivals.take_reads()

    assert reads == [(0.0, 1), (1.0, 1), (2.0, 3), (3.0, 1)]
    assert reader.receive_data(data) == [BinaryMessages(AUDIO * 6, len(AUDIO), 6)]
    assert not arrivals


@pytest.mark.parametrize(
    "other",
    [
        binary(LONGER),
        binary(AUDIO) + binary(LONGER),
        binary(AUDIO)[:-1],
        binary(AUDIO) + b"\x82",
        binary(b"\x01\x00"),
        binary(b""),
        text("{}"),
        close(),
        frame(PING, b"p"),
        frame(BINARY, AUDIO, fin=False),
        frame(BINARY, AUDIO, mask=None),
        frame(BINARY, AUDIO, rsv=4),
    ],
)
def test_anything_else_is_not_kept_and_leaves_what_waits(other: bytes) -> None:
    arrivals, reader = AudioArrivals(), new_reader()
    assert arrivals.add_read(binary(AUDIO), 1.0, reader)

    assert not arrivals.add_read(other, 2.0, reader)

    assert arrivals.take_reads() == (binary(AUDIO), [(1.0, 1)])


def test_a_run_is_bounded() -> None:
    arrivals, reader = AudioArrivals(), new_reader()
    assert arrivals.add_read(binary(AUDIO) * (MAX_RUN - 1), 1.0, reader)

    assert not arrivals.add_read(binary(AUDIO) * 2, 2.0, reader)
    assert arrivals.add_read(binary(AUDIO), 3.0, reader)
    assert not arrivals.add_read(binary(AUDIO), 4.0, reader)

    data, _ = arrivals.take_reads()
    assert len(reader.receive_data(data)) == 1


@pytest.mark.parametrize(
    "before",
    [binary(AUDIO)[:9], frame(BINARY, AUDIO, fin=False), frame(BINARY, bytes(40_000))[:-1], close()],
    ids=["a part of a frame", "a part of a message", "a part of a long frame", "the end"],
)
def test_audio_does_not_wait_where_the_reader_expects_something_else(before: bytes) -> None:
    reader = new_reader()
    reader.receive_data(before)

    assert reader.count_audio_frames(binary(AUDIO)) == 0


def test_a_frame_beyond_the_limit_does_not_wait() -> None:
    assert new_reader(max_size=160).count_audio_frames(binary(AUDIO)) == 1
    assert new_reader(max_size=159).count_audio_frames(binary(AUDIO)) == 0


def test_tiny_frames_do_not_wait_even_if_their_length_has_16_bits() -> None:
    assert new_reader().count_audio_frames(TINY) == 0


PIECES = st.sampled_from(
    [
        binary(AUDIO),
        binary(LONGER),
        frame(BINARY, AUDIO, mask=b"\x01\x02\x03\x04"),
        binary(b"\x01"),
        binary(b""),
        frame(BINARY, AUDIO, fin=False),
        frame(BINARY, bytes(33_000)),
        text("{}"),
        TINY,
        b"\x82\xfe\x00",
    ]
)


@given(st.lists(PIECES, max_size=4), st.lists(PIECES, min_size=1, max_size=5))
def test_what_counts_as_audio_is_taken_as_one_run(before: Sequence[bytes], read: Sequence[bytes]) -> None:
    reader = new_reader()
    for piece in before:
        reader.receive_data(piece)
    data = b"".join(read)

    count = reader.count_audio_frames(data)
    messages = reader.receive_data(data)

    assert count in (0, len(read))
    if count:
        (run,) = messages
        assert isinstance(run, BinaryMessages)
        assert run.messages == count
        assert reader.count_audio_frames(binary(AUDIO)) == 1


def test_audio_waits_while_more_follows_but_not_for_long() -> None:
    arrivals, reader = AudioArrivals(), new_reader()
    assert not arrivals.can_wait(10.0)

    for number in range(16):
        assert arrivals.add_read(binary(AUDIO), 10.0 + 0.02 * number, reader)

    assert arrivals.can_wait(10.31)
    assert not arrivals.can_wait(10.35)  # Nothing has followed for a while.
    for number in range(16, 25):
        assert arrivals.add_read(binary(AUDIO), 10.0 + 0.02 * number, reader)
    assert not arrivals.can_wait(10.49)
