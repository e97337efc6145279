"""
A call drawn in characters: the waveform of each direction over time, what was said above, and a ruler below.

A character is two columns and four rows of dots (Braille), or where the terminal can't show those, one of few heights.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from listenctl.inspection.call_report import CallReport
from listenctl.inspection.plot.plotted_call import AmplitudeRange, PlottedCall
from listenctl.inspection.rule_catalogue import Severity

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_NARROWEST = 20
_LABEL = 12
# The dots of a Braille character (Unicode 2800) from top to bottom: those of its left and of its right column.
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
_HEIGHTS = " .:|#"
_LEAST_SCALE = 0.05
_FULL_SCALE = 32768
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)
_ROOM_FOR_TIME = 10


class TextPlotRowKind(StrEnum):
    """What a row shows, by which it gets its colour."""

    JAMBONZ = "jambonz"
    APPLICATION = "application"
    HAPPENED = "happened"
    RULER = "ruler"


@dataclass(frozen=True, slots=True)
class TextPlotRow:
    """One line; ``label`` stands at its left and may be empty."""

    kind: TextPlotRowKind
    label: str
    text: str

    def __str__(self) -> str:
        return f"{self.label:>{_LABEL - 1}} {self.text}".rstrip()


def draw_rows(
    picture: PlottedCall, report: CallReport, *, width: int, height: int = 4, braille: bool = True
) -> list[TextPlotRow]:
    """Return a call, ``width`` columns wide and each direction ``height`` lines high."""
    import numpy as np

    columns = max(_NARROWEST, width - _LABEL)
    begin = picture.begin()
    end = max(report.seconds, picture.places.end, begin + 0.1)
    edges = np.linspace(begin, end, columns * 2 + 1)
    rows = [
        TextPlotRow(TextPlotRowKind.HAPPENED, name, _line(shapes, begin, end, columns))
        for name, shapes in _happened(picture, report, braille=braille).items()
        if shapes
    ]
    for label, kind, swings in _sides(picture, edges):
        drawn = _braille(swings, height) if braille else _ascii(swings, height)
        rows += [TextPlotRow(kind, label if number == height // 2 else "", line) for number, line in enumerate(drawn)]
    return [*rows, TextPlotRow(TextPlotRowKind.RULER, "", _ruler(begin, end, columns))]


def _sides(picture: PlottedCall, edges: "NDArray[np.float64]") -> Iterator[tuple[str, TextPlotRowKind, AmplitudeRange]]:
    labels = ("jambonz",) if len(picture.received) == 1 else ("left", "right")
    for channel, label in enumerate(labels[: len(picture.received)]):
        yield label, TextPlotRowKind.JAMBONZ, picture.received_between(channel, edges)
    if picture.heard:
        yield "application", TextPlotRowKind.APPLICATION, picture.heard_between(edges)


def _happened(picture: PlottedCall, report: CallReport, *, braille: bool) -> dict[str, list[tuple[float, str]]]:
    marked, cleared, done, order = ("●", "○", "■", "▼") if braille else ("o", "c", "#", "v")
    answers = {"playout": marked, "cleared": cleared}
    wrong = {Severity.ERROR: "X", Severity.WARNING: "!"}
    return {
        "keys": [
            (key.at, key.digit[:1] if key.digit.isascii() and key.digit.isprintable() else "?") for key in report.keys
        ],
        "marks": [(mark.at, "|") for mark in report.marks]
        + [(mark.answered, answers.get(mark.result or "", "?")) for mark in report.marks if mark.answered is not None],
        "clips": [(clip.at, "|") for clip in report.clips]
        + [(clip.done, done) for clip in report.clips if clip.done is not None],
        "orders": [(one.at, order) for one in picture.orders],
        # What is worst is written last, over what is there.
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


def _braille(swings: AmplitudeRange, height: int) -> list[str]:
    """Draw two columns a character; where there is no sound at all there are no dots."""
    import numpy as np

    dots = height * 4
    top, bottom = _in_dots(swings, dots)
    rows = np.arange(dots)[:, None]
    on = (rows >= top) & (rows <= bottom) & swings.there
    codes = np.zeros((height, len(top) // 2), np.int64)
    for column, bits in enumerate(_DOTS):
        for row, bit in enumerate(bits):
            codes |= on[row::4, column::2] * bit
    return ["".join(chr(0x2800 + code) for code in line) for line in codes.tolist()]


def _ascii(swings: AmplitudeRange, height: int) -> list[str]:
    """Draw the larger swing of two columns as a bar on each side of the middle."""
    import numpy as np

    top, bottom = _in_dots(swings, height * 4)
    rows = np.arange(height * 4)[:, None]
    on = (rows >= top) & (rows <= bottom) & swings.there
    filled = (on[:, ::2] | on[:, 1::2]).reshape(height, 4, -1).sum(axis=1)
    return ["".join(_HEIGHTS[count] for count in line) for line in filled.tolist()]


def _in_dots(swings: AmplitudeRange, dots: int) -> "tuple[NDArray[np.int64], NDArray[np.int64]]":
    """Return the first and last dot from the top that each column covers; silence is a line in the middle."""
    import numpy as np

    low, high = (values.astype(np.float64) / _FULL_SCALE for values in swings[:2])
    scale = max(float(np.abs(low).max(initial=0)), float(np.abs(high).max(initial=0)), _LEAST_SCALE)
    middle = (dots - 1) / 2
    top = np.rint(middle - high / scale * middle).astype(np.int64)
    bottom = np.rint(middle - low / scale * middle).astype(np.int64)
    return np.minimum(top, dots // 2), np.maximum(bottom, dots // 2)


def _ruler(begin: float, end: float, columns: int) -> str:
    least = (end - begin) * _ROOM_FOR_TIME / columns
    step = next((step for step in _STEPS if step >= least), least)
    line = [" "] * (columns + _ROOM_FOR_TIME)
    number = -int(-begin // step)
    while number * step <= end:
        column = int((number * step - begin) / (end - begin) * columns)
        text = f"|{_time(number * step)}"
        if column + len(text) <= columns:
            line[column : column + len(text)] = text
        number += 1
    return "".join(line).rstrip()


def _time(at: float) -> str:
    if abs(at) < 60:
        return f"{at:g}s"
    minutes, seconds = divmod(round(abs(at)), 60)
    return f"{'-' if at < 0 else ''}{minutes}:{seconds:02}"
