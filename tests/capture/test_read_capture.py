"""The file type is detected from the content, and every frame of the real calls is found."""

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Opcode

from listenctl.capture.capture_events import CapturedFrame
from listenctl.capture.formats.dump_line_format import DumpHeader, frame_line, header_line
from listenctl.capture.read_capture import read_capture
from listenctl.capture.tls.key_log import KeyLog
from listenctl.errors import UsageError
from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.protocol.listen_session import Sender
from tests.helpers.capture import CAPTURES, FOLDER, received_audio
from tests.helpers.frames import binary
from tests.helpers.pcap import (
    Packet,
    block,
    enhanced,
    frames,
    interface,
    losses,
    packets_of,
    payloads,
    pcap,
    pcapng,
    read_file,
    section,
    sessions,
    timed_frames,
    unmasked,
    upgraded,
)

CALL = FOLDER / f"{CAPTURES[0]}.pcap.gz"
DUMP = header_line(DumpHeader("2026-11-21T15:00:00Z")) + frame_line(
    0.1, Sender.JAMBONZ, RawFrame(True, 0, 2, True, b"xy")
)
MESSAGE = {"type": "send", "time": 1795273200, "opcode": 1, "data": "xy"}
HAR = {"log": {"entries": [{"_webSocketMessages": [MESSAGE]}]}}


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    "data",
    [
        pcap(upgraded().client(binary(b"xy")).packets),
        DUMP,
        b"\n  " + DUMP,
        json.dumps(HAR).encode(),
        b"\xef\xbb\xbf" + json.dumps(HAR, indent=2).encode(),
    ],
    ids=["pcap", "dump", "dump after blanks", "har", "har with a byte order mark"],
)
def test_whatever_holds_calls_is_read(tmp_path: Path, data: bytes, zipped: bool) -> None:
    path = tmp_path / "capture"
    path.write_bytes(gzip.compress(data) if zipped else data)

    events = read_file(path)

    (session,) = sessions(events)
    assert session.source == str(path)
    assert payloads(events) == [b"xy"]


@pytest.mark.parametrize(
    ("data", "is_"),
    [
        (b"", "is empty"),
        (b"hello\n", "is text"),
        (b"RIFF\x00\x00\x00\x00WAVE", "is sound without the sidecar of a recording"),
        (b'{"a": 1}', "is unsupported JSON"),
        (b"\n<html>", "is XML or HTML"),
        (b"PK\x03\x04", "is an archive, or has an unsupported compression"),
        (b"snoop\x00\x00\x00", "is a capture in an unsupported format; convert it with editcap"),
        (b"\x7fELF", "is a program"),
        (b"CLIENT_RANDOM 00 00", "is a key log of TLS secrets"),
        (b"\x00\x01\x02\x03", "is of an unknown type"),
    ],
)
def test_a_file_that_is_none_says_what_it_is(tmp_path: Path, data: bytes, is_: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)

    with pytest.raises(UsageError) as caught:
        read_capture(str(path))

    assert str(caught.value) == (
        f"{path}: {is_}; name a capture: pcap, pcapng, a dump, HAR, or a recording with its sidecar"
    )


def test_a_file_that_isnt_there_says_so_at_once() -> None:
    with pytest.raises(UsageError, match="nowhere: can't be read: No such file"):
        read_capture("nowhere")


def test_sessions_are_counted_over_all_files() -> None:
    numbers = count(1)

    events = [one for _ in range(2) for one in read_capture(str(CALL), numbers=numbers)]

    assert [session.number for session in sessions(events)] == [1, 2]


def test_secrets_in_a_capture_open_what_is_encrypted_in_it(tmp_path: Path) -> None:
    encrypted = FOLDER / "encrypted"
    secrets = (encrypted / "d_wss_mono16k.keylog").read_bytes()
    packets = packets_of(gzip.decompress((encrypted / "d_wss_mono16k.pcap.gz").read_bytes()))
    written = block(0x0A, b"KSLT" + len(secrets).to_bytes(4, "little") + secrets)
    path = tmp_path / "both.pcapng"
    path.write_bytes(section() + interface() + written + b"".join(enhanced(packet) for packet in packets))

    events = read_file(path)

    assert frames(events) == frames(read_file(FOLDER / "d_wss_mono16k_decrypted.pcap.gz"))


