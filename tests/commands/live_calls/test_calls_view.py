"""The list of live calls."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from listenctl.call_listing import CallListing, ListedCall, ListedServer
from listenctl.commands.live_calls.calls_view import live_calls_table, screen_lines, unique_prefixes
from listenctl.terminal.printable_text import TextStyle
from listenctl.terminal.scrolled_rows import ScrolledRows
from listenctl.terminal.stop_signals import STOP_SIGNALS
from tests.helpers.cli import listenctl_beside
from tests.helpers.control import SERVER, fake_control, live_call
from tests.helpers.terminals import on_terminal

PLAIN = TextStyle(color=False)
UUIDS = ("7f1c9a52-1f3e-4a6b-9c1d-aaaaaaaaaaaa", "7f1c9a52-1f3e-4a6b-9c1d-bbbbbbbbbbbb", "0b7e5d10-1")


def listing(*calls: dict[str, Any]) -> CallListing:
    return CallListing(ListedServer.parse(SERVER), [ListedCall.parse(call) for call in calls])


def test_no_live_calls() -> None:
    assert live_calls_table(listing(), PLAIN, None) == ["no live calls"]


@pytest.mark.parametrize("columns", range(1, 140))
def test_no_line_is_wider_than_the_terminal(columns: int) -> None:
    calls = listing(*(live_call(name, to="日本語" * 20, recording=f"/r/{name}.wav") for name in UUIDS))

    lines = live_calls_table(calls, PLAIN, columns)

    assert len(lines) == 4
    assert all(cell_len(line) <= columns for line in lines)


def test_ids_are_shortened_to_unique_prefixes_only_if_needed() -> None:
    calls = listing(*map(live_call, UUIDS))

    wide, narrow = live_calls_table(calls, PLAIN, 200), live_calls_table(calls, PLAIN, 90)

    assert [line.split()[0] for line in wide[1:]] == list(UUIDS)
    assert [line.split()[0] for line in narrow[1:]] == [UUIDS[0][:25], UUIDS[1][:25], "0b7e5d10"]


def test_id_that_is_a_prefix_of_another_is_not_shortened() -> None:
    assert unique_prefixes(["abcdefghij", "abcdefghij~2"]) == {
        "abcdefghij": "abcdefghij",
        "abcdefghij~2": "abcdefghij~",
    }


@given(st.sets(st.text("ab~", min_size=1, max_size=14), min_size=1))
def test_prefixes_are_unique_unless_an_id_is_a_prefix_of_another(ids: set[str]) -> None:
    for one, prefix in unique_prefixes(list(ids)).items():
        assert one.startswith(prefix)
        assert len(prefix) >= min(8, len(one))
        others = {other for other in ids if other.startswith(prefix)} - {one}
        assert not others or prefix == one


def test_control_characters_from_peers_are_removed() -> None:
    lines = live_calls_table(listing(live_call("a\x1b[2J", **{"from": "x\ny", "to": "\u202e"})), PLAIN, None)

    assert len(lines) == 2
    assert not any(character in lines[1] for character in "\x1b\n\u202e")


def test_ascii_style_prints_only_ascii() -> None:
    style = TextStyle(color=False, unicode=False)

    assert all(line.isascii() for line in live_calls_table(listing(live_call(to="ü" * 40)), style, 60))


def test_calls_that_dont_fit_on_the_screen_are_counted() -> None:
    calls = listing(*(live_call(f"call-{number}") for number in range(10)))

    lines = screen_lines(calls, PLAIN, (100, 6))

    assert lines[0] == "ws://127.0.0.1:3000/: 10 live"
    assert [line.split()[0] for line in lines[1:]] == ["CALL", "call-0", "call-1", "call-2", "…"]
    assert lines[-1] == "… and 7 more"
    assert len(screen_lines(calls, PLAIN, (100, 12))) == 12


def test_calls_that_lack_audio_come_first_where_not_all_fit() -> None:
    calls = listing(*(live_call(f"call-{i}") | {"gap_seconds": float(i == 2)} for i in range(4)))
    scroll = ScrolledRows(has_keys=True)

    def shown(rows: int) -> list[str]:
        return [line.split()[0] for line in screen_lines(calls, PLAIN, (100, rows), scroll)[2:]]

    assert shown(6) == ["call-0", "call-1", "call-2", "call-3"]
    assert shown(5) == ["call-2", "call-0", "…"]
    scroll.press_key("↓")
    assert shown(5) == ["call-0", "call-1", "…"]


def test_call_without_parties() -> None:
    unknown = live_call(mix_type=None, channels=2) | {"from": None, "to": None, "direction": None}

    assert "unknown  unknown  1:23  8k stereo" in live_calls_table(listing(unknown), PLAIN, None)[1]


@pytest.mark.parametrize("number", STOP_SIGNALS)
async def test_watch_redraws_calls_and_restores_the_terminal(number: int, tmp_path: Path) -> None:
    async with (
        fake_control(tmp_path, calls=[live_call("first-call")]) as control,
        on_terminal("calls", "--watch", home=tmp_path) as terminal,
    ):
        await terminal.until("first-call")
        control.calls = [live_call("second-call")]
        await terminal.until("second-call")
        terminal.process.send_signal(number)
        drawn = await terminal.to_end()

    assert terminal.process.returncode == 128 + number
    assert "1 live" in drawn
    assert drawn.endswith("\x1b[?25h")
    assert "Traceback" not in drawn


async def test_keys_scroll_and_end_the_table(tmp_path: Path) -> None:
    async with (
        fake_control(tmp_path, calls=[live_call(f"call-{i:02}") for i in range(40)]),
        on_terminal("calls", "--watch", home=tmp_path, owned=True) as terminal,
    ):
        await terminal.until("arrow keys scroll")
        terminal.type("\x1b[C\x1b[C")
        await terminal.until("call-39")
        terminal.type("q")
        drawn = await terminal.to_end()

    assert terminal.process.returncode == 0
    assert drawn.endswith("\x1b[?25h")


async def test_watch_without_a_server_is_status_4(tmp_path: Path) -> None:
    async with on_terminal("calls", "--watch", home=tmp_path) as terminal:
        drawn = await terminal.to_end()

    assert terminal.process.returncode == 4
    assert "no server named default is running" in drawn


async def test_table_fits_a_narrow_terminal(tmp_path: Path) -> None:
    call = live_call("7f1c9a52-1f3e-4a6b-9c1d-aaaaaaaaaaaa", recording="/very/long/path/to/a/recording.wav")
    async with fake_control(tmp_path, calls=[call]), on_terminal("calls", home=tmp_path, columns=60) as terminal:
        drawn = await terminal.to_end()

    lines = drawn.splitlines()
    assert lines[1].startswith("7f1c9a52  15083084809")
    assert len(lines[1]) <= 60


async def test_table_has_a_line_per_call(tmp_path: Path) -> None:
    calls = [live_call(digits="12#", gap_seconds=2.5, attached=2), live_call("b", recording="/r/b.wav", channels=2)]
    async with fake_control(tmp_path, calls=calls):
        done = await listenctl_beside("calls", home=tmp_path)

    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "CALL           FROM         TO           TIME  AUDIO    KEYS  MISSING  TOOLS  RECORDING",
        "7f1c9a52-aaaa  15083084809  15084901000  1:23  8k mono  12#   2.5 s    2      -",
        "b              15083084809  15084901000  1:23  8k mono  -     -        -      /r/b.wav",
    ]


async def test_calls_as_json_escape_what_the_encoding_lacks(tmp_path: Path) -> None:
    async with fake_control(tmp_path, calls=[live_call(to="Zo\u2020")]):
        done = await listenctl_beside("calls", "--json", home=tmp_path, env={"PYTHONIOENCODING": "ascii"})

    assert json.loads(done.stdout) == {"v": 1, "server": SERVER, "calls": [live_call(to="Zo\u2020")]}
