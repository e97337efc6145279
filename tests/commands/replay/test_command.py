"""``listenctl replay`` as users run it."""

import asyncio
import gzip
import json
import signal
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import pytest

from listenctl.commands.replay.command import parse_place, parse_rounds, parse_speed
from listenctl.errors import UsageError
from tests.helpers.capture import FOLDER, received_audio
from tests.helpers.cli import COMMAND, environment, listenctl_here, service
from tests.helpers.pty_command import on_terminal
from tests.helpers.replayed import CLOSE, METADATA, TEXT, application, jambonz, write_dump
from tests.helpers.scripted_server import LIMIT

NORMAL = b"\x03\xe8"
CAPTURE = FOLDER / "a_mono8k_sip.pcap.gz"
BIDIRECTIONAL = FOLDER / "c2_bidir_stream8k_marks_nominus1.pcap.gz"


async def replaying(home: Path, *arguments: str | Path, given: int | None = None) -> Process:
    words = [*COMMAND, "replay", *map(str, arguments)]
    return await asyncio.create_subprocess_exec(
        *words, cwd=home, env=environment(home), stdin=given, stdout=PIPE, stderr=PIPE
    )


async def ended(process: Process, given: bytes | None = None) -> tuple[int, str, str]:
    async with asyncio.timeout(LIMIT):
        said, complained = await process.communicate(given)
    assert process.returncode is not None
    return process.returncode, said.decode(), complained.decode()


async def replay(home: Path, *arguments: str | Path) -> tuple[int, str, str]:
    return await ended(await replaying(home, *arguments))


async def listening(home: Path, *arguments: str | Path) -> tuple[Process, str]:
    process = await replaying(home, *arguments, "--listen", "0")
    assert process.stderr is not None
    line = (await process.stderr.readline()).decode()
    return process, line.split()[-1]


async def test_many_copies_are_recorded_as_the_capture_was(tmp_path: Path) -> None:
    async with service("record", "out", "--port", "0", "--json", home=tmp_path) as server:
        url = f"ws://127.0.0.1:{(await server.next('server-started'))['port']}/"
        status, said, complained = await replay(
            tmp_path, CAPTURE, url, "--speed", "max", "--calls", "2", "--loop", "2", "--json"
        )
        saved = {(await server.next("recording-saved"))["call_sid"] for _ in range(4)}

    reports = [json.loads(line) for line in said.splitlines()]
    assert (status, complained) == (0, "")
    assert {one["call_sid"] for one in reports} == saved
    assert [(one["ok"], one["frames"]) for one in reports] == [(True, 751)] * 4
    for path in (tmp_path / "out").glob("*.wav"):
        assert path.read_bytes()[80:] == received_audio("a_mono8k_sip").data


async def test_a_capture_from_a_pipe_is_played(tmp_path: Path) -> None:
    async with service("record", "out", "--port", "0", "--json", home=tmp_path) as server:
        url = f"ws://127.0.0.1:{(await server.next('server-started'))['port']}/"
        process = await replaying(tmp_path, "-", url, "--speed", "max", "--loop", "2", given=PIPE)
        status, said, _ = await ended(process, gzip.decompress(CAPTURE.read_bytes()))

    assert (status, len(said.splitlines())) == (0, 3)
    assert said.endswith("2 calls played, 2 as they should be\n")


async def test_the_two_sides_of_a_capture_answer_each_other(tmp_path: Path) -> None:
    process, url = await listening(tmp_path, BIDIRECTIONAL, "--speed", "20")

    status, said, complained = await replay(
        tmp_path, BIDIRECTIONAL, url, "--speed", "20", "--compare", "--tolerance", "9000"
    )

    assert (status, complained) == (0, "")
    assert "answered as in the capture: 17 of 17 texts, 144.0 kB of 144.0 kB of audio" in said
    status, said, _ = await ended(process)
    assert status == 0
    assert said.startswith("caller 1, call 1: said 178 frames in ")


async def test_differences_are_shown_and_fail(tmp_path: Path) -> None:
    frames = [
        jambonz(0.0, TEXT, METADATA),
        application(0.01, TEXT, b'{"type":"mark","data":{"name":"a\x1b[31m"}}'),
        jambonz(0.2, CLOSE, NORMAL),
    ]
    changed = [frames[0], application(0.01, TEXT, b'{"type":"mark","data":{"name":"b"}}'), frames[2]]
    process, url = await listening(tmp_path, write_dump(tmp_path / "changed", changed))

    status, said, complained = await replay(tmp_path, write_dump(tmp_path / "dump", frames), url, "--compare")

    assert (status, complained) == (3, "")
    assert "  1 difference to the answers in the capture: 1 of 1 texts" in said
    assert '  different  0:00.0  mark: data.name: "a' in said
    assert "\x1b" not in said
    assert (await ended(process))[0] == 0


