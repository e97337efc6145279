"""``listenctl replay`` as users run it."""

import gzip
import json
import signal
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.helpers.capture import FOLDER, received_audio
from tests.helpers.cli import Service, listenctl_beside, service
from tests.helpers.dumps import CLOSE, METADATA, TEXT, application, jambonz, write_dump
from tests.helpers.terminals import on_terminal

NORMAL = b"\x03\xe8"
CAPTURE = FOLDER / "a_mono8k_sip.pcap.gz"
BIDIRECTIONAL = FOLDER / "c2_bidir_stream8k_marks_nominus1.pcap.gz"


async def replay(home: Path, *arguments: str | Path) -> tuple[int, str, str]:
    done = await listenctl_beside("replay", *map(str, arguments), home=home)
    return done.returncode, done.stdout, done.stderr


@asynccontextmanager
async def listening(home: Path, *arguments: str | Path) -> AsyncIterator[tuple[Service, str]]:
    async with service("replay", *map(str, arguments), "--listen", "0", home=home) as command:
        url = (await command.says("ws://")).split()[-1]
        command.said = ""
        yield command, url


@asynccontextmanager
async def serving(home: Path, *command: str) -> AsyncIterator[tuple[Service, str]]:
    async with service(*command, "--port", "0", "--json", home=home) as server:
        yield server, (await server.started())["url"]


async def test_copies_and_rounds_are_recorded_like_the_capture(tmp_path: Path) -> None:
    async with serving(tmp_path, "record", "out") as (server, url):
        status, printed, errors = await replay(
            tmp_path, CAPTURE, url, "--speed", "max", "--calls", "2", "--loop", "2", "--json"
        )
        saved = {(await server.next("recording-saved"))["call_sid"] for _ in range(4)}

    reports = [json.loads(line) for line in printed.splitlines()]
    assert (status, errors) == (0, "")
    assert {one["call_sid"] for one in reports} == saved
    assert [(one["ok"], one["frames"]) for one in reports] == [(True, 751)] * 4
    for path in (tmp_path / "out").glob("*.wav"):
        assert path.read_bytes()[80:] == received_audio("a_mono8k_sip").data


async def test_capture_on_stdin(tmp_path: Path) -> None:
    async with serving(tmp_path, "record", "out") as (_, url):
        options = ("--speed", "max", "--loop", "2")
        async with service("replay", "-", url, *options, home=tmp_path, stdin=PIPE) as command:
            status, printed, _ = await command.result(gzip.decompress(CAPTURE.read_bytes()))

    assert (status, len(printed.splitlines())) == (0, 3)
    assert printed.endswith("2 calls replayed, 2 successfully\n")


async def test_both_sides_of_a_capture_replayed_to_each_other(tmp_path: Path) -> None:
    async with listening(tmp_path, BIDIRECTIONAL, "--speed", "20") as (command, url):
        options = ("--speed", "20", "--compare", "--tolerance", "9000")
        status, printed, errors = await replay(tmp_path, BIDIRECTIONAL, url, *options)

        assert (status, errors) == (0, "")
        assert "answered as in the capture: 17 of 17 texts, 144.0 kB of 144.0 kB of audio" in printed
        status, printed, _ = await command.result()
    assert status == 0
    assert printed.startswith("caller 1, call 1: sent 178 frames in ")


async def test_differences_are_printed_with_status_3(tmp_path: Path) -> None:
    frames = [
        jambonz(0.0, TEXT, METADATA),
        application(0.01, TEXT, b'{"type":"mark","data":{"name":"a\x1b[31m"}}'),
        jambonz(0.2, CLOSE, NORMAL),
    ]
    changed = [frames[0], application(0.01, TEXT, b'{"type":"mark","data":{"name":"b"}}'), frames[2]]
    async with listening(tmp_path, write_dump(tmp_path / "changed", changed)) as (command, url):
        options = ("--compare", "--tolerance", "9000")
        status, printed, errors = await replay(tmp_path, write_dump(tmp_path / "dump", frames), url, *options)
        assert (await command.status())[0] == 0

    assert (status, errors) == (3, "")
    assert "  1 difference to the answers in the capture: 1 of 1 texts" in printed
    assert '  different  0:00.0  mark: data.name: "a' in printed
    assert "\x1b" not in printed


async def test_unreachable_server_is_reported_once(tmp_path: Path) -> None:
    status, printed, errors = await replay(tmp_path, CAPTURE, "ws://127.0.0.1:1/", "--calls", "3")

    assert status == 5
    assert errors.count("can't connect") == 1
    assert printed == "3 calls replayed, 0 successfully\n"


async def test_signal_hangs_up(tmp_path: Path) -> None:
    async with serving(tmp_path, "serve") as (server, url):
        async with service("replay", str(CAPTURE), url, "--json", home=tmp_path) as command:
            await server.next("call-started")
            command.process.send_signal(signal.SIGINT)
            status, printed, errors = await command.result()
        over = await server.next("call-ended")

    assert (status, errors) == (130, "")
    report = json.loads(printed)
    assert (report["interrupted"], report["ok"]) == (True, False)
    assert report["frames"] + report["unplayed_frames"] == 751
    assert over["close_code"] == 1000


async def test_progress_is_drawn_on_a_terminal(tmp_path: Path) -> None:
    async with (
        serving(tmp_path, "serve") as (server, url),
        on_terminal("replay", str(CAPTURE), url, home=tmp_path) as terminal,
    ):
        await server.next("call-started")
        await terminal.until("1 call live")
        terminal.process.send_signal(signal.SIGINT)
        drawn = await terminal.to_end()

    assert terminal.process.returncode == 130
    last = drawn.rpartition("\r\x1b[K")[0].rpartition("\r\x1b[K")[2]
    assert last.startswith("call 1: played ")
    assert "; hung up with 1000\r\n" in last
    assert " frames not played" in last


async def test_signal_ends_listening(tmp_path: Path) -> None:
    async with listening(tmp_path, CAPTURE) as (command, _):
        command.process.send_signal(signal.SIGTERM)
        assert await command.result() == (143, "", "")
