"""The live view of a simulated call."""

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from listenctl.background_task import background_task
from listenctl.commands.call.view import SimulatedCallView, draw_gauge, render_call
from listenctl.media.measure_levels import Level
from listenctl.simulator.call_snapshot import CallSnapshot
from listenctl.terminal.level_meter import ChannelLevel
from listenctl.terminal.printable_text import TextStyle, unpainted
from tests.helpers.server import until
from tests.helpers.terminals import QUIET as NOTHING

PLAIN = TextStyle(color=False)
ASCII = TextStyle(color=False, unicode=False)
STEREO = (ChannelLevel(-30, -12), ChannelLevel(-6, -6, clipped=True))
HEARD = (ChannelLevel(-30, -12),)
CALL = replace(
    NOTHING,
    url="ws://127.0.0.1:3000/",
    elapsed=42.3,
    mix_type="stereo",
    streaming=True,
    buffered=1.5,
    held=0.06,
    marks=("m1", "m2"),
    lateness=0.0012,
    commands=12,
    wrong=2,
    digits="12#",
)
QUIET = replace(CALL, state="connecting", buffered=0.0, held=0.0, marks=(), commands=0, wrong=0, digits="")


def draw(call: CallSnapshot, *recent: str, columns: int = 80, rows: int = 24, style: TextStyle = PLAIN) -> list[str]:
    lines = render_call(call, recent, (columns, rows), style=style, sent=STEREO, heard=HEARD)
    return [line.rstrip() for line in lines]


def test_everything_fits_80_columns() -> None:
    assert draw(CALL, "dtmf 1", "mark m0 playout") == [
        "ws://127.0.0.1:3000/",
        "live · 0:42 · 8k stereo · as current jambonz · plays a stream",
        "level      -60…0 dB",
        "to server  L █████████████▌·······│·····  R ███████████████████████CLIP",
        "to caller  ██████████████████████████████··················│···········",
        "playout    ████████▒···················  1.5 s of 5 s, 0.06 s held back",
        "sending    at most 1.2 ms late",
        "commands   12 · 2 wrong",
        "marks      2 · m1 · m2",
        "keys       12#",
        "",
        "dtmf 1",
        "mark m0 playout",
    ]


def test_bars_of_one_kind_have_a_scale_over_them() -> None:
    mono = render_call(CALL, (), (80, 24), style=PLAIN, sent=HEARD, heard=HEARD)
    stereo = render_call(CALL, (), (80, 24), style=PLAIN, sent=STEREO)

    # 0 is over the last cell of each bar, -60 over the first.
    assert mono[2:4] == [
        "dB         -60     -50        -40      -30        -20      -10        0",
        "to server  ██████████████████████████████··················│···········",
    ]
    assert stereo[2:4] == [
        "dB           -60     -40      -20      0    -60     -40      -20      0",
        "to server  L █████████████▌·······│·····  R ███████████████████████CLIP",
    ]
    # A small terminal has no row for it.
    assert render_call(CALL, (), (80, 9), style=PLAIN, sent=HEARD)[2].startswith("to server")


def test_call_that_is_connecting() -> None:
    lines = render_call(QUIET, (), (80, 24), style=PLAIN)

    assert lines[1].startswith("connecting · ")
    assert lines[2:4] == ["to server  no audio yet", "to caller  no audio yet"]
    assert lines[6:9] == ["commands   none yet", "marks      none outstanding", "keys       "]


def test_only_problems_are_red() -> None:
    style = TextStyle()
    bad = draw(replace(CALL, lost_samples=160), style=style)
    good = draw(replace(CALL, wrong=0), style=style)

    assert "\x1b[31m160 samples lost\x1b[0m" in bad[6]
    assert "\x1b[31m2 wrong\x1b[0m" in bad[7]
    assert "\x1b[31m" not in good[6] + good[7]


def test_ascii_style_prints_only_ascii() -> None:
    lines = draw(replace(CALL, marks=("größe",)), "● line", style=ASCII)

    assert all(line.isascii() for line in lines[:10])
    assert lines[5].startswith("playout    ########=....")
    assert lines[8] == "marks      1 | gr??e"


@pytest.mark.parametrize(
    ("call", "columns", "number", "line"),
    [
        (
            replace(CALL, unsent=1.2, lost_samples=16000, lateness=0.05),
            80,
            6,
            "sending    16000 samples lost · 1.2 s unsent · at most 50.0 ms late",
        ),
        (CALL, 40, 5, "playout    1.5 s · 0.06 s held back"),
        (replace(CALL, digits="1" * 50 + "#"), 20, 9, "keys       11111111#"),
    ],
    ids=["lost audio", "narrow playout", "newest digits"],
)
def test_lines(call: CallSnapshot, columns: int, number: int, line: str) -> None:
    assert draw(call, columns=columns)[number] == line


@pytest.mark.parametrize(
    ("seconds", "scale"),
    [
        (0.5, "0.5 s of 1 s"),
        (4.0, "4.0 s of 5 s"),
        (29.0, "29.0 s of 30 s"),
        (120.0, "2:00 of 300 s"),
        (1000.0, "16:40 of 300 s"),
    ],
)
def test_scale_of_the_playout_bar(seconds: float, scale: str) -> None:
    assert draw(replace(CALL, buffered=seconds, held=0.0))[5].endswith(f"  {scale}")


