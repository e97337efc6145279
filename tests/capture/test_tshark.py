"""The same bytes on each connection as Wireshark finds, also in captures that are damaged."""

import gzip
import random
import subprocess
from pathlib import Path

import pytest

from listenctl.capture.compressed_files import open_capture_file
from listenctl.capture.packets.tcp_events import TcpData
from listenctl.capture.read_capture import read_packets
from tests.helpers.capture import CAPTURES, FOLDER
from tests.helpers.pcap import (
    Damage,
    Packet,
    cut,
    doubled,
    dropped,
    packets_of,
    pcap,
    pcapng,
    read,
    reordered,
    said,
)
from tests.helpers.tshark import followed, tshark

BOTH_WAYS = ["c2_bidir_stream8k_marks_nominus1", "e_playaudio_featureserver"]


def packets(name: str) -> list[Packet]:
    return packets_of(gzip.decompress((FOLDER / f"{name}.pcap.gz").read_bytes()))


def read_file(path: Path) -> list[bytes]:
    return said(read(read_packets(open_capture_file(str(path)))))


@pytest.mark.parametrize("name", CAPTURES)
def test_streams_of_a_capture_are_those_that_wireshark_follows(name: str) -> None:
    path = FOLDER / f"{name}.pcap.gz"

    assert tuple(read_file(path)) == followed(path)


@pytest.mark.parametrize("name", BOTH_WAYS)
@pytest.mark.parametrize("damage", [dropped, doubled, cut])
@pytest.mark.parametrize("seed", range(3))
def test_streams_of_a_damaged_capture_are_those_that_wireshark_follows(
    tmp_path: Path, name: str, damage: Damage, seed: int
) -> None:
    path = tmp_path / "damaged.pcap"
    path.write_bytes(pcap(damage(packets(name), random.Random(seed))))

    assert tuple(read_file(path)) == followed(path)


@pytest.mark.parametrize("name", BOTH_WAYS)
@pytest.mark.parametrize("seed", range(3))
def test_packets_out_of_order_cost_nothing(tmp_path: Path, name: str, seed: int) -> None:
    # Wireshark takes for lost what was acknowledged earlier in the file, so that its view of the original is the truth.
    original = FOLDER / f"{name}.pcap.gz"
    path = tmp_path / "damaged.pcapng"
    path.write_bytes(pcapng(reordered(packets(name), random.Random(seed))))

    assert tuple(read_file(path)) == followed(original)


@pytest.mark.parametrize("form", ["pcap", "nsecpcap", "modpcap", "pcapng"])
def test_times_are_those_of_wireshark_in_every_format(tmp_path: Path, form: str) -> None:
    path = tmp_path / "converted"
    source = tmp_path / "source.pcap"
    source.write_bytes(pcap(packets(BOTH_WAYS[0])))
    subprocess.run(["editcap", "-F", form, source, path], check=True)

    shown = tshark(path, "-Y", "tcp.len > 0", "-T", "fields", "-e", "frame.time_epoch", "-e", "tcp.len")

    expected = [(round(float(at), 6), int(size)) for at, size in (line.split() for line in shown.splitlines())]
    found = read(read_packets(open_capture_file(str(path))))
    assert [(round(one.at, 6), len(one.data)) for one in found if isinstance(one, TcpData)] == expected
