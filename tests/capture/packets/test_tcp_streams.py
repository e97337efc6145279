"""TCP connections from packets: their data in order, the gaps and the ends, also as Wireshark finds them."""

import random
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listenctl.capture.compressed_files import open_capture_file
from listenctl.capture.packets import tcp_streams as streams
from listenctl.capture.packets.packet_batches import PacketBatch
from listenctl.capture.packets.read_pcap import read_pcap
from listenctl.capture.packets.tcp_events import (
    MissingCause,
    StreamEnding,
    TcpData,
    TcpEvent,
    TcpGap,
    TcpStreamEnded,
)
from listenctl.capture.packets.tcp_reassembly import FAR, MAX_WAITING
from listenctl.capture.packets.tcp_streams import TcpReader
from listenctl.capture.read_capture import read_packets as read_packet_file
from tests.helpers.capture import CAPTURES, FOLDER
from tests.helpers.pcap import (
    ACK,
    BIDIRECTIONAL_CALLS,
    CLIENT,
    FIN,
    RST,
    SERVER,
    START,
    SYN,
    Damage,
    Packet,
    ReadItem,
    Side,
    TcpDialog,
    call_packets,
    cut_packets,
    delay_packets,
    drop_packets,
    ip,
    on_link,
    pcap,
    pcapng,
    read_items,
    read_packets,
    repeat_packets,
    stream_data,
    tcp,
    tshark,
)

OPEN = TcpDialog().open().packets


def followed(path: Path) -> tuple[bytes, bytes]:
    """Return the data of both ends of a connection, first that of the first sender; gaps are in Wireshark's words."""
    shown = tshark(path, "-q", "-z", "follow,tcp,raw,0")
    lines = shown.partition("Node 1: ")[2].splitlines()[1:]
    lines = lines[: next(index for index, line in enumerate(lines) if line.startswith("="))]
    one = b"".join(bytes.fromhex(line) for line in lines if not line.startswith("\t"))
    other = b"".join(bytes.fromhex(line) for line in lines if line.startswith("\t"))
    # Wireshark's words end with a NUL.
    return one.replace(b"capture file]\0", b"capture file]"), other.replace(b"capture file]\0", b"capture file]")


def after_handshake(*packets: Packet) -> list[ReadItem]:
    return read_packets([*OPEN, *packets])


def gaps(events: Iterable[ReadItem | TcpEvent]) -> list[tuple[int | None, int, MissingCause]]:
    return [(one.size, one.offset, one.why) for one in events if isinstance(one, TcpGap)]


def endings(events: Iterable[ReadItem]) -> list[StreamEnding]:
    return [one.how for one in events if isinstance(one, TcpStreamEnded)]


def times(events: Iterable[ReadItem]) -> list[tuple[float, bytes]]:
    return [(round(one.at - START, 3), one.data) for one in events if isinstance(one, TcpData)]


def client(at: float, offset: int, data: bytes, *, flags: int = ACK, ack: int = 0) -> Packet:
    """Return a packet of the client: ``offset`` bytes after its SYN, ``ack`` bytes of the server acknowledged."""
    segment = tcp(CLIENT, SERVER, CLIENT.first + 1 + offset, SERVER.first + 1 + ack, flags, data)
    return Packet(START + at, on_link(ip(CLIENT, SERVER, segment)))


def server(at: float, ack: int, data: bytes = b"", *, flags: int = ACK, offset: int = 0) -> Packet:
    """Return a packet of the server, with ``ack`` bytes of the client acknowledged."""
    segment = tcp(SERVER, CLIENT, SERVER.first + 1 + offset, CLIENT.first + 1 + ack, flags, data)
    return Packet(START + at, on_link(ip(SERVER, CLIENT, segment)))


def test_a_connection_is_reported_with_its_ends_its_times_and_its_first_packet() -> None:
    packets = TcpDialog().open().client(b"question").server(b"answer").close().packets

    events = read_packets(packets)

    connection = next(one.stream.connection for one in events if isinstance(one, TcpData))
    assert str(connection) == "10.0.0.1:40000 → 10.0.0.2:8080"
    assert (connection.number, connection.at) == (0, START)
    assert connection.client is connection.streams[0]
    assert times(events) == [(0.03, b"question"), (0.05, b"answer")]
    assert [one.packet for one in events if isinstance(one, TcpData)] == [4, 6]
    assert endings(events) == [StreamEnding.FIN, StreamEnding.FIN]


