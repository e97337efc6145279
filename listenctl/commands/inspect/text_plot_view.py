"""Print plots of captured calls as text (``inspect --plot -``)."""

from collections.abc import Callable

from listenctl.inspection.call_report import CallReport
from listenctl.inspection.plot.plotted_call import PlottedCall
from listenctl.inspection.plot.text_plot import TextPlotRow, TextPlotRowKind, draw_rows
from listenctl.terminal.printable_text import TextStyle, printable

WIDTH = 100
"""Columns if the output is not a terminal."""
_COLORS = {
    TextPlotRowKind.JAMBONZ: "36",
    TextPlotRowKind.APPLICATION: "32",
    TextPlotRowKind.EVENTS: "33",
    TextPlotRowKind.TIME_AXIS: "2",
}


class TextPlotPrinter:
    """
    Print a plot of each call.

    Args:
        write: called with each line.
        columns: width of the terminal, None without one.
    """

    def __init__(self, write: Callable[[str], None], style: TextStyle, *, columns: int | None) -> None:
        self._write = write
        self._style = style
        self._columns = columns or WIDTH

    def print_call(self, plotted: PlottedCall, report: CallReport) -> None:
        self._write(self._style.paint(self._style.cut(printable(report.call), self._columns), "1"))
        for row in draw_rows(plotted, report, width=self._columns, braille=self._style.unicode):
            self._write(self._line(row))
        self._write("")

    def _line(self, row: TextPlotRow) -> str:
        return self._style.paint(str(row), _COLORS[row.kind])
