"""
Text for people: escaping, widths, numbers, and what a terminal can show.

Everything from a peer or a file passes ``printable`` before it is printed. Widths are terminal cells, not characters.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Self, TextIO

BOLD, DIM, RED, GREEN, YELLOW, CYAN = "1", "2", "31", "32", "33", "36"
"""Codes for ``TextStyle.paint``."""
REPLACEMENT = "\ufffd"
_PAINT = re.compile(r"\x1b\[[0-9;]*m")
# Controls, formats (bidi, zero-width), lone surrogates, private and unassigned characters.
_UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
_UNSAFE_ASCII = re.compile(r"[\x00-\x1f\x7f]")
_LINE_BREAKS = re.compile("[\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]+")
# Terminals disagree on the width that variation selectors make; the fillers are blank letters, invisible in a name.
_DECEPTIVE = frozenset({*map(chr, range(0xFE00, 0xFE10)), "\u034f", "\u115f", "\u1160", "\u3164", "\uffa0"})
_MAX_MARKS = 3


@dataclass(frozen=True, slots=True)
class TextStyle:
    """Whether a terminal shows colours, and characters beyond ASCII."""

    color: bool = True
    unicode: bool = True

    @classmethod
    def of_stream(cls, stream: TextIO, environ: Mapping[str, str]) -> Self:
        """Return what ``stream`` can show; ``NO_COLOR`` is obeyed."""
        dumb = environ.get("TERM", "dumb") == "dumb"
        encoding = (stream.encoding or "ascii").lower().replace("_", "-")
        color = stream.isatty() and not dumb and not environ.get("NO_COLOR")
        return cls(color=color, unicode=encoding in ("utf-8", "utf8") and not dumb)

    def paint(self, text: str, code: str) -> str:
        """Return ``text`` in the colour or weight of the SGR parameters ``code``."""
        return f"\x1b[{code}m{text}\x1b[0m" if self.color and code and text.strip() else text

    def join_parts(self, parts: Sequence[tuple[str, str]], columns: int) -> str:
        """Return as many of the parts, each a text and its code, as fit whole into a line."""
        separator = " · " if self.unicode else " | "
        line = ""
        room = columns
        for text, code in parts:
            lead = separator if line else ""
            room -= len(lead) + cell_width(text)
            if room < 0:
                break
            line += self.paint(lead, DIM) + self.paint(text, code)
        return line

    def fit(self, text: str, width: int) -> str:
        """Return ``text``, made printable, cut or padded to exactly ``width`` cells."""
        return pad_cells(self.cut(text, width), width)

    def join_parties(self, caller: str, callee: str, width: int) -> str:
        """Return ``caller → callee``, each cut to ``width`` cells; empty if neither is known."""
        if not caller and not callee:
            return ""
        arrow = "→" if self.unicode else "->"
        return f"{self.cut(caller, width) or 'unknown'} {arrow} {self.cut(callee, width) or 'unknown'}"

    def encodable(self, text: str) -> str:
        """Return ``text``, in ASCII if the terminal shows nothing else."""
        return text if self.unicode else text.replace("→", "->").replace("…", "~").encode("ascii", "replace").decode()

    def more_line(self, number: int, columns: int) -> str:
        """Return a line that counts the rows that didn't fit."""
        return self.paint(self.cut(f"{'…' if self.unicode else '...'} and {number} more", columns), DIM)

    def cut(self, text: str, width: int) -> str:
        """Return ``text``, made printable, in at most ``width`` cells."""
        return _cut(_bounded(text, width), width, self.unicode)


# Live views draw the same names ten times a second.
@lru_cache(maxsize=4096)
def _cut(text: str, width: int, unicode: bool) -> str:
    text = printable(text)
    return truncate(text, width) if unicode else truncate(text.encode("ascii", "replace").decode(), width, "~")


def printable(text: str, limit: int | None = None) -> str:
    """
    Return ``text`` without anything that a terminal obeys or a reader can't see, in at most ``limit`` cells.

    Line breaks, tabs and odd spaces become a space, all else that is unsafe a replacement character.
    """
    if limit is not None:
        return truncate(printable(_bounded(text, limit)), limit)
    text = _LINE_BREAKS.sub(" ", text)
    return _UNSAFE_ASCII.sub(REPLACEMENT, text) if text.isascii() else _replace_unsafe(text)


