"""The live view as lines."""

import io
import re
from dataclasses import replace
from pathlib import Path
from uuid import NAMESPACE_DNS, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from listenctl.commands.serve.view import CallRow, ServerSnapshot, render_server
from listenctl.terminal.level_meter import ChannelLevel
from listenctl.terminal.printable_text import TextStyle, unpainted

MONO = CallRow(
    "7f1c",
    started=0.0,
    caller="15083084809",
    callee="15084901000",
    sample_rate=8000,
    mix_type="mono",
    channels=(ChannelLevel(-30, -12),),
    last_dtmf="5",
    recording="recordings/7f1c.wav",
)
STEREO = replace(
    MONO,
    id="8a2d",
    sample_rate=16000,
    mix_type="stereo",
    channels=(ChannelLevel(-30, -12), ChannelLevel(-6, -6, clipped=True)),
    gap_seconds=2.1,
    warnings=3,
)
SERVER = ServerSnapshot(
    "ws://127.0.0.1:3000/",
    title="recording to recordings/",
    calls_live=2,
    calls_total=12,
    calls_failed=1,
    gap_seconds=2.1,
    recorded_bytes=38_200_000,
    recorded_seconds=3723,
    calls=(MONO, STEREO),
)


def draw(view: ServerSnapshot, columns: int, rows: int = 24, now: float = 42.0, *, unicode: bool = True) -> list[str]:
    return render_server(view, (columns, rows), now, TextStyle(color=False, unicode=unicode))


def test_a_redacted_view_shows_no_whole_number() -> None:
    rows = "\n".join(draw(replace(SERVER, redacted=True), 100))

    assert "xxxxxxxx809 → xxxxxxxx000" in rows
    assert "15083084809" not in rows


def test_wide_view_shows_everything() -> None:
    assert [line.rstrip() for line in draw(SERVER, 100)] == [
        "ws://127.0.0.1:3000/  recording to recordings/",
        "2 live · 12 in total · 1 failed · gaps 2.1 s · 1:02:03 recorded, 38.2 MB",
        "",
        "  CALLER → CALLEE               ID         FORMAT          TIME  -60…0 dB        DTMF     GAPS  WARN",
        "● 15083084809 → 15084901000     7f1c       8k mono         0:42  ███████····│··  5           -",
        "● 15083084809 → 15084901000     8a2d       16k stereo      0:42  ███·│· █████!   5       2.1 s     3",
    ]


def test_narrow_view_keeps_names_levels_and_gaps() -> None:
    assert [line.rstrip() for line in draw(SERVER, 40)] == [
        "ws://127.0.0.1:3000/  recording to reco…",
        "2 live · 12 in total · 1 failed",
        "",
        "  CALLER → CALL…  -60…0 dB          GAPS",
        "● 15083084809 →…  ██████▌···│··        -",
        "● 15083084809 →…  ███·│· █████!    2.1 s",
    ]


def test_ascii_view_holds_no_other_character() -> None:
    lines = draw(replace(SERVER, title="nach /ton/größe"), 100, unicode=False)

    assert all(line.isascii() for line in lines)
    assert lines[0] == "ws://127.0.0.1:3000/  nach /ton/gr??e"
    assert lines[4].startswith("* 15083084809 -> 15084901000    7f1c       8k mono         0:42  #######....|..  5 ")


def test_without_calls_it_says_how_to_send_one() -> None:
    assert draw(ServerSnapshot("ws://127.0.0.1:3000/"), 60) == [
        "ws://127.0.0.1:3000/",
        "0 live · 0 in total",
        "",
        "waiting for a call",
        "",
        "a jambonz application sends its calls here with",
        '{"verb": "listen", "url": "ws://127.0.0.1:3000/"}',
    ]


def test_a_verb_that_would_be_cut_is_left_out() -> None:
    assert draw(ServerSnapshot("ws://127.0.0.1:3000/"), 30)[2:] == ["", "waiting for a call"]


@pytest.mark.parametrize(("calls", "shown", "last"), [(20, 7, "… and 13 more"), (8, 8, "● 15083084809")])
def test_calls_that_do_not_fit_are_counted(calls: int, shown: int, last: str) -> None:
    lines = draw(replace(SERVER, calls=(MONO,) * calls), 80, rows=12)

    assert len(lines) == 12
    assert sum(line.startswith("●") for line in lines) == shown
    assert lines[-1].startswith(last)