def test_connections_are_kept_apart() -> None:
    one = TcpDialog().open().client(b"one").server(b"1").close().packets
    two = TcpDialog(replace(CLIENT, port=40_001)).open().client(b"two").server(b"2").close().packets

    events = read_packets([packet for pair in zip(one, two, strict=True) for packet in pair])

    assert stream_data(events) == [b"one", b"two", b"1", b"2"]
    assert {one.stream.connection.number for one in events if isinstance(one, TcpData)} == {0, 1}


def test_repeated_data_is_delivered_once() -> None:
    events = after_handshake(client(1, 0, b"abc"), client(2, 0, b"abc"), client(3, 0, b"abcdef"), client(4, 3, b"defg"))

    assert times(events) == [(1, b"abc"), (3, b"def"), (4, b"g")]
    assert gaps(events) == []


def test_late_data_delays_what_follows_it() -> None:
    events = after_handshake(client(1, 3, b"def"), client(1.1, 6, b"ghi"), client(1.2, 0, b"abc"), client(1.3, 9, b"j"))

    # Data that waits is delivered with the data before it.
    assert times(events) == [(1.2, b"abc"), (1.2, b"def"), (1.2, b"ghi"), (1.3, b"j")]


def test_lost_data_is_given_up_when_it_was_acknowledged_and_half_a_second_has_passed() -> None:
    packets = [*OPEN, client(1, 0, b"abc"), client(1.1, 100, b"def"), server(1.2, 103), client(1.5, 103, b"ghi")]

    events = read_packets([*packets, server(1.6, 106), server(1.8, 106), client(2, 106, b"jkl")])

    assert gaps(events) == [(97, 3, MissingCause.NOT_CAPTURED)]
    # It keeps its arrival time.
    assert times(events) == [(1, b"abc"), (1.1, b"def"), (1.5, b"ghi"), (2, b"jkl")]


def test_an_answer_captured_before_what_it_answers_costs_nothing() -> None:
    events = after_handshake(
        server(1, 6), client(1.1, 3, b"def"), server(1.2, 6), client(1.3, 0, b"abc"), client(3, 6, b"g")
    )

    assert gaps(events) == []
    assert times(events) == [(1.3, b"abc"), (1.3, b"def"), (3, b"g")]


def test_data_lost_at_the_end_is_known_from_its_acknowledgement() -> None:
    events = after_handshake(client(1, 0, b"abc"), server(1.1, 50))

    assert gaps(events) == [(47, 3, MissingCause.NOT_CAPTURED)]
    assert endings(events) == [StreamEnding.CAPTURE, StreamEnding.CAPTURE]


def test_data_lost_before_the_end_of_a_stream_is_known_from_its_place() -> None:
    events = after_handshake(client(1, 0, b"abc"), client(1.1, 50, b"", flags=FIN | ACK))

    assert gaps(events) == [(47, 3, MissingCause.NOT_CAPTURED)]
    assert endings(events)[0] is StreamEnding.FIN


def test_what_the_receiver_never_got_is_waited_for() -> None:
    packets = [client(1 + index, 3 + index, b"x") for index in range(25)]

    events = after_handshake(*packets, server(10, 0), client(27, 0, b"abc"))

    assert gaps(events) == []
    assert stream_data(events)[0] == b"abc" + b"x" * 25


def test_a_capture_of_one_direction_waits_only_shortly() -> None:
    events = read_packets([client(1, 0, b"abc"), client(2, 50, b"def"), client(5, 53, b"ghi"), client(6, 56, b"jkl")])

    assert gaps(events) == [(47, 3, MissingCause.NOT_CAPTURED)]
    assert times(events) == [(1, b"abc"), (2, b"def"), (5, b"ghi"), (6, b"jkl")]