def _bounded(text: str, width: int) -> str:
    """Limit a text to more than fits into ``width`` cells: a peer may send megabytes."""
    return text[: 8 * max(0, width) + 8]


def _replace_unsafe(text: str) -> str:
    from unicodedata import category

    kept = []
    marks = 0
    for character in text:
        kind = category(character)
        marks = marks + 1 if kind in ("Mn", "Me") else 0
        if kind in _UNSAFE_CATEGORIES or character in _DECEPTIVE:
            kept.append(REPLACEMENT)
        elif kind == "Zs":
            kept.append(" ")
        elif marks <= _MAX_MARKS:
            kept.append(character)
    return "".join(kept)


def cell_width(text: str) -> int:
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def unpainted(text: str) -> str:
    """Return a text without the codes of ``TextStyle.paint``."""
    return _PAINT.sub("", text)


def count_noun(number: int, noun: str) -> str:
    """Return ``1 packet`` or ``2 packets``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def pad_cells(text: str, width: int) -> str:
    return text + " " * (width - cell_width(text))


def lay_out(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the rows of a table as lines, their columns aligned."""
    widths = [max(map(cell_width, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(pad_cells, row, widths)).rstrip() for row in rows]


_INDENT = "  "


def wrap_words(line: str, columns: int) -> list[str]:
    """Return a line, which may be painted, as lines of at most ``columns`` cells, where no word is longer than that."""
    first, *words = line.split(" ")
    lines = [first]
    width = cell_width(unpainted(first))
    for word in words:
        taken = cell_width(unpainted(word))
        # A word that doesn't fit into any line may as well begin here.
        if width + 1 + taken <= columns or len(_INDENT) + taken > columns:
            lines[-1] += f" {word}"
            width += 1 + taken
        else:
            lines.append(_INDENT + word)
            width = len(_INDENT) + taken
    return lines


def truncate(text: str, width: int, ellipsis: str = "…") -> str:
    """Cut printable ``text`` to at most ``width`` cells, with an ellipsis if something is cut off."""
    if cell_width(text) <= width:
        return text
    if width < 1:
        return ""
    kept = 0
    room = width - 1
    for character in text:
        room -= cell_width(character)
        if room < 0:
            break
        kept += 1
    # A sequence can be wider than the sum of its characters.
    while kept and cell_width(text[:kept]) > width - 1:
        kept -= 1
    return text[:kept] + ellipsis


def format_duration(seconds: float) -> str:
    """Return ``0:07``, ``12:34`` or ``1:02:03``."""
    whole = max(0, int(seconds))
    hours, minutes = divmod(whole // 60, 60)
    if hours:
        return f"{hours}:{minutes:02}:{whole % 60:02}"
    return f"{minutes}:{whole % 60:02}"


def format_moment(seconds: float) -> str:
    """Return a time within a call as ``format_duration`` does, with tenths: ``0:07.3``."""
    # Events have milliseconds; the float 7.3 may be slightly less than 7300 of them.
    tenths = max(0, int(round(seconds * 1000) // 100))
    return f"{format_duration(tenths // 10)}.{tenths % 10}"


def format_exact_moment(seconds: float) -> str:
    """Return a time within a call with milliseconds: ``0:07.321``."""
    thousandths = max(0, round(seconds * 1000))
    return f"{format_duration(thousandths // 1000)}.{thousandths % 1000:03}"


def format_seconds(seconds: float) -> str:
    """Return a short span as ``0.3 s``, one from 100 s on as ``format_duration`` does."""
    return f"{seconds:.1f} s" if seconds < 99.95 else format_duration(seconds)


def format_size(size: float) -> str:
    """Return ``512 B``, ``38.2 MB`` and so on, in powers of 1000."""
    if size < 1000:
        return f"{int(size)} B"
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 999.95:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:.1f} TB"


def format_rate(rate: int) -> str:
    """Return ``8k`` or ``44.1k`` for a rate in Hz, to three digits."""
    return f"{rate / 1000:.3g}k"
