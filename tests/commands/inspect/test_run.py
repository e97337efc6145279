"""``listenctl inspect`` as users run it."""

import asyncio
import csv
import fcntl
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import termios
import wave
from asyncio.subprocess import PIPE
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from unittest.mock import patch

import pytest

from tests.helpers.cli import listenctl, listenctl_here, service
from tests.helpers.dumps import jambonz, write_dump
from tests.helpers.frames import CLOSE, HANDSHAKE, TEXT, binary, frame
from tests.helpers.pcap import ANSWER, Packet, TcpDialog, packets_of, pcap
from tests.helpers.server import until
from tests.helpers.terminals import on_terminal

DATA = Path(__file__).parents[2] / "data" / "captures"
STREAM, CLIPS, PAUSE = "c2_bidir_stream8k_marks_nominus1", "e_playaudio_featureserver", "f_pause_graceful"
PAUSE_CALL = "423e4d57-2a8b-47d8-b5ad-559f538a9e02"


def capture(name: str) -> str:
    return str(DATA / f"{name}.pcap.gz")


def unread(pipe: int) -> int:
    """Return the number of unread bytes in a pipe."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def packets(name: str) -> list[Packet]:
    return packets_of(gzip.decompress(Path(capture(name)).read_bytes()))


def test_one_call_is_printed_as_a_summary(tmp_path: Path) -> None:
    run = listenctl("inspect", capture(STREAM), home=tmp_path)

    assert (run.returncode, run.stderr) == (0, "")
    assert "8k mono, 15.00 s, complete" in run.stdout
    assert "warning stream-tail-held, application, at 0:05.020" in run.stdout


def test_several_calls_are_printed_as_a_table(tmp_path: Path) -> None:
    run = listenctl("inspect", capture(STREAM), capture(CLIPS), capture(PAUSE), home=tmp_path)

    heading, *rows, hint = run.stdout.splitlines()
    assert heading.startswith("CALL")
    assert [row.split()[0][:4] for row in rows] == ["12a7", "4ac3", "423e"]
    assert "--call" in hint


@pytest.mark.parametrize("more", [(), ("--timeline",)], ids=["summary", "timeline"])
def test_an_unknown_call_is_status_4(more: tuple[str, ...], tmp_path: Path) -> None:
    run = listenctl("inspect", capture(PAUSE), "--call", "x", *more, home=tmp_path)

    assert run.returncode == 4
    assert PAUSE_CALL in run.stderr


@pytest.mark.parametrize("more", [(), ("--timeline",)], ids=["summary", "timeline"])
def test_a_call_that_may_be_in_a_file_that_cannot_be_read_is_status_1(more: tuple[str, ...], tmp_path: Path) -> None:
    run = listenctl("inspect", "none.pcap", capture(PAUSE), "--call", "x", *more, home=tmp_path)

    assert run.returncode == 1
    assert "none.pcap: can't be read: No such file or directory" in run.stderr


def test_json_has_an_object_per_call(tmp_path: Path) -> None:
    run = listenctl("inspect", capture(STREAM), capture(CLIPS), "--json", home=tmp_path)

    stream, clips = map(json.loads, run.stdout.splitlines())
    assert (stream["number"], clips["number"]) == (1, 2)
    assert len(stream["marks"]) == 15
    assert clips["sound"]["channels"][0]["samples"] == clips["audio"]["samples"]
    assert clips["unreadable"] is None


def test_timeline_of_a_chosen_call_as_json(tmp_path: Path) -> None:
    run = listenctl(
        "inspect", capture(STREAM), capture(CLIPS), "--timeline", "--json", "--call", "@latest", home=tmp_path
    )

    events = [json.loads(line) for line in run.stdout.splitlines()]
    assert {event["number"] for event in events} == {2}
    assert [event["text"] for event in events if event["kind"] == "close"] == ["1000", "1000"]


@pytest.mark.parametrize(("name", "limit"), [(STREAM, "error"), (PAUSE, "warning")])
def test_fail_on_passes_calls_that_broke_no_such_rule(name: str, limit: str, tmp_path: Path) -> None:
    run = listenctl("inspect", capture(name), "--fail-on", limit, home=tmp_path)

    assert (run.returncode, run.stderr) == (0, "")


def test_fail_on_names_the_first_calls_with_status_3(tmp_path: Path) -> None:
    run = listenctl("inspect", *[capture(STREAM)] * 7, "--fail-on", "warning", home=tmp_path)

    assert run.returncode == 3
    assert "7 of 7 calls broke" in run.stderr
    assert run.stderr.count("12a72abe") == 5
    assert run.stderr.endswith("~5, and 2 more\n")


def test_audio_violations_are_in_every_output(tmp_path: Path) -> None:
    dump = write_dump(
        tmp_path / "x.jsonl",
        [
            jambonz(0.0, 1, b'{"sampleRate":8000,"mixType":"mono","callSid":"s"}'),
            *(jambonz(0.02 * number, 2, bytes(320)) for number in range(1, 250)),
            jambonz(5.0, 8, b"\x03\xe8"),
        ],
    )
    (tmp_path / "more").mkdir()
    shutil.copy(dump, tmp_path / "more")

    def output(*options: str) -> str:
        return listenctl("inspect", "x.jsonl", *options, home=tmp_path).stdout

    assert "warning audio-silent, jambonz" in output()
    assert "warning: audio-silent" in listenctl("inspect", "x.jsonl", "more/x.jsonl", home=tmp_path).stdout
    assert "audio-silent" in next(csv.DictReader(StringIO(output("--csv"))))["rules"].split()
    assert "warning audio-silent (jambonz)" in output("--timeline")
    assert "audio-silent" in output("--ladder")
    report = json.loads(output("--json"))
    assert "audio-silent" in [one["rule"] for one in report["violations"]]
    assert report["violation_counts"]["audio-silent"] == 1


def test_fail_on_without_a_call_is_status_3(tmp_path: Path) -> None:
    run = listenctl("inspect", str(DATA / "encrypted/d_wss_mono16k.pcap.gz"), "--fail-on", "error", home=tmp_path)

    assert run.returncode == 3
    assert "no call to check" in run.stderr


def test_encrypted_session_needs_a_key_log(tmp_path: Path) -> None:
    path = str(DATA / "encrypted/d_wss_mono16k.pcap.gz")
    hidden = listenctl("inspect", path, home=tmp_path)
    shown = listenctl("inspect", path, "--keylog", str(DATA / "encrypted/d_wss_mono16k.keylog"), home=tmp_path)

    assert (hidden.returncode, shown.returncode) == (1, 0)
    assert hidden.stderr.endswith("d_wss_mono16k.pcap.gz: no call could be read\n")
    assert "918 packets in 1 TCP connection: 1 of TLS" in hidden.stdout
    assert "SSLKEYLOGFILE" in hidden.stdout
    assert "16k mono, 12.00 s, complete" in shown.stdout


@pytest.mark.parametrize("file", [capture(PAUSE), str(DATA / "encrypted/d_wss_mono16k.pcap.gz")])
def test_key_log_without_the_library_for_ciphers_is_status_1_if_it_is_needed(file: str, tmp_path: Path) -> None:
    keylog = str(DATA / "encrypted/d_wss_mono16k.keylog")
    with patch.dict(sys.modules, {"cryptography.hazmat.primitives.ciphers.aead": None}):
        run = listenctl_here("inspect", "--keylog", keylog, capture(PAUSE), file, home=tmp_path)

    assert "423e4d57" in run.stdout
    assert run.returncode == ("encrypted" in file)
    assert ("pip install cryptography" in run.stderr) == ("encrypted" in file)


@pytest.mark.parametrize("how", ["link type", "cut off", "damaged", "incomplete"])
def test_capture_of_which_nothing_can_be_read_is_status_1(how: str, tmp_path: Path) -> None:
    path, whole = tmp_path / "x.pcap", packets(PAUSE)
    match how:
        case "link type":
            path.write_bytes(pcap(whole, link_type=258))
        case "cut off":
            path.write_bytes(pcap(Packet(one.at, one.data[:66], len(one.data)) for one in whole))
        case "damaged":
            path.write_bytes(pcap([]) + bytes(range(255, 0, -1)) * 500)
        case "incomplete":
            path.write_bytes(gzip.compress(pcap(whole))[:150])

    run = listenctl_here("inspect", str(path), home=tmp_path)

    assert (run.returncode, run.stderr.splitlines()[-1]) == (1, f"listenctl: {path}: no call could be read")


def test_unreadable_files_are_reported_and_the_rest_inspected(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    run = listenctl("inspect", "none.pcap", capture(PAUSE), "notes.txt", home=tmp_path)

    assert run.returncode == 1
    assert run.stdout.startswith(PAUSE_CALL)
    assert "none.pcap: can't be read" in run.stderr
    assert "notes.txt: is text" in run.stderr


def test_damage_is_reported_with_its_position(tmp_path: Path) -> None:
    data = bytearray(gzip.decompress(Path(capture(STREAM)).read_bytes()))
    data[100_000:100_400] = b"\xff" * 400
    (tmp_path / "x.pcap").write_bytes(data[:400_000])
    run = listenctl("inspect", "x.pcap", home=tmp_path)

    assert run.returncode == 0
    assert "x.pcap: byte 100" in run.stderr
    assert "capture-hole" in run.stdout
    assert "capture-ends" in run.stdout


def test_extract_split_and_plot_write_files(tmp_path: Path) -> None:
    run = listenctl(
        *("inspect", capture(STREAM), "--extract", "out", "--split", "out", "--plot", "x.png"), home=tmp_path
    )

    name = "12a72abe-1a8b-4d42-ba49-8d9f47e35e43"
    assert run.returncode == 0
    assert {path.name.removeprefix(name) for path in (tmp_path / "out").iterdir()} == {
        *(".jambonz.wav", ".application.wav", ".both.wav", ".json", ".pcap")
    }
    with wave.open(str(tmp_path / "out" / f"{name}.jambonz.wav")) as file:
        assert file.getnframes() == 120_000
    assert packets_of((tmp_path / "out" / f"{name}.pcap").read_bytes()) == packets(STREAM)
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    assert "wrote x.png" in run.stderr


def test_only_the_chosen_call_is_printed_and_extracted(tmp_path: Path) -> None:
    run = listenctl(
        *("inspect", capture(STREAM), capture(PAUSE), "--call", "423e", "--extract", "out/{from}", "--format", "flac"),
        home=tmp_path,
    )

    assert run.returncode == 0
    assert run.stdout.startswith(PAUSE_CALL)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"+15551230001.jambonz.flac", "+15551230001.json"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_signal_ends_a_live_capture_successfully(number: int, tmp_path: Path) -> None:
    first, *rest = packets(PAUSE), packets(STREAM)
    whole = pcap(first) + pcap(rest[0][:400])[24:]
    async with service("inspect", "-", home=tmp_path, stdin=PIPE) as command:
        await command.give(whole)
        # The first call has ended and is printed although the capture continues.
        assert (await command.events.readline()).decode().startswith(PAUSE_CALL)

        command.process.send_signal(number)
        status, printed, errors = await command.result()

    assert (status, errors) == (0, "")
    assert "\n\n12a72abe-1a8b-4d42-ba49-8d9f47e35e43" in printed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_signal_while_a_file_is_read_is_reported(number: int, tmp_path: Path) -> None:
    fifo = tmp_path / "x.pcap"
    os.mkfifo(fifo)
    async with service("inspect", "x.pcap", "never.pcap", home=tmp_path) as command:
        with await asyncio.to_thread(fifo.open, "wb") as pipe:
            pipe.write(pcap(packets(STREAM)[:400]))
            pipe.flush()
            await until(lambda: not unread(pipe.fileno()))
            command.process.send_signal(number)
            status, printed, errors = await command.result()

    assert status == 128 + number
    assert printed.startswith("12a72abe-1a8b-4d42-ba49-8d9f47e35e43")
    assert errors == "listenctl: x.pcap: interrupted; the results cover only the part read so far\n"


async def test_live_timeline_is_printed_during_the_call(tmp_path: Path) -> None:
    async with service("inspect", "-", "--timeline", home=tmp_path, stdin=PIPE) as command:
        await command.give(pcap(packets(STREAM)[:200]))
        lines = [(await command.events.readline()).decode() for _ in range(5)]
        await command.result(b"")

    assert lines[0].startswith("#1 ")
    assert "greet-start" in lines[4]


async def test_terminal_gets_colors_and_lines_that_fit(tmp_path: Path) -> None:
    async with on_terminal("inspect", capture(STREAM), home=tmp_path, columns=70) as run:
        seen = await run.to_end()

    assert "\x1b[33mwarning\x1b[0m" in seen
    for color in ("\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[33m"):
        seen = seen.replace(color, "")
    assert "\x1b" not in seen
    assert max(map(len, seen.splitlines())) <= 70


def test_text_plot_precedes_the_summary(tmp_path: Path) -> None:
    run = listenctl("inspect", capture(STREAM), "--plot", "-", home=tmp_path)

    drawing, _, summary = run.stdout.partition("\n\n")
    assert run.returncode == 0
    assert "application" in drawing
    assert "commands" in drawing
    assert "\x1b" not in drawing
    assert "8k mono, 15.00 s, complete" in summary


KEY = "0123456789abcdef0123456789abcdef01234567"


def recogniser(tmp_path: Path) -> Path:
    """Return a capture of a bot's own connection to a speech recogniser, with a key wherever one may be."""
    request = HANDSHAKE.replace(b"audio.jambonz.org", f"token, {KEY}".encode()).replace(
        b"/calls?x=1", f"/v1/listen?rate=16000&token={KEY}&{KEY}".encode()
    )
    keys = f"Authorization: {KEY}\r\nCookie: session={KEY}\r\nX-Api-Key: {KEY}\r\n\r\n".encode()
    answer = ANSWER[:-2] + f"Sec-WebSocket-Protocol: token\r\nSet-Cookie: session={KEY}\r\n\r\n".encode()
    talk = TcpDialog().open().client(request[:-2] + keys).server(answer)
    for _ in range(20):
        talk.client(binary(bytes(640))).server(frame(TEXT, b'{"type": "Results"}', mask=None))
    talk.client(frame(CLOSE, b"\x03\xe8")).server(frame(CLOSE, b"\x03\xe8", mask=None)).close()
    path = tmp_path / "recogniser.pcap"
    path.write_bytes(pcap(talk.packets))
    return path


