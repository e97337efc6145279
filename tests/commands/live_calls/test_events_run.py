"""Events of a running server."""

import io
import json
import signal
import subprocess
from pathlib import Path

import pytest

from listenctl.commands.live_calls.events_command import EventsOptions
from listenctl.commands.live_calls.events_run import run_events
from listenctl.errors import TimedOutError
from tests.helpers.cli import listenctl_beside
from tests.helpers.control import fake_control, live_call
from tests.helpers.terminals import on_terminal

CALL_SID = "7f1c9a52-aaaa"
ENDED = "listenctl: the server has ended\n"
STARTED = {"v": 1, "ts": "2026-11-20T22:33:44.567Z", "call": CALL_SID, "call_sid": CALL_SID}
DTMF = {**STARTED, "event": "dtmf", "digit": "2", "time": 1.5}
WARNING = {**STARTED, "event": "warning", "rule": "r", "detail": "odd\x1b[31m", "call": "other", "call_sid": None}
LEVELS = {**STARTED, "event": "levels"}


async def follow_events(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    async with fake_control(folder, events=[DTMF, WARNING, LEVELS], calls=[live_call()]):
        return await listenctl_beside("events", *arguments, home=folder)


async def test_json_lines_are_the_events_of_the_server(tmp_path: Path) -> None:
    done = await follow_events(tmp_path, "--json")

    assert [json.loads(line) for line in done.stdout.splitlines()] == [DTMF, WARNING, LEVELS]
    assert (done.returncode, done.stderr) == (0, ENDED)


async def test_text_is_printable(tmp_path: Path) -> None:
    done = await follow_events(tmp_path)

    dtmf, warning = done.stdout.splitlines()
    assert dtmf.endswith(" dtmf 7f1c9a52-aaaa 2 at 0:01.5")
    assert " warning other odd" in warning
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "kinds"),
    [
        (["--event", "dtmf"], ["dtmf"]),
        (["--event", "dtmf", "--event", "levels"], ["dtmf", "levels"]),
        (["--call", "7f1c"], ["dtmf", "levels"]),
        (["--call", "@latest"], ["dtmf", "levels"]),
        (["--call", "other"], ["warning"]),
        (["--call", "other", "--event", "dtmf"], []),
    ],
    ids=" ".join,
)
async def test_filters(arguments: list[str], kinds: list[str], tmp_path: Path) -> None:
    done = await follow_events(tmp_path, "--json", *arguments)

    assert [json.loads(line)["event"] for line in done.stdout.splitlines()] == kinds


@pytest.mark.simulated_time
async def test_no_event_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    async with fake_control(tmp_path, events=[DTMF], hold_events=True):
        with pytest.raises(TimedOutError, match=r"no event within 0.3 s"):
            await run_events(EventsOptions(event=["gap"], json=True, timeout=0.3), io.StringIO())


async def test_latest_of_no_calls_is_status_4(tmp_path: Path) -> None:
    async with fake_control(tmp_path):
        done = await listenctl_beside("events", "--call", "@latest", home=tmp_path)

    assert (done.returncode, done.stderr) == (4, "listenctl: there is no live call\n")


async def test_ctrl_c_ends_the_command(tmp_path: Path) -> None:
    async with (
        fake_control(tmp_path, events=[DTMF], hold_events=True),
        on_terminal("events", home=tmp_path) as terminal,
    ):
        await terminal.until("2 at 0:01")
        terminal.process.send_signal(signal.SIGINT)
        drawn = await terminal.to_end()

    assert terminal.process.returncode == 130
    assert "Traceback" not in drawn
