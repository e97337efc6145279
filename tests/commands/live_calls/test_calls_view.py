"""The table of live calls, on any width."""

import signal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from listenctl.call_listing import CallListing, ListedCall, ListedServer
from listenctl.commands.live_calls.calls_view import frame, table, unique_prefixes
from listenctl.terminal.printable_text import TextStyle
from tests.helpers.control import SERVER, fake_control, live_call, mark_answer
from tests.helpers.pty_command import on_terminal

PLAIN = TextStyle(color=False)
UUIDS = ("7f1c9a52-1f3e-4a6b-9c1d-aaaaaaaaaaaa", "7f1c9a52-1f3e-4a6b-9c1d-bbbbbbbbbbbb", "0b7e5d10-1")


def listing(*calls: dict[str, Any]) -> CallListing:
    return CallListing(ListedServer.parse(SERVER), [ListedCall.parse(call) for call in calls])


def test_without_calls_that_is_said() -> None:
    assert table(listing(), PLAIN, None) == ["no live calls"]


@pytest.mark.parametrize("columns", range(1, 140))
def test_no_line_is_wider_than_the_terminal(columns: int) -> None:
    calls = listing(*(live_call(name, to="日本語" * 20, recording=f"/r/{name}.wav") for name in UUIDS))

    lines = table(calls, PLAIN, columns)

    assert len(lines) == 4
    assert all(cell_len(line) <= columns for line in lines)


def test_ids_stay_whole_where_there_is_room_and_unique_where_there_is_not() -> None:
    calls = listing(*map(live_call, UUIDS))

    wide, narrow = table(calls, PLAIN, 200), table(calls, PLAIN, 90)

    assert [line.split()[0] for line in wide[1:]] == list(UUIDS)
    assert [line.split()[0] for line in narrow[1:]] == [UUIDS[0][:25], UUIDS[1][:25], "0b7e5d10"]


def test_an_id_that_begins_another_stays_whole() -> None:
    assert unique_prefixes(["abcdefghij", "abcdefghij~2"]) == {
        "abcdefghij": "abcdefghij",
        "abcdefghij~2": "abcdefghij~",
    }


@given(st.sets(st.text("ab~", min_size=1, max_size=14), min_size=1))
def test_prefixes_are_unique_unless_one_id_begins_another(ids: set[str]) -> None:
    for one, prefix in unique_prefixes(list(ids)).items():
        assert one.startswith(prefix)
        assert len(prefix) >= min(8, len(one))
        others = {other for other in ids if other.startswith(prefix)} - {one}
        assert not others or prefix == one


def test_what_a_peer_sent_is_harmless() -> None:
    lines = table(listing(live_call("a\x1b[2J", **{"from": "x\ny", "to": "\u202e"})), PLAIN, None)

    assert len(lines) == 2
    assert not any(character in lines[1] for character in "\x1b\n\u202e")


def test_a_terminal_of_ascii_gets_ascii() -> None:
    style = TextStyle(color=False, unicode=False)

    assert all(line.isascii() for line in table(listing(live_call(to="ü" * 40)), style, 60))


def test_calls_that_dont_fit_on_the_screen_are_counted() -> None:
    calls = listing(*(live_call(f"call-{number}") for number in range(10)))

    lines = frame(calls, PLAIN, (100, 6))

    assert lines[0] == "ws://127.0.0.1:3000/: 10 live"
    assert [line.split()[0] for line in lines[1:]] == ["CALL", "call-0", "call-1", "call-2", "and"]
    assert lines[-1] == "and 7 more"
    assert len(frame(calls, PLAIN, (100, 12))) == 12


def test_a_call_that_knows_little_of_itself_is_shown() -> None:
    unknown = live_call(mix_type=None, channels=2) | {"from": None, "to": None, "direction": None}

    assert "unknown  unknown  1:23  8k stereo" in table(listing(unknown), PLAIN, None)[1]


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
