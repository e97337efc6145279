"""How a plot looks: colours that everyone can tell apart (Okabe and Ito's), and text that a peer can't misuse."""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from listenctl.inspection.rule_catalogue import Severity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

JAMBONZ, APPLICATION = "#0072B2", "#00795C"
KEY, MARK, CLIP, ORDER = "#56B4E9", "#A4588A", "#00795C", "#222222"
ABSENT = "#EFEFEF"
GRID, INK, FAINT = "#D8D8D8", "#222222", "#767676"
SEVERITY = {
    Severity.ERROR: ("#C34A00", "X"),
    Severity.WARNING: ("#E69F00", "^"),
    Severity.INFO: ("#767676", "."),
}
"""Colour and shape; each says it alone."""
SPECTRUM_COLOURS = "cividis"
FAINTEST = "#00224E"
"""The first of those."""
SMALL, TINY = 9, 8
# Points that a character of a label takes for each point of its size, and from a shape to its label.
_CHARACTER = 0.58
_DISTANCE = 6.0
_POINTS_PER_INCH = 72
_LONGEST = 40


@cache
def _known_characters() -> frozenset[int]:
    from matplotlib.font_manager import FontProperties, findfont, get_font

    return frozenset(get_font(findfont(FontProperties())).get_charmap())


def drawable(text: str, longest: int = _LONGEST) -> str:
    """Return text with what can't be drawn replaced, and cut where it is long; give it to ``parse_math=False``."""
    known = _known_characters()
    safe = "".join(char if char.isprintable() and ord(char) in known else "\N{MIDDLE DOT}" for char in text[:longest])
    return safe if len(text) <= longest else f"{safe}…"


class LabelPlacement:
    """
    Find room for what is drawn with a label on one of several levels; where there is none, the label is left out.

    Everything is put in order of time.

    Args:
        levels: heights, the first to be taken first.
        width: of the picture, in inches.
    """

    def __init__(self, axes: "Axes", levels: Sequence[float], *, width: float) -> None:
        self._axes = axes
        self._ends = dict.fromkeys(levels, float("-inf"))
        left, self._right = axes.get_xlim()
        self._second = axes.get_position().width * width * _POINTS_PER_INCH / (self._right - left)

    def put(self, begin: float, end: float, text: str, *, size: int = TINY) -> float:
        """Return the height for something that lasts from ``begin`` to ``end``, with its label written beside it."""
        shown = drawable(text)
        width = (len(shown) * _CHARACTER * size + 2 * _DISTANCE) / self._second
        reach = _DISTANCE / self._second
        at_left = end + reach + width > self._right
        needed = begin - reach - (width if at_left else 0.0)
        level = next((level for level, taken in self._ends.items() if taken <= needed), None)
        if level is None:
            level = min(self._ends, key=self._ends.__getitem__)
            shown, width = "", 0.0
        self._ends[level] = max(self._ends[level], end + reach + (0.0 if at_left else width))
        if shown:
            at, side = (begin - reach, "right") if at_left else (end + reach, "left")
            self._axes.text(at, level, shown, fontsize=size, color=INK, va="center", ha=side, parse_math=False)
        return level
