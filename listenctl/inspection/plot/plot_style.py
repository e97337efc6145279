"""The style of a plot: colours for colour-blind readers too (by Okabe and Ito), and harmless text."""

from functools import cache

from listenctl.protocol.jambonz_model.rule_catalogue import Severity

JAMBONZ, APPLICATION = "#0072B2", "#00795C"
KEY, MARK, CLIP, COMMAND = "#56B4E9", "#A4588A", "#00795C", "#222222"
ABSENT = "#EFEFEF"
GRID, INK, FAINT = "#D8D8D8", "#222222", "#767676"
SEVERITY = {
    Severity.ERROR: ("#C34A00", "X"),
    Severity.WARNING: ("#E69F00", "^"),
    Severity.INFO: ("#767676", "."),
}
"""Colour and shape, each of them sufficient."""
SPECTRUM_COLOURS = "cividis"
FAINTEST = "#00224E"
"""The first of these colours."""
SMALL, TINY = 9, 8
_MAX_LABEL = 40


@cache
def _known_characters() -> frozenset[int]:
    from matplotlib.font_manager import FontProperties, findfont, get_font

    return frozenset(get_font(findfont(FontProperties())).get_charmap())


def drawable(text: str, max_length: int = _MAX_LABEL) -> str:
    """Return text without characters that can't be drawn, cut to a length; use it with ``parse_math=False``."""
    known = _known_characters()
    safe = "".join(
        char if char.isprintable() and ord(char) in known else "\N{MIDDLE DOT}" for char in text[:max_length]
    )
    return safe if len(text) <= max_length else f"{safe}…"