@pytest.mark.parametrize("options", [(), ("--json",), ("--csv",), ("--timeline",), ("--ladder",), ("--plot", "-")])
def test_another_websocket_is_no_call_and_its_key_is_never_shown(options: tuple[str, ...], tmp_path: Path) -> None:
    other = recogniser(tmp_path)

    run = listenctl("inspect", str(other), capture(PAUSE), "--fail-on", "error", *options, home=tmp_path)

    assert run.returncode == 0
    assert "another WebSocket session" in run.stdout + run.stderr
    assert KEY not in run.stdout + run.stderr
    assert "unknown-1" not in run.stdout


def test_nothing_is_extracted_of_another_websocket(tmp_path: Path) -> None:
    other = recogniser(tmp_path)

    run = listenctl("inspect", str(other), "--extract", str(tmp_path / "files/"), home=tmp_path)

    assert run.returncode == 0
    assert [path for path in (tmp_path / "files").rglob("*") if path.is_file()] == []


def smb(number: int) -> bytes:
    return b"\x00\x00\x00\x78\xfeSMB" + bytes(60) + bytes((number * 7 + index * 31) % 256 for index in range(56))


def mqtt(number: int) -> bytes:
    return b"\x82\x0e" + number.to_bytes(2) + b"\x00\x09sensors/x\x00"


def dns(number: int) -> bytes:
    answer = bytes((number * 11 + index * 37) % 256 for index in range(36))
    return b"\x00\x28" + number.to_bytes(2) + b"\x81\x80" + answer


@pytest.mark.parametrize("message", [smb, mqtt, dns])
def test_other_protocols_captured_from_their_middle_are_no_websockets(
    message: Callable[[int], bytes], tmp_path: Path
) -> None:
    talk = TcpDialog()
    for number in range(60):
        talk.client(message(number)).server(b"\x90\x03" + number.to_bytes(2) + b"\x01")
    path = tmp_path / "other.pcap"
    path.write_bytes(pcap(talk.packets))

    run = listenctl("inspect", str(path), "--json", home=tmp_path)

    assert run.stdout == ""
    assert "WebSocket session" not in run.stderr


def test_the_masked_arrays_of_numpy_are_not_imported() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "listenctl", "inspect", capture("a_mono8k_sip")]
    run = subprocess.run(command, capture_output=True, text=True, check=False)

    imported = {line.rpartition("|")[2].strip() for line in run.stderr.splitlines() if line.startswith("import time:")}
    assert "listenctl.media.sound_checks.encoding_checks" in imported
    assert "numpy.ma" not in imported
