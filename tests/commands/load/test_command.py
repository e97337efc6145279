import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.helpers.cli import Service, listenctl, listenctl_beside, refusal, service
from tests.helpers.scripted_server import serving, shake_hands
from tests.helpers.terminals import on_terminal


async def load(home: Path, *arguments: str) -> tuple[int, str, str]:
    done = await listenctl_beside("load", *arguments, home=home)
    return done.returncode, done.stdout, done.stderr


@asynccontextmanager
async def recording(home: Path) -> AsyncIterator[tuple[Service, str]]:
    async with service("record", "out", "--port", "0", "--json", home=home) as server:
        yield server, (await server.started())["url"]


async def test_all_calls_arrive_whole_and_the_report_says_so(tmp_path: Path) -> None:
    async with recording(tmp_path) as (server, url):
        options = ("--mix", "8000*2,16000:stereo", "--per-call", "calls.jsonl", "--fail-if", "handshake.max>10s")
        status, said, complained = await load(
            tmp_path, url, "--calls", "6", "--hold", "0.4", "--ramp", "0.1", *options, "--json"
        )
        recorded = {(event := await server.next("recording-saved"))["call_sid"]: event for _ in range(6)}

    report = json.loads(said)
    calls = [json.loads(line) for line in (tmp_path / "calls.jsonl").read_text().splitlines()]
    assert (status, complained) == (0, "")
    assert report["calls"] == {
        "planned": 6, "placed": 6, "connected": 6, "complete": 6, "early": 0, "cut": 0, "failed": 0, "cancelled": 0,
    }  # fmt: skip
    assert report["frames"] == 120
    assert [one["fail_if"] for one in report["thresholds"]] == [
        "handshake.max>10s",
        "failed>0",
        "ended-early>0",
        "lost>0",
    ]
    assert {call["call_sid"] for call in calls} == set(recorded)
    for call in calls:
        channels = 2 if call["mix_type"] == "stereo" else 1
        sizes = [path.stat().st_size for path in (tmp_path / "out").glob(f"{call['call_sid']}.wav")]
        assert call["frames"] == 20
        assert sizes == [80 + 20 * call["sample_rate"] // 50 * 2 * channels]


async def test_a_threshold_that_is_not_met_is_status_3(tmp_path: Path) -> None:
    async with recording(tmp_path) as (_, url):
        status, said, _ = await load(tmp_path, url, "--calls", "1", "--hold", "0.1", "--fail-if", "first-audio.p95>1s")

    assert status == 3
    assert "first-audio.p95>1s: FAILED (first-audio was never measured)" in said


async def test_an_interrupt_hangs_up_reports_and_is_status_130(tmp_path: Path) -> None:
    async with (
        recording(tmp_path) as (server, url),
        service("load", url, "--calls", "2", "--hold", "600", "--json", home=tmp_path) as command,
    ):
        await server.next("call-started")
        await server.next("call-started")
        command.process.send_signal(signal.SIGINT)
        for _ in range(2):
            await server.next("call-ended")
        status, said, _ = await command.result()

    assert status == 130
    assert json.loads(said)["interrupted"]


@pytest.mark.parametrize(("calls", "lost"), [("1", "1 call"), ("2", "2 calls"), ("7", "7 calls")])
async def test_calls_that_cannot_be_written_down_are_all_counted(tmp_path: Path, calls: str, lost: str) -> None:
    async with recording(tmp_path) as (_, url):
        status, _, complained = await load(
            tmp_path, url, "--calls", calls, "--hold", "0.1", "--ramp", "0.3", "--per-call", "/dev/full", "--quiet"
        )

    assert status == 1
    assert complained == f"listenctl: /dev/full: {lost} couldn't be written: no space left on device\n"


async def test_calls_go_to_stdout_where_no_report_does(tmp_path: Path) -> None:
    async with recording(tmp_path) as (_, url):
        status, said, complained = await load(
            tmp_path, url, "--calls", "2", "--hold", "0.1", "--quiet", "--per-call", "-"
        )

    assert (status, complained) == (0, "")
    assert {json.loads(line)["call"] for line in said.splitlines()} == {0, 1}


@pytest.mark.parametrize("form", [[], ["--json"]])
async def test_a_report_that_nobody_reads_is_told(tmp_path: Path, form: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    async with recording(tmp_path) as (_, url):
        options = ("--calls", "1", "--hold", "0.1", *form)
        async with service("load", url, *options, home=tmp_path, stdout=writer) as command:
            os.close(writer)
            assert await command.status() == (
                1,
                "listenctl: stdout: the report can't be written: its reader is gone\n",
            )


async def test_a_second_interrupt_leaves_the_progress_on_a_line_of_its_own(tmp_path: Path) -> None:
    hung_up, over = asyncio.Event(), asyncio.Event()

    async def never_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await shake_hands(reader, writer)
        await reader.read()
        hung_up.set()
        await over.wait()

    async with serving(never_close) as port:
        url = f"ws://127.0.0.1:{port}/"
        async with on_terminal("load", url, "--calls", "1", "--hold", "600", home=tmp_path) as terminal:
            await terminal.until("1 live")
            terminal.process.send_signal(signal.SIGINT)
            await hung_up.wait()
            terminal.process.send_signal(signal.SIGINT)
            drawn = await terminal.to_end()
        over.set()

    assert drawn.endswith("\r\n")
    assert terminal.process.returncode == 130


async def test_a_load_that_is_not_over_in_time_is_status_124(tmp_path: Path) -> None:
    async with recording(tmp_path) as (_, url):
        status, _, complained = await load(
            tmp_path, url, "--calls", "1", "--hold", "600", "--timeout", "0.3", "--quiet"
        )

    assert status == 124
    assert complained == "listenctl: the load did not end within 0.3 s; its calls were hung up\n"


def test_nobody_there_is_status_5_in_one_line(tmp_path: Path) -> None:
    run = listenctl("load", "ws://127.0.0.1:1/", "--calls", "2", "--quiet", home=tmp_path)

    assert run.returncode == 5
    assert run.stderr.count("\n") == 1
    assert "ws://127.0.0.1:1/: can't connect" in run.stderr


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--fail-if", "speed>1"], "unknown metric speed"),
        (["--fail-if", "echo.lost>0"], "needs --echo-verify"),
        (["--echo-verify", "--mix", "8000:stereo"], "leave stereo out"),
        (["--mix", "8000:quad"], "unknown type quad"),
        (["--ramp", "1", "--arrivals", "5"], "use one of them"),
        (["--per-call", "missing/calls"], "can't be written"),
        (["--per-call", "-"], "stdout already has the report"),
        (["--per-call", "-", "--quiet", "--json"], "stdout already has the report"),
        (["--fail-if", "lost>1%"], "takes neither % nor a unit"),
        (["--echo-verify", "--streaming", "8000", "--mix", "8000,16000"], "can't match calls of 16000 Hz"),
    ],
)
def test_wrong_usage_is_status_2_and_says_what_to_do(tmp_path: Path, arguments: list[str], problem: str) -> None:
    assert problem in refusal("load", "ws://127.0.0.1:1/", *arguments, home=tmp_path)
