"""Plots of captured calls as text."""

import re
from functools import partial

import pytest

from listenctl.commands.inspect.text_plot_view import WIDTH, print_text_plot
from listenctl.inspection.plot.plotted_call import PlotObserver
from listenctl.terminal.printable_text import TextStyle, unpainted
from tests.helpers.inspected import capture_events, inspect

_SGR = re.compile(r"\x1b\[\d*m")


def printed(style: TextStyle, *, columns: int | None) -> list[str]:
    lines: list[str] = []
    observer = PlotObserver(partial(print_text_plot, write=lines.append, style=style, columns=columns), max_calls=1)
    inspect(capture_events("c2_bidir_stream8k_marks_nominus1"), observers=[observer])
    return lines


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_plot_fills_the_terminal_width(columns: int) -> None:
    lines = [unpainted(line) for line in printed(TextStyle(), columns=columns)]

    assert columns - 2 <= max(map(len, lines)) <= columns
    assert lines[0].startswith("12a72abe")
    assert any("⣿" in line for line in lines)


def test_each_direction_is_labelled_in_its_color() -> None:
    lines = printed(TextStyle(), columns=80)

    [jambonz] = [line for line in lines if "jambonz" in line]
    [application] = [line for line in lines if "application" in line]
    assert _SGR.findall(jambonz)[0] != _SGR.findall(application)[0]


@pytest.mark.parametrize("columns", [80, None])
def test_plain_style_has_no_colors_and_only_ascii(columns: int | None) -> None:
    lines = printed(TextStyle(color=False, unicode=False), columns=columns)

    assert all(line.isascii() and line.isprintable() for line in lines)
    assert max(map(len, lines)) <= (columns or WIDTH)