def test_what_waits_is_bounded_on_a_stream() -> None:
    reader = TcpReader()
    data = bytes(1000)
    packets = [*OPEN, *(client(1 + index / 1e4, 10 + index * 1000, data) for index in range(2000))]

    (batch,) = read_pcap(iter([pcap(packets)]))
    assert isinstance(batch, PacketBatch)
    events = reader.read_batch(batch)

    assert gaps(events) == [(10, 0, MissingCause.NOT_CAPTURED)]
    assert sum(len(one.data) for one in events if isinstance(one, TcpData)) == 2_000_000
    assert reader._memory.waiting <= MAX_WAITING


def test_what_waits_is_bounded_on_all_streams_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("listenctl.capture.packets.tcp_reassembly.MAX_WAITING_TOGETHER", 50_000)
    reader = TcpReader()
    for port in range(100):
        side = replace(CLIENT, port=port)
        late = tcp(side, SERVER, CLIENT.first + 50, 0, ACK, bytes(1000))
        packets = [*TcpDialog(side).open().packets, Packet(START, on_link(ip(side, SERVER, late)))]
        for batch in read_pcap(iter([pcap(packets)])):
            assert isinstance(batch, PacketBatch)
            reader.read_batch(batch)

    assert reader._memory.waiting <= 50_000


def test_sequence_numbers_wrap_around() -> None:
    near_the_end = replace(CLIENT, first=2**32 - 500)
    talk = TcpDialog(near_the_end).open()
    for index in range(10):
        talk.client(bytes([index]) * 99)

    events = read_packets(talk.close().packets)

    assert stream_data(events)[0] == b"".join(bytes([index]) * 99 for index in range(10))
    assert gaps(events) == []
    assert endings(events) == [StreamEnding.FIN, StreamEnding.FIN]


@pytest.mark.parametrize("probe", [b"", b"\0"])
def test_keep_alives_are_no_data(probe: bytes) -> None:
    events = after_handshake(
        client(1, 0, b"abc"), server(1.1, 3), client(60, 2, probe), server(60.1, 3), client(61, 3, b"def")
    )

    assert times(events) == [(1, b"abc"), (61, b"def")]


def test_a_reset_ends_both_directions() -> None:
    events = after_handshake(client(1, 0, b"abc"), client(2, 3, b"", flags=RST))

    assert [(one.stream.source.port, one.how) for one in events if isinstance(one, TcpStreamEnded)] == [
        (CLIENT.port, StreamEnding.RST),
        (SERVER.port, StreamEnding.RESET_BY_RECEIVER),
    ]


def test_a_reset_captured_before_the_last_data_costs_nothing() -> None:
    events = after_handshake(client(1, 3, b"", flags=RST), client(1, 0, b"abc"))

    assert stream_data(events) == [b"abc"]
    assert endings(events)[-1] is StreamEnding.RST


def test_a_new_connection_between_the_same_ports_is_a_connection_of_its_own() -> None:
    again = TcpDialog(replace(CLIENT, first=70_000_000), replace(SERVER, first=90_000_000), start=START + 60)

    events = read_packets([*TcpDialog().open().client(b"one").packets, *again.open().client(b"two").close().packets])

    assert stream_data(events) == [b"one", b"two"]
    assert endings(events) == [StreamEnding.REPLACED, StreamEnding.REPLACED, StreamEnding.FIN, StreamEnding.FIN]
    assert len({one.stream.connection for one in events if isinstance(one, TcpData)}) == 2


def test_a_new_connection_whose_handshake_is_missing_is_detected_by_its_sequence_numbers() -> None:
    again = TcpDialog(replace(CLIENT, first=70_000_000), replace(SERVER, first=90_000_000), start=START + 60)

    events = read_packets(
        [*TcpDialog().open().client(b"one").close().packets, *again.open().client(b"two").packets[3:]]
    )

    assert stream_data(events) == [b"one", b"two"]
    assert len({one.stream.connection for one in events if isinstance(one, TcpData)}) == 2


def test_a_repeated_handshake_is_no_new_connection() -> None:
    events = after_handshake(*OPEN, client(1, 0, b"abc"), *OPEN, client(2, 3, b"def"))

    assert stream_data(events) == [b"abcdef"]
    assert endings(events) == [StreamEnding.CAPTURE, StreamEnding.CAPTURE]


