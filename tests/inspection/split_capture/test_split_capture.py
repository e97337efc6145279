import gzip
import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest

from listenctl.capture.compressed_files import open_capture_file
from listenctl.capture.formats.dump_line_format import DumpEnd, DumpHeader, event_line, frame_line, header_line
from listenctl.capture.packets.packet_batches import EmbeddedSecrets, PacketBatch
from listenctl.capture.packets.read_pcapng import TLS_KEY_LOG
from listenctl.capture.read_capture import read_capture, read_packets
from listenctl.capture.tls.key_log import KeyLog
from listenctl.inspection.call_report import CallReport
from listenctl.inspection.split_capture.split_capture import split_captures
from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.protocol.listen_session import Sender
from tests.helpers.frames import HANDSHAKE, text
from tests.helpers.inspected import inspect
from tests.helpers.pcap import ANSWER, RAW, Packet, TcpDialog, block, enhanced, interface, packets_of, pcap, section

# Of TCP in IPv4 in Ethernet.
_SEQUENCE = 14 + 20 + 4
DATA = Path(__file__).parents[2] / "data" / "captures"


def inspected(path: Path) -> list[CallReport]:
    return inspect(read_capture(str(path), keylog=KeyLog()))


def parts(
    path: Path, content: bytes, wanted: Sequence[int] | None = None, warnings: list[str] | None = None
) -> list[Path]:
    """Write a capture, and return the files that it is split into."""
    path.write_bytes(content)
    reports = inspected(path)
    numbers = [report.session.number for report in reports if report.listens] if wanted is None else wanted
    warnings = [] if warnings is None else warnings
    return list(split_captures([str(path)], reports, numbers, path.parent / "out", warnings.append))


def pcapng(packets: list[Packet], keys: bytes) -> bytes:
    secrets = block(10, TLS_KEY_LOG.to_bytes(4, "little") + len(keys).to_bytes(4, "little") + keys)
    return section() + secrets + interface() + b"".join(map(enhanced, packets))


def real_packets(name: str) -> list[Packet]:
    return packets_of(gzip.decompress((DATA / f"{name}.pcap.gz").read_bytes()))


def merged(*captures: list[Packet]) -> list[Packet]:
    return sorted(itertools.chain(*captures), key=lambda packet: packet.at)


def test_each_call_gets_its_own_unchanged_packets(tmp_path: Path) -> None:
    one, other = real_packets("f_pause_graceful"), real_packets("g_slow_handshake_backlog")

    first, second = parts(tmp_path / "both.pcap", pcap(merged(one, other)))
    assert packets_of(first.read_bytes()) == one
    assert packets_of(second.read_bytes()) == other
    assert first.name == "423e4d57-2a8b-47d8-b5ad-559f538a9e02.pcap"
    assert first.stat().st_mode & 0o777 == 0o600


def test_only_selected_calls_are_written_and_no_file_is_overwritten(tmp_path: Path) -> None:
    both = pcap(merged(real_packets("f_pause_graceful"), real_packets("g_slow_handshake_backlog")))

    (first,) = parts(tmp_path / "both.pcap", both, [2])
    (again,) = parts(tmp_path / "both.pcap", both, [2])
    assert again.name == f"{first.stem}-2.pcap"
    assert again.read_bytes() == first.read_bytes()


def renumbered(packet: Packet, *, at: float) -> Packet:
    """Return a packet of another connection between the same ports."""
    head, numbers, rest = packet.data[:_SEQUENCE], packet.data[_SEQUENCE : _SEQUENCE + 8], packet.data[_SEQUENCE + 8 :]
    shifted = (int.from_bytes(numbers[start : start + 4], "big") + 1_000_000 for start in (0, 4))
    moved = b"".join((number % 2**32).to_bytes(4, "big") for number in shifted)
    return Packet(at, head + moved + rest, packet.original)


def test_a_later_connection_between_the_same_ports_is_separate(tmp_path: Path) -> None:
    one = real_packets("f_pause_graceful")
    later = [renumbered(packet, at=packet.at + 100) for packet in one]

    first, second = parts(tmp_path / "twice.pcap", pcap(one + later))
    assert packets_of(first.read_bytes()) == one
    assert packets_of(second.read_bytes()) == later


