"""Calls drawn in characters, as a terminal shows them."""

import re

import pytest

from listenctl.commands.inspect.text_plot_view import WIDTH, WavePrinter
from listenctl.inspection.capture_inspector import CaptureInspector
from listenctl.inspection.plot.plotted_call import PlotObserver
from listenctl.terminal.printable_text import TextStyle
from tests.helpers.inspected import capture_events

_SGR = re.compile(r"\x1b\[\d*m")


def printed(style: TextStyle, *, columns: int | None) -> list[str]:
    lines: list[str] = []
    taker = PlotObserver(WavePrinter(lines.append, style, columns=columns).print_call, max_calls=1)
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
