"""Build pcap and pcapng files from TCP connections, damage them, and read them: with the package, or with Wireshark."""

import gzip
import random
import struct
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from itertools import count
from pathlib import Path

from listenctl.capture.capture_events import (
    CapturedFrame,
    CapturedSession,
    CaptureEvent,
    FramesLost,
    SessionClosed,
    SessionOpened,
)
from listenctl.capture.packets.packet_batches import CaptureNotice, EmbeddedSecrets, PacketBatch
from listenctl.capture.packets.read_pcap import read_pcap
from listenctl.capture.packets.tcp_events import MissingCause, TcpData, TcpGap, TcpStream, TcpStreamEnded
from listenctl.capture.packets.tcp_streams import read_tcp
from listenctl.capture.read_capture import read_capture
from listenctl.capture.tls.key_log import KeyLog
from listenctl.capture.websocket.websocket_sessions import read_websocket_sessions
from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.protocol.listen_session import Sender
from tests.helpers.capture import FOLDER
from tests.helpers.frames import HANDSHAKE

FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10
ETHERNET, LOOPBACK, RAW, OPENBSD_LOOPBACK, COOKED, COOKED_2 = 1, 0, 101, 108, 113, 276
START = 1_790_000_000.0
BIDIRECTIONAL_CALLS = ["c2_bidir_stream8k_marks_nominus1", "e_playaudio_featureserver"]


@dataclass(frozen=True, slots=True)
class Packet:
    """A captured packet; ``original`` is its size on the wire, None for that of ``data``."""

    at: float
    data: bytes
    original: int | None = None


@dataclass(frozen=True, slots=True)
class Side:
    """One end of a connection; ``first`` is the sequence number of its SYN."""

    address: str
    port: int
    first: int = 1000


CLIENT = Side("10.0.0.1", 40_000, 1000)
SERVER = Side("10.0.0.2", 8080, 5000)


def tcp(source: Side, destination: Side, sequence: int, ack: int, flags: int, data: bytes = b"") -> bytes:
    """Return one TCP segment, without a checksum as with offload."""
    ports = source.port, destination.port, sequence % 2**32, ack % 2**32
    return struct.pack(">HHIIBBHHH", *ports, 5 << 4, flags, 65_535, 0, 0) + data


def ip(source: Side, destination: Side, payload: bytes, *, fragment: int = 0, identity: int = 1) -> bytes:
    """Return an IP packet; the addresses select the version, ``fragment`` is the header field."""
    addresses = ip_address(source.address).packed + ip_address(destination.address).packed
    if len(addresses) == 8:
        head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), identity, fragment, 64, 6, 0)
        return head + addresses + payload
    return struct.pack(">IHBB", 6 << 28, len(payload), 6, 64) + addresses + payload


def on_link(packet: bytes, link_type: int = ETHERNET, *, tags: Sequence[int] = ()) -> bytes:
    """Add the header of a link type to an IP packet; ``tags`` are EtherTypes of VLAN tags, outermost first."""
    six = packet[0] >> 4 == 6
    ethertype = b"\x86\xdd" if six else b"\x08\x00"
    tagged = b"".join(struct.pack(">HH", tag, 42) for tag in tags) + ethertype
    # The EtherType of a tag replaces that of IP, so the first one ends the header of the link.
    kinds = tagged[:2], b"".join(tagged[at + 2 : at + 4] + tagged[at + 4 : at + 6] for at in range(0, 4 * len(tags), 4))
    match link_type:
        case 1:
            return bytes(12) + kinds[0] + kinds[1] + packet
        case 113:
            return bytes(14) + kinds[0] + kinds[1] + packet
        case 276:
            return kinds[0] + bytes(18) + kinds[1] + packet
        case 0:
            return struct.pack("<I", 30 if six else 2) + packet
        case 108:
            return struct.pack(">I", 30 if six else 2) + packet
    return packet