def test_calls_of_one_kind_have_a_scale_over_their_bars() -> None:
    mono = draw(replace(SERVER, calls=(MONO,)), 120)
    stereo = draw(replace(SERVER, calls=(STEREO, replace(MONO, state="paused"))), 120)

    # 0 is over the last cell of each bar, -60 over the first.
    assert mono[3].partition("TIME  ")[2].startswith("-60       -40        -20         0  DTMF")
    assert mono[4].partition("0:42  ")[2].startswith("█████████████████··········│······  5")
    assert stereo[3].partition("TIME  ")[2].startswith("  -60   -30    0    -60   -30    0  DTMF")
    assert stereo[4].partition("0:42  ")[2].startswith("L ███████····│··  R ██████████CLIP  5")


TROUBLES = (
    replace(MONO, id="well", gap_seconds=0.0),
    replace(MONO, id="warned", warnings=1),
    replace(MONO, id="lossy", gap_seconds=1.0, lost=True),
    replace(MONO, id="stuck", state="paused"),
    replace(MONO, id="unwritten", recording_failed=True),
)


def shown_ids(lines: list[str]) -> list[str]:
    return [words[4] for line in lines if (words := line.split())[:1] in (["●"], ["○"])]


def test_calls_in_trouble_come_first_where_not_all_fit() -> None:
    view = replace(SERVER, calls=TROUBLES)

    assert shown_ids(draw(view, 80, rows=9)) == ["well", "warned", "lossy", "stuck", "unwritten"]
    assert shown_ids(draw(view, 80, rows=8)) == ["lossy", "unwritten", "warned"]


def test_a_call_has_the_id_by_which_events_and_commands_name_it() -> None:
    calls = (replace(MONO, id="7f1c22a4-5b6d-4e7f-8a9b-0c1d2e3f4a5b~2"), replace(MONO, id="x" * 50))

    assert shown_ids(draw(replace(SERVER, calls=calls), 80)) == ["7f1c22a4…~2", "x" * 15 + "…"]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"state": "paused"}, "paused"),
        ({"state": "waiting"}, "no audio yet"),
        ({"channels": ()}, "no audio yet"),
        ({"caller": "", "callee": ""}, "● 7f1c "),
        ({"caller": ""}, "unknown → 15084901000"),
        ({"recording": ""}, "○ 15083084809"),
        ({"started": 42.0 - 3723.9}, " 1:02:03 "),
        ({"warnings": 123456}, " 9999"),
    ],
)
def test_row(change: dict[str, object], text: str) -> None:
    call = replace(MONO, **change)  # type: ignore[arg-type]

    assert text in draw(replace(SERVER, calls=(call,)), 100)[4]


def test_file_name_shows_on_a_wide_terminal() -> None:
    assert draw(SERVER, 140)[4].rstrip().endswith("  7f1c.wav")


def test_gaps_and_failures_are_red() -> None:
    lines = render_server(SERVER, (100, 24), 42.0, TextStyle())

    assert "\x1b[31m1 failed\x1b[0m" in lines[1]
    assert "\x1b[31mgaps 2.1 s\x1b[0m" in lines[1]
    assert "\x1b[31m  2.1 s\x1b[0m" in lines[5]
    assert "\x1b[31m" not in lines[4]


def test_no_gaps_are_said_too() -> None:
    assert draw(replace(SERVER, gap_seconds=0.0), 100)[1].startswith("2 live · 12 in total · 1 failed · no gaps ·")


hostile = st.text(st.characters(), max_size=60) | st.sampled_from(
    ["\x1b[2J", "\x9bA", "日本語の名前です", "a\nb", "\u202e"]
)
calls = st.builds(
    CallRow,
    id=hostile,
    started=st.floats(-1e6, 1e6),
    caller=hostile,
    callee=hostile,
    sample_rate=st.integers(0, 384000),
    mix_type=hostile,
    channels=st.lists(st.builds(ChannelLevel, st.floats(-90, 0), st.floats(-90, 0), st.booleans()), max_size=2).map(
        tuple
    ),
    last_dtmf=hostile,
    gap_seconds=st.floats(0, 1e6),
    state=st.sampled_from(["live", "paused", "waiting"]),
    recording=hostile,
    warnings=st.integers(0, 100_000),
    lost=st.booleans(),
    recording_failed=st.booleans(),
)
views = st.builds(
    ServerSnapshot,
    url=hostile,
    title=hostile,
    calls_live=st.integers(0, 10_000),
    calls_total=st.integers(0, 10_000_000),
    calls_failed=st.integers(0, 100),
    gap_seconds=st.floats(0, 1e6),
    recorded_bytes=st.integers(0, 10**13),
    recorded_seconds=st.floats(0, 1e7),
    calls=st.lists(calls, max_size=4),
)


