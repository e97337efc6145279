"""Print plots of captured calls as text (``inspect --plot -``)."""

from collections.abc import Callable

from listenctl.inspection.call_report import CallReport
from listenctl.inspection.plot.plotted_call import PlottedCall
from listenctl.inspection.plot.text_plot import TextPlotRowKind, draw_rows
from listenctl.terminal.printable_text import BOLD, CYAN, DIM, GREEN, YELLOW, TextStyle, printable

WIDTH = 80
"""Columns if the output is not a terminal."""
_COLORS = {
    TextPlotRowKind.JAMBONZ: CYAN,
    TextPlotRowKind.APPLICATION: GREEN,
    TextPlotRowKind.EVENTS: YELLOW,
    TextPlotRowKind.TIME_AXIS: DIM,
}


def print_text_plot(
    plotted: PlottedCall, report: CallReport, *, write: Callable[[str], None], style: TextStyle, columns: int | None
) -> None:
    """
    Print a plot of a call.

    Args:
        write: called with each line.
        columns: width of the terminal, None without one.
    """
    columns = columns or WIDTH
    write(style.paint(style.cut(printable(report.call), columns), BOLD))
    for row in draw_rows(plotted, report, width=columns, braille=style.unicode):
        write(style.paint(str(row), _COLORS[row.kind]))
    write("")