class TcpDialog:
    """Builds a TCP connection packet by packet."""

    def __init__(
        self, client: Side = CLIENT, server: Side = SERVER, *, link_type: int = ETHERNET, start: float = START
    ) -> None:
        self.packets: list[Packet] = []
        self.now = start
        self._sides = client, server
        self._next = {client: client.first, server: server.first}
        self._link_type = link_type

    def open(self) -> "TcpDialog":
        client, server = self._sides
        self.send(client, SYN)
        self.send(server, SYN | ACK)
        return self.send(client, ACK)

    def client(self, data: bytes) -> "TcpDialog":
        """Add data of the client, and the server's acknowledgement."""
        return self.send(self._sides[0], ACK | PSH, data).send(self._sides[1], ACK)

    def server(self, data: bytes) -> "TcpDialog":
        """Add data of the server, and the client's acknowledgement."""
        return self.send(self._sides[1], ACK | PSH, data).send(self._sides[0], ACK)

    def close(self) -> "TcpDialog":
        client, server = self._sides
        return self.send(client, FIN | ACK).send(server, FIN | ACK).send(client, ACK)

    def send(self, source: Side, flags: int, data: bytes = b"") -> "TcpDialog":
        """Add the next segment of one side."""
        destination = self._sides[source is self._sides[0]]
        ack = self._next[destination] if flags & ACK else 0
        segment = tcp(source, destination, self._next[source], ack, flags, data)
        self.packets.append(Packet(self.now, on_link(ip(source, destination, segment), self._link_type)))
        self._next[source] += len(data) + bool(flags & (SYN | FIN))
        self.now += 0.01
        return self


def short_dialog(client: Side = CLIENT, server: Side = SERVER, *, link_type: int = ETHERNET) -> TcpDialog:
    dialog = TcpDialog(client, server, link_type=link_type).open()
    return dialog.client(b"question").server(b"answer").client(b"thanks").close()


def pcap(packets: Iterable[Packet], *, link_type: int = ETHERNET, magic: bytes = b"\xd4\xc3\xb2\xa1") -> bytes:
    """Return a pcap file; the magic selects byte order, resolution and the length of record headers."""
    order = ">" if magic[0] == 0xA1 else "<"
    per_second = 1e9 if b"\x3c" in magic else 1e6
    header = f"{order}IIII8x" if b"\xcd" in magic else f"{order}IIII"
    written = magic + struct.pack(f"{order}HHIIII", 2, 4, 0, 0, 262_144, link_type)
    for packet in packets:
        ticks = round(packet.at * per_second)
        original = len(packet.data) if packet.original is None else packet.original
        written += struct.pack(header, *divmod(ticks, int(per_second)), len(packet.data), original) + packet.data
    return written


def block(kind: int, body: bytes, *, order: str = "<") -> bytes:
    body += bytes(-len(body) % 4)
    size = struct.pack(f"{order}I", len(body) + 12)
    return struct.pack(f"{order}I", kind) + size + body + size


def section(*, order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1), order=order)


def interface(link_type: int = ETHERNET, *, options: bytes = b"", snap_length: int = 0, order: str = "<") -> bytes:
    return block(1, struct.pack(f"{order}HHI", link_type, 0, snap_length) + options, order=order)


def option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)


def enhanced(packet: Packet, *, number: int = 0, ticks: int | None = None, order: str = "<") -> bytes:
    """Return an enhanced packet block; ``ticks`` is its time, by default that of the packet in microseconds."""
    high, low = divmod(round(packet.at * 1e6) if ticks is None else ticks, 2**32)
    original = len(packet.data) if packet.original is None else packet.original
    return block(6, struct.pack(f"{order}5I", number, high, low, len(packet.data), original) + packet.data, order=order)


def pcapng(packets: Iterable[Packet], *, link_type: int = ETHERNET, order: str = "<") -> bytes:
    blocks = (enhanced(packet, order=order) for packet in packets)
    return section(order=order) + interface(link_type, order=order) + b"".join(blocks)


def packets_of(capture: bytes) -> list[Packet]:
    return [
        Packet(at, batch.block[start : start + captured], original)
        for batch in read_pcap(iter([capture]))
        if isinstance(batch, PacketBatch)
        for at, start, captured, original in batch.records
    ]


def call_packets(name: str) -> list[Packet]:
    return packets_of(gzip.decompress((FOLDER / f"{name}.pcap.gz").read_bytes()))


Damage = Callable[[Sequence[Packet], random.Random], list[Packet]]


def drop_packets(packets: Sequence[Packet], chance: random.Random) -> list[Packet]:
    """Drop one packet in twenty, except the first ten."""
    return [packet for index, packet in enumerate(packets) if index < 10 or chance.random() > 0.05]


def repeat_packets(packets: Sequence[Packet], chance: random.Random) -> list[Packet]:
    """Repeat one packet in ten, up to three packets later."""
    return _shuffled([copy for packet in packets for copy in [packet] * (1 + (chance.random() < 0.1))], chance, 0.0)


def delay_packets(packets: Sequence[Packet], chance: random.Random) -> list[Packet]:
    """Delay one packet in ten by up to three packets, except the first ten; times stay in order."""
    return _shuffled(packets, chance, 0.1)


def cut_packets(packets: Sequence[Packet], chance: random.Random) -> list[Packet]:
    """Cut one packet in twenty after its headers."""
    return [
        replace(packet, data=packet.data[:100], original=len(packet.data)) if chance.random() < 0.05 else packet
        for packet in packets
    ]


