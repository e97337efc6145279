"""Sessions of captures in which packets are missing, cut, late, repeated or changed, or the begin isn't there."""

import gzip
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from listenctl.capture.packets.read_pcap import read_pcap
from listenctl.capture.packets.tcp_events import TcpData, TcpGap
from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.protocol.listen_session import Sender
from tests.helpers.capture import FOLDER
from tests.helpers.captured import (
    found,
    frames,
    losses,
    payloads,
    seen,
    sessions,
    unmasked,
    upgraded,
)
from tests.helpers.frames import binary, frame, text
from tests.helpers.pcap import (
    ACK,
    CLIENT,
    RST,
    SERVER,
    Damage,
    Packet,
    Talk,
    cut,
    doubled,
    dropped,
    in_pieces,
    packets_of,
    pcap,
    read,
    reordered,
    said,
)

BOTH_WAYS = ["c2_bidir_stream8k_marks_nominus1", "e_playaudio_featureserver"]


def packets(name: str) -> list[Packet]:
    return packets_of(gzip.decompress((FOLDER / f"{name}.pcap.gz").read_bytes()))


@pytest.mark.parametrize("name", BOTH_WAYS)
@pytest.mark.parametrize("damage", [doubled, reordered])
@pytest.mark.parametrize("seed", range(3))
def test_repeated_and_late_packets_change_no_frame(name: str, damage: Damage, seed: int) -> None:
    original = packets(name)

    damaged = found(damage(original, random.Random(seed)))

    for sender in Sender:
        assert frames(damaged, sender) == frames(found(original), sender)


@pytest.mark.parametrize("name", BOTH_WAYS)
@pytest.mark.parametrize("damage", [dropped, cut])
@pytest.mark.parametrize("seed", range(5))
def test_lost_packets_cost_no_frame_that_is_whole(name: str, damage: Damage, seed: int) -> None:
    original = packets(name)
    kept = damage(original, random.Random(seed))

    damaged = found(kept)

    for stream, sender in enumerate((Sender.JAMBONZ, Sender.APPLICATION)):
        lost = list(missing(kept, stream))
        whole = [
            one
            for start, end, one in placed(original, stream, frames(found(original), sender))
            if not any(start < after and before < end for before, after in lost)
        ]
        assert frames(damaged, sender) == whole


def missing(packets: Sequence[Packet], stream: int) -> Iterator[tuple[int, int]]:
    """Yield the begin and the end of what isn't in the capture of a stream, all after the last packet included."""
    end = 0
    for one in read(read_pcap(iter([pcap(packets)]))):
        if isinstance(one, TcpData | TcpGap) and one.stream is one.stream.connection.streams[stream]:
            size = len(one.data) if isinstance(one, TcpData) else one.size or 0
            if isinstance(one, TcpGap):
                yield end, end + size
            end += size
    yield end, 1 << 40


def placed(original: Sequence[Packet], stream: int, frames: Iterable[RawFrame]) -> Iterator[tuple[int, int, RawFrame]]:
    """Yield where in a stream each frame begins and ends."""
    said_ = said(read(read_pcap(iter([pcap(original)]))))[stream]
    at = said_.index(b"\r\n\r\n") + 4
    for one in frames:
        extended = 0 if len(one.payload) < 126 else 2 if len(one.payload) < 65_536 else 8
        end = at + 2 + extended + 4 * one.masked + len(one.payload)
        yield at, end, one
        at = end
    assert at == len(said_)


@pytest.mark.parametrize("name", BOTH_WAYS)
@pytest.mark.parametrize("first", [7, 60, 333])
def test_a_capture_that_starts_in_the_middle_finds_the_frames_again(name: str, first: int) -> None:
    original = packets(name)

    late = found(original[first:])

    for sender in Sender:
        whole = [one.frame for one in seen(found(original), sender) if one.at >= original[first].at]
        assert frames(late, sender) == whole
    (session,) = sessions(late)
    assert session.request is None
    assert session.started_midway
    assert session.is_listen


def late_frames(payload: bytes, count: int = 5) -> list[bytes]:
    """Return frames with a mask of their own each."""
    return [frame(2, payload, mask=bytes([index, 1, 2, 3])) for index in range(count)]


