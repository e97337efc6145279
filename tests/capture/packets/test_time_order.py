"""The events of both ends stay in order of time, wherever packets are missing."""

from itertools import pairwise

import pytest

from listenctl.capture.capture_events import CaptureEvent
from listenctl.capture.packets.tcp_events import StreamEnding, TcpStreamEnded
from listenctl.protocol.listen_session import Sender
from tests.helpers.frames import binary
from tests.helpers.pcap import (
    ACK,
    CLIENT,
    FIN,
    RST,
    Packet,
    TcpDialog,
    losses,
    read_packets,
    read_sessions,
    timed_frames,
    unmasked,
    upgraded,
)

# Four packets each: data of the client, an ACK, data of the server, an ACK.
EACH = 4
HANDSHAKE = len(upgraded().packets)


def conversation() -> list[Packet]:
    """Return a call in which both ends send a frame every 40 ms, with its number."""
    talk = upgraded()
    for number in range(100):
        talk.client(binary(bytes([number]) * 90)).server(unmasked(bytes([number]) * 90))
    return talk.packets


def packet_of(number: int, sender: Sender) -> int:
    return HANDSHAKE + EACH * number + (2 if sender is Sender.APPLICATION else 0)


def assert_in_step(events: list[CaptureEvent], packets: list[Packet]) -> None:
    """Check that each frame has the time of its packet, and that frames are in order of time."""
    frames = timed_frames(events)
    for one in frames:
        packet = packets[packet_of(one.frame.payload[0], one.sender)]
        assert one.at == pytest.approx(packet.at, abs=2e-6)
    assert all(before.at <= after.at for before, after in pairwise(frames))


@pytest.mark.parametrize("join_audio", [False, True])
@pytest.mark.parametrize("sender", Sender)
@pytest.mark.parametrize("number", [3, 50, 98])
def test_a_lost_packet_moves_no_frame(number: int, sender: Sender, *, join_audio: bool) -> None:
    packets = conversation()
    lost = packet_of(number, sender)

    events = read_sessions([*packets[:lost], *packets[lost + 1 :]], join_audio=join_audio)

    if not join_audio:
        assert len(timed_frames(events)) == 199
        assert_in_step(events, packets)
    (loss,) = losses(events)
    assert loss.sender is sender
    assert loss.at == pytest.approx(packets[lost].at, abs=0.06)


@pytest.mark.parametrize("begin", [0, 1, 2, 3])
def test_a_capture_that_starts_midway_has_each_frame_at_its_time(begin: int) -> None:
    packets = conversation()

    events = read_sessions(packets[HANDSHAKE + EACH * 40 + begin :])

    assert len(timed_frames(events)) >= 118
    assert_in_step(events, packets)


@pytest.mark.parametrize("reset", [False, True])
def test_a_connection_with_the_ports_and_numbers_of_one_that_ended_is_another(*, reset: bool) -> None:
    talk = TcpDialog().open().client(b"one")
    once = (talk.send(CLIENT, FIN | ACK).send(CLIENT, RST) if reset else talk.close()).packets
    again = [Packet(packet.at + 30, packet.data) for packet in once]

    events = read_packets([*once, *again])

    endings = [one for one in events if isinstance(one, TcpStreamEnded)]
    assert [one.how for one in endings] == [
        StreamEnding.FIN,
        StreamEnding.RESET_BY_RECEIVER if reset else StreamEnding.FIN,
    ] * 2
    assert [one.stream.connection.number for one in endings] == [0, 0, 1, 1]