def test_newest_lines_are_kept() -> None:
    lines = draw(CALL, *(f"line {number}" for number in range(40)), rows=15)

    assert lines[10:] == ["", "line 36", "line 37", "line 38", "line 39"]


def test_levels_are_kept_on_a_low_terminal() -> None:
    assert [line[:9] for line in draw(CALL, "dtmf 1", rows=4)][2:] == ["to server", "to caller"]


def test_hint_is_shown_if_it_fits() -> None:
    wide, narrow = (
        render_call(CALL, (), (columns, 24), style=PLAIN, hint="q hangs up")[8].rstrip() for columns in (80, 25)
    )
    before_any_key = render_call(QUIET, (), (80, 24), style=PLAIN, hint="q hangs up")[8]

    assert (wide, narrow) == ("keys       12# · q hangs up", "keys       12#")
    assert before_any_key == "keys       q hangs up"


def test_gauge_shows_small_values() -> None:
    assert draw_gauge(0.001, 0.001, 8, PLAIN) == "█▒······"
    assert draw_gauge(9.0, 0.001, 8, PLAIN) == "███████▒"
    assert draw_gauge(0.0, 0.0, 8, PLAIN) == "········"


hostile = st.text(st.characters(), max_size=60) | st.sampled_from(["\x1b[2J", "\x9bA", "日本語の名前です", "\u202e"])
levels = st.builds(ChannelLevel, st.floats(-90, 0), st.floats(-90, 0), st.booleans())
snapshots = st.builds(
    CallSnapshot,
    url=hostile,
    call=hostile,
    state=st.sampled_from(["connecting", "live", "closing", "ended"]),
    elapsed=st.floats(0, 1e6),
    sample_rate=st.integers(0, 384000),
    mix_type=hostile,
    profile=hostile,
    streaming=st.booleans(),
    sent=st.none(),
    heard=st.none(),
    buffered=st.floats(0, 1e5),
    held=st.floats(0, 10),
    marks=st.lists(hostile, max_size=30).map(tuple),
    unsent=st.floats(0, 1e4),
    lost_samples=st.integers(0, 10**9),
    lateness=st.floats(0, 1e4),
    commands=st.integers(0, 10**9),
    wrong=st.integers(0, 10**9),
    digits=hostile,
)


@given(
    snapshots,
    st.lists(st.sampled_from(["\x1b[31mverdict\x1b[0m 日本語 of a long sentence", "dtmf 1"]), max_size=20),
    st.lists(levels, max_size=2),
    st.integers(0, 120),
    st.integers(0, 30),
    st.builds(TextStyle, color=st.booleans(), unicode=st.booleans()),
)
def test_view_fits_the_terminal_and_is_printable(
    call: CallSnapshot, recent: list[str], sent: list[ChannelLevel], columns: int, rows: int, style: TextStyle
) -> None:
    lines = render_call(call, recent, (columns, rows), style=style, sent=sent, heard=sent[:1])

    drawn = [unpainted(line) for line in lines]
    assert len(drawn) <= rows
    assert all(cell_len(line) <= columns for line in drawn)
    assert all(character.isprintable() for line in drawn for character in line)
    assert style.unicode or all(line.isascii() for line in drawn[:9])


HEAD = {"v": 1, "ts": "2026-11-20T22:33:44.567Z", "call": "CS-A", "call_sid": "CS-A"}


@dataclass
class FakeCall:
    now: CallSnapshot = NOTHING


def event(name: str, **fields: Any) -> dict[str, Any]:
    return {**HEAD, "event": name, **fields}


@asynccontextmanager
async def running(call: FakeCall) -> AsyncIterator[tuple[SimulatedCallView, io.StringIO]]:
    stream = io.StringIO()
    view = SimulatedCallView(lambda: call.now, stream, TextStyle(color=False))
    async with background_task(view.run()):
        await until(lambda: "ws://h/" in stream.getvalue())
        yield view, stream


@pytest.mark.simulated_time
async def test_view_follows_the_call() -> None:
    call = FakeCall()

    async with running(call) as (_, stream):
        assert "no audio yet" in stream.getvalue()
        call.now = replace(call.now, sent=(Level(0.0, 0.0), Level()), digits="5")

        await until(lambda: "keys       5 · Ctrl-C hangs up" in stream.getvalue())

        assert "L ████" in stream.getvalue()


@pytest.mark.simulated_time
async def test_lasting_events_stay_in_the_scrollback_also_the_last() -> None:
    async with running(FakeCall()) as (view, stream):
        view.add_event(event("dtmf", digit="5", time=1.0))
        view.add_event(event("warning", detail="look out"))
        view.add_event(event("levels"))
        await until(lambda: "dtmf CS-A 5 at 0:01.0" in stream.getvalue())

        assert "warning CS-A look out\r\n" in stream.getvalue()
        assert "levels" not in stream.getvalue()
        view.add_event(event("warning", detail="the end"))

    assert "the end\r\n" in stream.getvalue()
    assert stream.getvalue().endswith("\x1b[?25h")
