"""What `listenctl inspect` plots, extracts and splits, as users see it."""

import re
from pathlib import Path

import pytest

from listenctl.commands.inspect.text_plot_view import WIDTH, TextPlotPrinter
from listenctl.inspection.capture_inspector import CaptureInspector
from listenctl.inspection.plot.plotted_call import PlotObserver
from listenctl.terminal.printable_text import TextStyle
from tests.commands.inspect.test_command import CLIPS, PAUSE, STREAM, capture
from tests.helpers.cli import listenctl
from tests.helpers.inspected import capture_events

_SGR = re.compile(r"\x1b\[\d*m")


def printed(style: TextStyle, *, columns: int | None) -> list[str]:
    lines: list[str] = []
    taker = PlotObserver(TextPlotPrinter(lines.append, style, columns=columns).print_call, max_calls=1)
    inspector = CaptureInspector(observers=[taker])
    for event in capture_events("c2_bidir_stream8k_marks_nominus1"):
        inspector.feed_event(event)
    inspector.finish_calls()
    return lines


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_call_is_as_wide_as_the_terminal(columns: int) -> None:
    lines = [_SGR.sub("", line) for line in printed(TextStyle(), columns=columns)]

    assert columns - 2 <= max(map(len, lines)) <= columns
    assert lines[0].startswith("12a72abe")
    assert any("⣿" in line for line in lines)


def test_each_direction_has_a_colour_and_a_name() -> None:
    lines = printed(TextStyle(), columns=80)

    [jambonz] = [line for line in lines if "jambonz" in line]
    [application] = [line for line in lines if "application" in line]
    assert _SGR.findall(jambonz)[0] != _SGR.findall(application)[0]


def test_without_colour_nothing_is_coloured() -> None:
    assert not any("\x1b" in line for line in printed(TextStyle(color=False), columns=80))


def test_without_unicode_all_is_ascii() -> None:
    lines = printed(TextStyle(color=False, unicode=False), columns=None)

    assert all(line.isascii() for line in lines)
    assert max(map(len, lines)) <= WIDTH


def test_calls_are_drawn_in_characters_before_they_are_explained(tmp_path: Path) -> None:
    run = listenctl("inspect", capture(STREAM), "--plot", "-", home=tmp_path)

    drawing, _, summary = run.stdout.partition("\n\n")
    assert run.returncode == 0
    assert "application" in drawing
    assert "commands" in drawing
    assert "\x1b" not in drawing
    assert "8k mono, 15.00 s, complete" in summary


def test_a_drawing_and_json_dont_go_to_the_same_place(tmp_path: Path) -> None:
    run = listenctl("inspect", capture(STREAM), "--plot", "-", "--json", home=tmp_path)

    assert run.returncode == 2
    assert "name a file" in run.stderr


def test_each_call_is_plotted_and_extracted(tmp_path: Path) -> None:
    run = listenctl(
        *("inspect", capture(CLIPS), capture(PAUSE), "--plot", "a.png", "--extract", "out", "--format", "flac"),
        home=tmp_path,
    )

    assert run.returncode == 0
    assert {path.name for path in tmp_path.glob("*.png")} == {"a.png", "a-2.png"}
    assert {"".join(path.suffixes) for path in (tmp_path / "out").iterdir()} == {
        ".jambonz.flac",
        ".application.flac",
        ".both.flac",
        ".json",
    }