def test_a_handshake_captured_after_the_first_data_is_no_new_connection() -> None:
    events = read_packets([client(0, 0, b"abc"), *OPEN, client(1, 3, b"def")])

    assert stream_data(events) == [b"abcdef"]
    assert next(one for one in events if isinstance(one, TcpData)).stream.connection.client is not None


def test_a_damaged_packet_that_looks_like_a_handshake_ends_no_connection() -> None:
    damaged = client(2, 5000, b"xxx", flags=0xFF)

    events = after_handshake(client(1, 0, b"abc"), damaged, client(3, 3, b"def"))

    assert stream_data(events)[0].startswith(b"abcdef")
    assert StreamEnding.REPLACED not in endings(events)


def test_data_in_the_handshake_is_data() -> None:
    first = tcp(CLIENT, SERVER, CLIENT.first, 0, SYN, b"GET ")

    events = read_packets([Packet(START, on_link(ip(CLIENT, SERVER, first))), client(1, 4, b"/ HTTP/1.1")])

    assert stream_data(events) == [b"GET / HTTP/1.1"]


@pytest.mark.parametrize(
    ("packets", "source"),
    [
        (OPEN[:1], CLIENT),
        (OPEN[1:2], CLIENT),
        ([client(0, 0, b"GET /x HTTP/1.1\r\n")], CLIENT),
        ([server(0, 0, b"HTTP/1.1 101\r\n"), client(0, 0, b"\x82\x80")], None),
    ],
    ids=["SYN", "SYN of the server", "request", "nothing"],
)
def test_the_client_is_known_by_its_handshake_or_its_request(packets: Sequence[Packet], source: Side | None) -> None:
    events = read_packets(packets)

    stream = next(one.stream for one in events if isinstance(one, TcpData | TcpStreamEnded))
    known = stream.connection.client
    assert (known.source if known else None) == (source and (source.address, source.port))


def test_a_capture_that_starts_in_the_middle_starts_with_the_first_data() -> None:
    events = read_packets([server(0, 500), client(1, 600, b"abc"), client(2, 603, b"def")])

    assert stream_data(events) == [b"abcdef"]
    assert gaps(events) == []


def test_a_cut_packet_leaves_a_gap_of_known_size() -> None:
    whole = client(2, 3, b"defghi")
    short = Packet(whole.at, whole.data[:-4], len(whole.data))

    events = after_handshake(client(1, 0, b"abc"), short, client(3, 9, b"jkl"))

    assert times(events) == [(1, b"abc"), (2, b"de"), (3, b"jkl")]
    assert gaps(events) == [(4, 5, MissingCause.CUT)]


def test_one_packet_with_damaged_numbers_costs_nothing_else() -> None:
    far = [client(2, FAR + 9, b"xxx"), client(2, -FAR - 9, b"xxx"), client(2, 2 * FAR, b"", flags=FIN | ACK)]
    damaged = [*far, server(2, 2**31 - 9)]

    events = after_handshake(client(1, 0, b"abc"), *damaged, client(3, 3, b"def"), server(4, 6))

    assert stream_data(events) == [b"abcdef"]
    assert gaps(events) == []


def test_numbers_that_jump_for_good_are_followed() -> None:
    far = 5 * FAR
    packets = [client(2 + index, far + 3 * index, b"%03d" % index) for index in range(5)]

    events = after_handshake(client(1, 0, b"abc"), *packets)

    assert stream_data(events) == [b"abc002003004"]
    assert gaps(events) == [(None, 3, MissingCause.BROKEN)]


def test_connections_idle_for_longest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MAX_CONNECTIONS", 10)
    talks = [TcpDialog(replace(CLIENT, port=port), start=START + port).open().client(b"x") for port in range(30)]

    events = read_packets([packet for talk in talks for packet in talk.packets])

    assert len(stream_data(events)) == 30
    assert 20 <= endings(events).count(StreamEnding.FORGOTTEN) // 2 <= 25