READ_STDIN = """
from listenctl.capture.read_capture import read_capture
for one in read_capture("-"):
    if type(one).__name__ == "CapturedFrame":
        print(one.frame.payload.decode(), flush=True)
"""


@pytest.mark.parametrize("write", [pcap, pcapng])
def test_a_capture_is_read_while_it_is_written(write: Callable[[list[Packet]], bytes]) -> None:
    packets = upgraded().client(binary(b"one")).server(unmasked(b"two")).packets
    first, whole = write(packets[:-2]), write(packets)

    with subprocess.Popen([sys.executable, "-c", READ_STDIN], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
        assert reader.stdin
        assert reader.stdout
        reader.stdin.write(first)
        reader.stdin.flush()
        assert reader.stdout.readline() == b"one\n"
        reader.stdin.write(whole[len(first) :])
        reader.stdin.close()
        assert reader.stdout.readline() == b"two\n"

    assert reader.returncode == 0


TLS = "encrypted/d_wss_mono16k"
SENDERS = {"in": Sender.JAMBONZ, "out": Sender.APPLICATION}
# The server logged at most this many characters of a text.
SHOWN = 4000
WRITTEN_DOWN = [name for name in CAPTURES if name != "d_wss_mono16k_decrypted"] + [TLS]


def written_down(name: str) -> list[Any]:
    lines = gzip.decompress((FOLDER / f"{name}.jsonl.gz").read_bytes()).splitlines()
    return [json.loads(line) for line in lines]


def keylog_of(name: str) -> KeyLog | None:
    path = FOLDER / f"{name}.keylog"
    return KeyLog(path.read_text()) if path.exists() else None


def as_written(one: CapturedFrame) -> dict[str, object]:
    fin, rsv, opcode, masked, payload = one.frame
    written = {"op": Opcode(opcode).name, "fin": int(fin), "rsv": rsv, "masked": masked, "len": len(payload)}
    match opcode:
        case Opcode.TEXT:
            return written | {"text": payload.decode()[:SHOWN]}
        case Opcode.CLOSE:
            return written | {"code": int.from_bytes(payload[:2], "big"), "reason": payload[2:].decode()}
    return written | {"head": payload[:16].hex()}


@pytest.mark.parametrize("name", WRITTEN_DOWN)
def test_every_frame_of_a_real_call_is_as_the_server_received_it(name: str) -> None:
    asked, *lines, ended = written_down(name)

    events = read_file(FOLDER / f"{name}.pcap.gz", keylog_of(name))

    (session,) = sessions(events)
    assert session.request is not None
    assert session.request.raw.decode() == asked["request"]
    assert session.encrypted is (name == TLS)
    assert losses(events) == []
    assert "end" in ended
    audio = [frame.payload for frame in frames(events, Sender.JAMBONZ) if frame.opcode == Opcode.BINARY]
    assert b"".join(audio) == received_audio("d_wss_mono16k_decrypted" if name == TLS else name).data
    for direction, sender in SENDERS.items():
        expected = [line for line in lines if line.get("dir") == direction]
        kept = [{key: line[key] for key in line.keys() - {"conn", "wall", "t", "dir"}} for line in expected]
        assert [as_written(one) for one in timed_frames(events, sender)] == kept
        # The server may be slow, but can't receive anything before it was sent.
        late = [line["wall"] - one.at for line, one in zip(expected, timed_frames(events, sender), strict=True)]
        assert all(-0.001 < delay < 0.5 for delay in (late if sender is Sender.JAMBONZ else [-one for one in late]))


@given(st.sampled_from([b"", DUMP[:30], b'{"log":', b"\xd4\xc3\xb2\xa1", b"\x0a\x0d\x0d\x0a"]), st.binary())
def test_garbage_is_refused_or_read_but_never_raises(
    tmp_path_factory: pytest.TempPathFactory, start: bytes, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "garbage"
    path.write_bytes(start + data)

    with suppress(UsageError):
        assert not [one for one in read_file(path) if isinstance(one, CapturedFrame)]
