"""Draw a call in characters: Braille with two columns of four dots each, or ASCII with a few heights."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from listenctl.inspection.call_report import CallReport
from listenctl.inspection.plot.plotted_call import AmplitudeRange, PlottedCall
from listenctl.media.measure_levels import FULL_SCALE
from listenctl.protocol.jambonz_model.rule_catalogue import Severity

_MIN_COLUMNS = 20
_HEIGHT = 4
_LABEL = 12
# The dots of a Braille character (Unicode 2800) from top to bottom: those of its left and of its right column.
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
_HEIGHTS = " .:|#"
_MIN_SCALE = 0.05
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)
_ROOM_FOR_TIME = 10


class TextPlotRowKind(StrEnum):
    """What a row shows, which determines its colour."""

    JAMBONZ = "jambonz"
    APPLICATION = "application"
    EVENTS = "events"
    TIME_AXIS = "time-axis"


@dataclass(frozen=True, slots=True)
class TextPlotRow:
    """One line with a label on the left, which may be empty."""

    kind: TextPlotRowKind
    label: str
    text: str

    def __str__(self) -> str:
        return f"{self.label:>{_LABEL - 1}} {self.text}".rstrip()


def draw_rows(plotted: PlottedCall, report: CallReport, *, width: int, braille: bool) -> list[TextPlotRow]:
    """Return the lines of a call, ``width`` columns wide, with ``_HEIGHT`` lines per direction."""
    columns = max(_MIN_COLUMNS, width - _LABEL)
    begin = plotted.start_time()
    end = max(report.seconds, plotted.times.end, begin + 0.1)
    edges = np.linspace(begin, end, columns * 2 + 1)
    rows = [
        TextPlotRow(TextPlotRowKind.EVENTS, name, _line(shapes, begin, end, columns))
        for name, shapes in _events(plotted, report, braille=braille).items()
        if shapes
    ]
    for label, kind, amplitudes in _sides(plotted, edges):
        drawn = _braille(amplitudes) if braille else _ascii(amplitudes)
        rows += [TextPlotRow(kind, label if number == _HEIGHT // 2 else "", line) for number, line in enumerate(drawn)]
    return [*rows, TextPlotRow(TextPlotRowKind.TIME_AXIS, "", _time_axis(begin, end, columns))]


def _sides(plotted: PlottedCall, edges: NDArray[np.float64]) -> Iterator[tuple[str, TextPlotRowKind, AmplitudeRange]]:
    labels = ("jambonz",) if len(plotted.received) == 1 else ("left", "right")
    for channel, label in enumerate(labels[: len(plotted.received)]):
        yield label, TextPlotRowKind.JAMBONZ, plotted.received_range(channel, edges)
    if plotted.played:
        yield "application", TextPlotRowKind.APPLICATION, plotted.played_range(edges)


def _events(plotted: PlottedCall, report: CallReport, *, braille: bool) -> dict[str, list[tuple[float, str]]]:
    marked, cleared, done, killed, command = ("●", "○", "■", "□", "▼") if braille else ("o", "c", "#", "k", "v")
    answers = {"playout": marked, "cleared": cleared}
    ends = {"done": done, "killed": killed}
    wrong = {Severity.ERROR: "X", Severity.WARNING: "!"}
    return {
        "keys": [
            (key.at, key.digit[:1] if key.digit.isascii() and key.digit.isprintable() else "?") for key in report.keys
        ],
        "marks": [(mark.at, "|") for mark in report.marks]
        + [(mark.answered, answers.get(mark.result or "", "?")) for mark in report.marks if mark.answered is not None],
        "clips": [(clip.at, "|") for clip in report.clips]
        + [(clip.done, ends[clip.result or "done"]) for clip in report.clips if clip.done is not None],
        "commands": [(one.at, command) for one in plotted.commands],
        # The worst is drawn last, over the others.
        "rules": [
            (one.at, wrong[one.severity])
            for one in sorted(report.violations, key=lambda one: -one.severity.rank)
            if one.severity in wrong
        ],
    }


def _line(shapes: Sequence[tuple[float, str]], begin: float, end: float, columns: int) -> str:
    line = [" "] * columns
    for at, shape in shapes:
        column = int((at - begin) / (end - begin) * columns)
        line[min(max(column, 0), columns - 1)] = shape
    return "".join(line).rstrip()


def _braille(amplitudes: AmplitudeRange) -> list[str]:
    """Draw two columns per character; gaps have no dots."""
    top, bottom = _in_dots(amplitudes)
    rows = np.arange(_HEIGHT * 4)[:, None]
    on = (rows >= top) & (rows <= bottom) & amplitudes.has_audio
    codes = np.zeros((_HEIGHT, len(top) // 2), np.int64)
    for column, bits in enumerate(_DOTS):
        for row, bit in enumerate(bits):
            codes |= on[row::4, column::2] * bit
    return ["".join(chr(0x2800 + code) for code in line) for line in codes.tolist()]


def _ascii(amplitudes: AmplitudeRange) -> list[str]:
    """Draw the larger amplitude of two columns as bars above and below the middle."""
    top, bottom = _in_dots(amplitudes)
    rows = np.arange(_HEIGHT * 4)[:, None]
    on = (rows >= top) & (rows <= bottom) & amplitudes.has_audio
    filled = (on[:, ::2] | on[:, 1::2]).reshape(_HEIGHT, 4, -1).sum(axis=1)
    return ["".join(_HEIGHTS[count] for count in line) for line in filled.tolist()]


def _in_dots(amplitudes: AmplitudeRange) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first and last dot of each column from the top; silence is a line in the middle."""
    low, high = (values.astype(np.float64) / FULL_SCALE for values in amplitudes[:2])
    scale = max(float(np.abs(low).max(initial=0)), float(np.abs(high).max(initial=0)), _MIN_SCALE)
    dots = _HEIGHT * 4
    middle = (dots - 1) / 2
    top = np.rint(middle - high / scale * middle).astype(np.int64)
    bottom = np.rint(middle - low / scale * middle).astype(np.int64)
    return np.minimum(top, dots // 2), np.maximum(bottom, dots // 2)


def _time_axis(begin: float, end: float, columns: int) -> str:
    least = (end - begin) * _ROOM_FOR_TIME / columns
    step = next((step for step in _STEPS if step >= least), least)
    line = [" "] * (columns + _ROOM_FOR_TIME)
    number = -int(-begin // step)
    while number * step <= end:
        column = int((number * step - begin) / (end - begin) * columns)
        text = f"|{_format_time(number * step)}"
        if column + len(text) <= columns:
            line[column : column + len(text)] = text
        number += 1
    return "".join(line).rstrip()


def _format_time(at: float) -> str:
    if abs(at) < 60:
        return f"{at:g}s"
    minutes, seconds = divmod(round(abs(at)), 60)
    return f"{'-' if at < 0 else ''}{minutes}:{seconds:02}"