@given(st.integers(0, 2**32), st.integers(1, 40), st.booleans())
def test_any_order_of_pieces_gives_the_same_text(seed: int, size: int, wrap: bool) -> None:
    chance = random.Random(seed)
    text = bytes(chance.randrange(256) for _ in range(300))
    # Segments with arbitrary repetitions and boundaries.
    starts = [*range(0, 300, size), *(chance.randrange(300) for _ in range(10))]
    pieces = [client(1, at, text[at : at + size]) for at in starts]
    chance.shuffle(pieces)
    open_ = TcpDialog(replace(CLIENT, first=CLIENT.first)).open().packets

    events = read_packets([*open_, *pieces])

    assert stream_data(events) == [text]
    assert gaps(events) == []


def tagged(packet: Packet) -> Packet:
    """Return a packet with a VLAN tag, which keeps it off the fast path."""
    return Packet(packet.at, packet.data[:12] + b"\x81\x00\x00\x2a" + packet.data[12:])


@given(st.integers(0, 2**32))
def test_the_fast_path_gives_the_same_events(seed: int) -> None:
    chance = random.Random(seed)
    talk = TcpDialog(replace(CLIENT, first=chance.choice([1000, 2**32 - 300]))).open()
    for _ in range(chance.randrange(20)):
        chance.choice([talk.client, talk.server])(bytes(chance.randrange(100)))
    packets = [packet for packet in talk.close().packets if chance.random() < 0.95]
    for _ in range(chance.randrange(4)):
        at = chance.randrange(len(packets))
        packets.insert(chance.randrange(len(packets)), packets[at])
    # Times in a capture are in order.
    packets = [replace(packet, at=START + index / 100) for index, packet in enumerate(packets)]

    fast, slow = read_packets(packets), read_packets(map(tagged, packets))

    assert [_without_stream(one) for one in fast] == [_without_stream(one) for one in slow]


def _without_stream(one: ReadItem) -> tuple[object, ...]:
    return tuple(str(field) for field in one) if isinstance(one, TcpData | TcpGap | TcpStreamEnded) else (str(one),)


def streams_of(path: Path) -> list[bytes]:
    return stream_data(read_items(read_packet_file(open_capture_file(str(path)))))


@pytest.mark.parametrize("name", CAPTURES)
def test_streams_of_a_capture_are_those_that_wireshark_follows(name: str) -> None:
    path = FOLDER / f"{name}.pcap.gz"

    assert tuple(streams_of(path)) == followed(path)


@pytest.mark.parametrize("name", BIDIRECTIONAL_CALLS)
@pytest.mark.parametrize("damage", [drop_packets, repeat_packets, cut_packets])
@pytest.mark.parametrize("seed", range(3))
def test_streams_of_a_damaged_capture_are_those_that_wireshark_follows(
    tmp_path: Path, name: str, damage: Damage, seed: int
) -> None:
    path = tmp_path / "damaged.pcap"
    path.write_bytes(pcap(damage(call_packets(name), random.Random(seed))))

    assert tuple(streams_of(path)) == followed(path)


@pytest.mark.parametrize("name", BIDIRECTIONAL_CALLS)
@pytest.mark.parametrize("seed", range(3))
def test_packets_out_of_order_cost_nothing(tmp_path: Path, name: str, seed: int) -> None:
    # Wireshark counts data as lost if its acknowledgement is earlier in the file: compare with the original.
    original = FOLDER / f"{name}.pcap.gz"
    path = tmp_path / "damaged.pcapng"
    path.write_bytes(pcapng(delay_packets(call_packets(name), random.Random(seed))))

    assert tuple(streams_of(path)) == followed(original)


@pytest.mark.parametrize("form", ["pcap", "nsecpcap", "modpcap", "pcapng"])
def test_times_are_those_of_wireshark_in_every_format(tmp_path: Path, form: str) -> None:
    path = tmp_path / "converted"
    source = tmp_path / "source.pcap"
    source.write_bytes(pcap(call_packets(BIDIRECTIONAL_CALLS[0])))
    subprocess.run(["editcap", "-F", form, source, path], check=True)

    shown = tshark(path, "-Y", "tcp.len > 0", "-T", "fields", "-e", "frame.time_epoch", "-e", "tcp.len")

    expected = [(round(float(at), 6), int(size)) for at, size in (line.split() for line in shown.splitlines())]
    read_back = read_items(read_packet_file(open_capture_file(str(path))))
    assert [(round(one.at, 6), len(one.data)) for one in read_back if isinstance(one, TcpData)] == expected