@given(views, st.integers(0, 160), st.integers(0, 12), st.booleans())
def test_no_view_leaves_its_place_or_controls_the_terminal(
    view: ServerSnapshot, columns: int, rows: int, unicode: bool
) -> None:
    lines = [unpainted(line) for line in render_server(view, (columns, rows), 1e6, TextStyle(unicode=unicode))]

    assert len(lines) <= rows
    assert all(cell_len(line) <= columns for line in lines)
    assert all(character.isprintable() for line in lines for character in line)
    assert unicode or all(line.isascii() for line in lines)


@given(views, st.integers(0, 160))
def test_colour_changes_nothing_but_colour(view: ServerSnapshot, columns: int) -> None:
    coloured = render_server(view, (columns, 12), 1e6, TextStyle())

    assert [unpainted(line) for line in coloured] == render_server(view, (columns, 12), 1e6, TextStyle(color=False))
    assert [Text.from_ansi(line).plain for line in coloured] == [unpainted(line) for line in coloured]


def test_a_megabyte_for_a_name_is_drawn_like_any_other() -> None:
    call = replace(MONO, caller="\u0301" * 1_000_000, callee="x" * 1_000_000)

    assert cell_len(draw(replace(SERVER, calls=(call,)), 80)[4]) <= 80


# The picture in the README.

PICTURE = Path(__file__).parent.parent.parent.parent / "man" / "listenctl.svg"
NOW = 3600.0


def recorded_call(parties: str, audio: str, age: float, *levels: tuple[float, float]) -> CallRow:
    """Return the row of a recorded call, with the level and the peak of each channel in dB."""
    caller, callee = parties.split(" to ")
    rate, mix_type = audio.split()
    channels = tuple(ChannelLevel(level, peak, clipped=peak >= 0) for level, peak in levels)
    call = str(uuid5(NAMESPACE_DNS, caller))
    return CallRow(call, NOW - age, caller, callee, int(rate), mix_type, channels=channels, recording="call.wav")


PICTURED_CALLS = (
    replace(recorded_call("15083084809 to 15084901000", "8000 mono", 649, (-13, -8)), last_dtmf="2"),
    replace(
        recorded_call("+4930901820 to 15084901000", "16000 stereo", 282, (-16, -10), (-48, -21)),
        last_dtmf="#",
        gap_seconds=2.9,
    ),
    replace(recorded_call("alice to 15084901001", "8000 stereo", 113, (-55, -30), (-2, 0)), warnings=1),
    replace(recorded_call("15551230042 to 15084901000", "8000 mixed", 59, (-20, -12)), state="paused"),
    recorded_call("+33140205050 to 15084901001", "48000 stereo", 3, (-40, -24), (-12, -6)),
)
PICTURED = ServerSnapshot(
    url="wss://calls.example.com:3000/",
    title="recording to {date}/{callSid}.flac",
    calls_live=len(PICTURED_CALLS),
    calls_total=312,
    calls_failed=1,
    gap_seconds=2.9,
    recorded_bytes=1_940_000_000,
    recorded_seconds=61_704.0,
    calls=PICTURED_CALLS,
)


def draw_picture() -> str:
    """Return the picture as SVG."""
    console = Console(record=True, width=120, file=io.StringIO(), force_terminal=True)
    for line in render_server(PICTURED, (120, 12), NOW, TextStyle()):
        console.print(Text.from_ansi(line), no_wrap=True)
    picture = console.export_svg(title="listenctl record", unique_id="listenctl")
    # A picture in a page must not fetch fonts, and the reader's own will do.
    return re.sub(r"\s*@font-face {.*?}", "", picture, flags=re.DOTALL)


def test_the_picture_in_the_readme_is_what_a_terminal_shows() -> None:
    assert draw_picture() == PICTURE.read_text(), "write it with `python -m tests.commands.serve.test_view`"


if __name__ == "__main__":
    PICTURE.write_text(draw_picture())