def _shuffled(packets: Sequence[Packet], chance: random.Random, share: float) -> list[Packet]:
    late = [
        index + (3.5 * chance.random() if index >= 10 and chance.random() < share else 0)
        for index in range(len(packets))
    ]
    order = sorted(range(len(packets)), key=lambda index: late[index])
    times = sorted(packet.at for packet in packets)
    return [replace(packets[index], at=at) for index, at in zip(order, times, strict=True)]


ReadItem = TcpData | TcpGap | TcpStreamEnded | CaptureNotice | EmbeddedSecrets


def read_items(packets: Iterable[PacketBatch | CaptureNotice | EmbeddedSecrets]) -> list[ReadItem]:
    return [found for founds in read_tcp(packets) for found in founds]


def read_packets(packets: Iterable[Packet], link_type: int = ETHERNET) -> list[ReadItem]:
    """Return the TCP events and notices of a pcap file with these packets."""
    return read_items(read_pcap(iter([pcap(packets, link_type=link_type)])))


def stream_data(found: Iterable[ReadItem]) -> list[bytes]:
    """Return the data of each stream, with Wireshark's words for lost packets; it has none for cut ones."""
    streams: dict[TcpStream, bytearray] = {}
    for one in found:
        if isinstance(one, TcpData):
            streams.setdefault(one.stream, bytearray()).extend(one.data)
        elif isinstance(one, TcpGap) and one.why is MissingCause.NOT_CAPTURED:
            streams.setdefault(one.stream, bytearray()).extend(b"[%d bytes missing in capture file]" % (one.size or 0))
    return [bytes(data) for data in streams.values()]


def in_pieces(data: bytes, size: int) -> Iterable[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def tshark(path: Path, *arguments: str) -> str:
    run = subprocess.run(["tshark", "-n", "-r", path, *arguments], capture_output=True, text=True, check=True)
    return run.stdout


ANSWER = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


def upgraded(answer: bytes = ANSWER) -> TcpDialog:
    """Return a connection after the WebSocket handshake."""
    return TcpDialog().open().client(HANDSHAKE).server(answer)


def unmasked(data: bytes) -> bytes:
    """Return an unmasked binary frame of less than 126 bytes."""
    return bytes([0x82, len(data)]) + data


def read_sessions(
    packets: Iterable[Packet], *, size: int = 1 << 20, keylog: KeyLog | None = None, join_audio: bool = False
) -> list[CaptureEvent]:
    """Return the events of a capture of packets that is read in pieces of ``size``."""
    read = read_pcap(iter(in_pieces(pcap(packets), size)))
    sessions = read_websocket_sessions(read, "test.pcap", keylog or KeyLog(), count(1), join_audio=join_audio)
    return [one for events in sessions for one in events]


def read_file(path: Path, keylog: KeyLog | None = None) -> list[CaptureEvent]:
    return list(read_capture(str(path), keylog=keylog))


def timed_frames(events: Iterable[CaptureEvent], sender: Sender | None = None) -> list[CapturedFrame]:
    """Return the frames of one side or of both, with their times."""
    return [one for one in events if isinstance(one, CapturedFrame) and sender in (None, one.sender)]


def frames(events: Iterable[CaptureEvent], sender: Sender | None = None) -> list[RawFrame]:
    return [one.frame for one in timed_frames(events, sender)]


def payloads(events: Iterable[CaptureEvent], sender: Sender | None = None) -> list[bytes]:
    return [frame.payload for frame in frames(events, sender)]


def sessions(events: Iterable[CaptureEvent]) -> list[CapturedSession]:
    """Return the sessions; each has to start and end once, with all its events between."""
    opened: list[CapturedSession] = []
    going: set[CapturedSession] = set()
    for one in events:
        if isinstance(one, SessionOpened):
            assert one.session not in opened
            opened.append(one.session)
            going.add(one.session)
        elif not isinstance(one, CaptureNotice):
            assert one.session in going
            if isinstance(one, SessionClosed) and one.sender is None:
                going.remove(one.session)
    assert not going
    assert [session.number for session in opened] == list(range(1, len(opened) + 1))
    return opened


def losses(events: Iterable[CaptureEvent]) -> list[FramesLost]:
    return [one for one in events if isinstance(one, FramesLost)]


def endings(events: Iterable[CaptureEvent]) -> list[tuple[Sender | None, str]]:
    return [(one.sender, str(one.how)) for one in events if isinstance(one, SessionClosed)]


def notices(events: Iterable[object]) -> list[str]:
    return [str(one) for one in events if isinstance(one, CaptureNotice)]
