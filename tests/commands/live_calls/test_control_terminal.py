"""The commands of the control socket on a terminal."""

import signal
from pathlib import Path

from tests.helpers.control import fake_control, live_call, mark_answer
from tests.helpers.pty_command import on_terminal

CALL_SID = "7f1c9a52-aaaa"
DTMF = {"v": 1, "ts": "2026-11-20T22:33:44.567Z", "call": CALL_SID, "event": "dtmf", "digit": "2", "time": 1.5}


async def test_watched_calls_are_drawn_anew_and_the_terminal_is_given_back(tmp_path: Path) -> None:
    async with (
        fake_control(tmp_path, calls=[live_call("first-call")]) as control,
        on_terminal("calls", "--watch", home=tmp_path) as terminal,
    ):
        await terminal.until("first-call")
        control.calls = [live_call("second-call")]
        await terminal.until("second-call")
        terminal.process.send_signal(signal.SIGTERM)
        drawn = await terminal.to_end()

    assert terminal.process.returncode == 143
    assert "1 live" in drawn
    assert drawn.endswith("\x1b[?25h")
    assert "Traceback" not in drawn


async def test_ctrl_c_ends_a_watch(tmp_path: Path) -> None:
    async with fake_control(tmp_path), on_terminal("calls", "--watch", home=tmp_path) as terminal:
        await terminal.until("no live calls")
        terminal.process.send_signal(signal.SIGINT)
        drawn = await terminal.to_end()

    assert terminal.process.returncode == 130
    assert drawn.endswith("\x1b[?25h")


async def test_a_watch_ends_with_its_server(tmp_path: Path) -> None:
    async with on_terminal("calls", "--watch", home=tmp_path) as terminal:
        drawn = await terminal.to_end()

    assert terminal.process.returncode == 4
    assert "no server named default is running" in drawn


async def test_ctrl_c_ends_following(tmp_path: Path) -> None:
    async with (
        fake_control(tmp_path, events=[DTMF], hold_events=True),
        on_terminal("events", home=tmp_path) as terminal,
    ):
        await terminal.until("2 at 0:01")
        terminal.process.send_signal(signal.SIGINT)
        drawn = await terminal.to_end()

    assert terminal.process.returncode == 130
    assert "Traceback" not in drawn


async def test_on_a_terminal_a_mark_is_waited_for(tmp_path: Path) -> None:
    async with (
        fake_control(tmp_path, jambonz=mark_answer("playout")),
        on_terminal("mark", "7f1c", "intro", home=tmp_path) as terminal,
    ):
        drawn = await terminal.to_end()

    assert terminal.process.returncode == 0
    assert drawn.startswith(f"{CALL_SID}: mark intro: playout after 0.")


async def test_on_a_narrow_terminal_the_table_fits(tmp_path: Path) -> None:
    call = live_call("7f1c9a52-1f3e-4a6b-9c1d-aaaaaaaaaaaa", recording="/very/long/path/to/a/recording.wav")
    async with fake_control(tmp_path, calls=[call]), on_terminal("calls", home=tmp_path, columns=60) as terminal:
        drawn = await terminal.to_end()

    lines = drawn.splitlines()
    assert lines[1].startswith("7f1c9a52  15083084809")
    assert len(lines[1]) <= 60