def test_a_capture_that_starts_within_a_message_says_how_much_it_skipped() -> None:
    long = binary(bytes(range(256)) * 20)
    late = Talk().client(long[3000:])
    for one in late_frames(bytes(320)):
        late.client(one)

    events = found(late.packets)

    assert payloads(events) == [bytes(320)] * 5
    assert [one.size for one in losses(events)] == [len(long) - 3000]


def test_silence_under_a_mask_is_no_frame() -> None:
    # The mask is all that is to be seen of silence, and this one looks like a frame of 70 bytes.
    silence = frame(2, bytes(640), mask=b"\x88\xc6\x01\x02")
    late = Talk().client(silence[333:])
    for one in late_frames(bytes(320)):
        late.client(one)

    assert payloads(found(late.packets)) == [bytes(320)] * 5


def test_frames_within_large_packets_are_found() -> None:
    chance = random.Random(1)
    stream = b"".join(frame(2, chance.randbytes(8000), mask=chance.randbytes(4)) for _ in range(40))
    late = Talk()
    for piece in in_pieces(stream[5000:], 30_000):
        late.client(piece)

    assert len(frames(found(late.packets))) == 39


def test_a_capture_of_one_direction_is_a_session_with_an_end() -> None:
    talk = upgraded().client(text("{}")).client(binary(b"x" * 320)).close()
    said_by_client = [one for one in talk.packets if one.data[26:30] == talk.packets[0].data[26:30]]

    events = found(said_by_client)

    (session,) = sessions(events)
    assert (session.target, session.response) == ("/calls?x=1", None)
    assert payloads(events) == [b"{}", b"x" * 320]


def test_what_is_said_after_the_end_is_no_session_of_its_own() -> None:
    talk = upgraded().client(binary(b"x")).send(SERVER, RST | ACK)
    for one in late_frames(b"y" * 320):
        talk.send(CLIENT, ACK, one)

    events = found(talk.packets)

    assert len(sessions(events)) == 1


def test_a_frame_in_which_bytes_are_missing_is_told_with_its_length() -> None:
    talk = upgraded().client(binary(b"x" * 100))
    whole = talk.packets[-2]
    talk.packets[-2] = replace(whole, data=whole.data[:-30], original=len(whole.data))
    talk.client(binary(b"next"))

    events = found(talk.packets)

    (lost,) = losses(events)
    assert (lost.sender, lost.size) == (Sender.JAMBONZ, 30)
    assert lost.detail == "30 bytes missing in the capture, the first in a binary frame, after 70 of 100 bytes"
    assert payloads(events) == [b"next"]


def test_a_length_that_cannot_be_is_told_and_the_frames_after_it_are_found() -> None:
    talk = upgraded().client(binary(b"one")).client(b"\x82\xff" + b"\x7f" * 8)
    for one in late_frames(b"two"):
        talk.client(one)

    events = found(talk.packets)

    assert payloads(events) == [b"one", *[b"two"] * 5]
    (lost,) = losses(events)
    assert lost.detail == "a frame of 9187201950435737471 bytes, which is more than 67108864"


@settings(max_examples=50)
@given(st.integers(0, 2**32))
def test_damage_of_any_kind_never_raises(seed: int) -> None:
    chance = random.Random(seed)
    talk = upgraded()
    for _ in range(30):
        talk.client(binary(chance.randbytes(chance.choice([0, 100, 320])))).server(unmasked(chance.randbytes(100)))
    damaged = [
        replace(one, data=_damaged(one.data, chance)) if chance.random() < 0.2 else one
        for one in talk.packets
        if chance.random() < 0.9
    ]

    found(damaged[chance.randrange(5) :])


def _damaged(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + chance.randbytes(chance.randrange(5)) + data[at + chance.randrange(5) :]


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=99)), max_size=20), st.booleans())
def test_nonsense_never_raises(pieces: list[tuple[bool, bytes]], handshake: bool) -> None:
    talk = upgraded() if handshake else Talk()
    for by_client, data in pieces:
        (talk.client if by_client else talk.server)(data)

    found(talk.packets)