def test_a_pcapng_is_split_into_pcapngs_with_the_secrets_of_encrypted_calls(tmp_path: Path) -> None:
    packets = packets_of(gzip.decompress((DATA / "encrypted" / "d_wss_mono16k.pcap.gz").read_bytes()))
    keys = next((DATA / "encrypted").glob("*.keylog*")).read_bytes()
    keys = gzip.decompress(keys) if keys.startswith(b"\x1f\x8b") else keys
    path = tmp_path / "wss.pcapng"

    (made,) = parts(path, pcapng(packets, keys))
    assert made.suffix == ".pcapng"
    (report,) = inspected(made)
    (before,) = inspected(path)
    assert report.audio == before.audio
    assert report.audio.samples > 0


def dump_of(call: str, *texts: str) -> bytes:
    """Return a dump of a call that begins with metadata."""
    lines = [header_line(DumpHeader("2026-11-20T10:00:00.000Z", call, call, server="ws://h:1/", target="/"))]
    metadata = f'{{"sampleRate":8000,"mixType":"mono","callSid":"{call}"}}'
    frames = [RawFrame(True, 0, 1, True, text.encode()) for text in (metadata, *texts)]
    lines += [frame_line(float(at), Sender.JAMBONZ, frame) for at, frame in enumerate(frames)]
    return b"".join([*lines, event_line(DumpEnd(9.0, "jambonz", 1000, ""))])


@pytest.mark.parametrize("wanted", [[1, 2, 3], [2], [1, 3]], ids=str)
def test_a_dump_is_split_by_its_lines(wanted: list[int], tmp_path: Path) -> None:
    dumps = {number: dump_of(f"CS-{number}", '{"event":"dtmf","dtmf":"1"}') for number in (1, 2, 3)}

    made = parts(tmp_path / "all.jsonl", b"".join(dumps.values()), wanted)
    assert [one.name for one in made] == [f"CS-{number}.jsonl" for number in wanted]
    assert [one.read_bytes() for one in made] == [dumps[number] for number in wanted]


def test_unreadable_lines_stay_with_the_call_around_them_and_names_in_the_folder(tmp_path: Path) -> None:
    damaged = dump_of("../../etc/x").replace(b'{"at":9', b'garbage\n{"at":9')

    first, _ = parts(tmp_path / "all.jsonl", damaged + dump_of("CS-2"))
    assert first.read_bytes() == damaged
    assert first.parent == tmp_path / "out"


def test_other_files_are_skipped_with_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "x.har"
    message = b'{"type":"send","time":1,"opcode":1,"data":"{\\"callSid\\":\\"A\\",\\"sampleRate\\":8000}"}'
    warnings: list[str] = []

    assert parts(path, b'{"log":{"entries":[{"_webSocketMessages":[' + message + b"]}]}}", warnings=warnings) == []
    assert warnings == [f"{path}: not a packet capture or dump; --split skips it"]


def test_a_call_without_tls_gets_no_secrets(tmp_path: Path) -> None:
    path = tmp_path / "plain.pcapng"
    keys = b"CLIENT_RANDOM " + b"00" * 32 + b" " + b"11" * 48 + b"\n"

    (made,) = parts(path, pcapng(real_packets("f_pause_graceful"), keys))
    before, after = ({type(found) for found in read_packets(open_capture_file(str(one)))} for one in (path, made))
    assert EmbeddedSecrets in before
    assert after == {PacketBatch}


def test_a_call_behind_a_proxy_gets_the_packets_of_its_connection(tmp_path: Path) -> None:
    header = b"PROXY TCP4 198.51.100.7 10.0.0.2 40000 3000\r\n"
    talk = TcpDialog().open().client(header + HANDSHAKE).server(ANSWER).client(text('{"callSid":"CS-A"}')).close()

    (path,) = parts(tmp_path / "a.pcap", pcap(talk.packets))
    assert [one.data for one in packets_of(path.read_bytes())] == [one.data for one in talk.packets]


def test_a_call_in_a_tunnel_gets_its_packets_with_the_tunnel(tmp_path: Path) -> None:
    outer = b"\x45\0\0\0\0\1\0\0\x40\x04\0\0\x0a\x09\0\5\x0a\x09\0\6"
    talk = TcpDialog(link_type=RAW).open().client(HANDSHAKE).server(ANSWER).client(text('{"callSid":"CS-A"}')).close()
    packets = [
        Packet(one.at, outer[:2] + (20 + len(one.data)).to_bytes(2, "big") + outer[4:] + one.data)
        for one in talk.packets
    ]

    (path,) = parts(tmp_path / "a.pcap", pcap(packets, link_type=RAW))
    assert [one.data for one in packets_of(path.read_bytes())] == [one.data for one in packets]