async def test_a_server_that_is_not_there_is_said_once(tmp_path: Path) -> None:
    status, said, complained = await replay(tmp_path, CAPTURE, "ws://127.0.0.1:1/", "--calls", "3")

    assert status == 5
    assert complained.count("can't connect") == 1
    assert said == "3 calls played, 0 as they should be\n"


async def test_a_signal_hangs_up(tmp_path: Path) -> None:
    async with service("serve", "--port", "0", "--json", home=tmp_path) as server:
        url = f"ws://127.0.0.1:{(await server.next('server-started'))['port']}/"
        process = await replaying(tmp_path, CAPTURE, url, "--json")
        await server.next("call-started")
        process.send_signal(signal.SIGINT)
        status, said, complained = await ended(process)
        over = await server.next("call-ended")

    assert (status, complained) == (130, "")
    report = json.loads(said)
    assert (report["interrupted"], report["ok"]) == (True, False)
    assert report["frames"] + report["unplayed_frames"] == 751
    assert over["close_code"] == 1000


async def test_on_a_terminal_it_shows_how_it_goes(tmp_path: Path) -> None:
    async with service("serve", "--port", "0", "--json", home=tmp_path) as server:
        url = f"ws://127.0.0.1:{(await server.next('server-started'))['port']}/"
        async with on_terminal("replay", str(CAPTURE), url, home=tmp_path) as terminal:
            await terminal.until("1 call live")
            terminal.process.send_signal(signal.SIGINT)
            drawn = await terminal.to_end()

    assert terminal.process.returncode == 130
    last = drawn.rpartition("\r\x1b[K")[0].rpartition("\r\x1b[K")[2]
    assert last.startswith("call 1: played ")
    assert "; hung up with 1000\r\n" in last
    assert " frames not played" in last


async def test_a_signal_ends_the_listening_too(tmp_path: Path) -> None:
    process, _ = await listening(tmp_path, CAPTURE)

    process.send_signal(signal.SIGTERM)

    assert await ended(process) == (143, "", "")


@pytest.mark.parametrize(
    ("arguments", "status", "complaint"),
    [
        ([CAPTURE], 2, "give either the URL of a server or --listen [HOST:]PORT"),
        ([CAPTURE, "ws://h/", "--listen", "1"], 2, "give either the URL of a server or --listen"),
        ([CAPTURE, "ws://h/", "--call", "1", "--all"], 2, "--call and --all: give one of them"),
        ([CAPTURE, "--listen", "0", "--compare"], 2, "--listen: --compare and --same-sid are for a server"),
        ([CAPTURE, "--listen", "0.0.0.0:0"], 2, "everyone could connect; give the credentials"),
        ([CAPTURE, "ws://h/", "--keylog", "nowhere"], 2, "nowhere: can't read the key log"),
        ([CAPTURE, "ws://h/", "--call", "7"], 4, "contains no readable frame of a call 7"),
        ([CAPTURE, "ws://h/", "--keylog", __file__], 2, "contains no TLS secrets"),
        ([CAPTURE, "ws://h/", "--sync", "answers"], 2, "--sync needs --listen"),
        ([CAPTURE, "ws://h/", "--tolerance", "0"], 2, "--tolerance needs --compare"),
        ([CAPTURE, "ws://h/", "--ignore", "id"], 2, "--ignore needs --compare"),
        ([Path(__file__), "ws://h/"], 1, "is text; name a capture"),
        (["missing.pcap", "ws://h/"], 1, "missing.pcap"),
    ],
)
def test_wrong_usage_is_said_in_a_line(
    arguments: list[str | Path], status: int, complaint: str, tmp_path: Path
) -> None:
    run = listenctl_here("replay", *map(str, arguments), home=tmp_path)

    assert run.returncode == status
    assert complaint in run.stderr
    assert len(run.stderr.splitlines()) == 1


def test_speeds_rounds_and_places_are_understood() -> None:
    assert [parse_speed(text) for text in ("1", "0.1", "100", "max")] == [1.0, 0.1, 100.0, None]
    assert [parse_rounds(text) for text in ("1", "12", "forever")] == [1, 12, None]
    assert [parse_place(text) for text in ("3000", "h:0", "[::1]:9")] == [("127.0.0.1", 3000), ("h", 0), ("::1", 9)]


@pytest.mark.parametrize("text", ["0", "101", "nan", "inf", "fast", ""])
def test_other_speeds_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--speed"):
        parse_speed(text)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "ever", "", "9999999999"])
def test_other_rounds_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--loop"):
        parse_rounds(text)


@pytest.mark.parametrize("text", ["", "h", "h:", "h:70000", ":x"])
def test_places_without_a_port_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--listen"):
        parse_place(text)
