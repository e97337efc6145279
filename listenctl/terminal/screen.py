"""
A part of a terminal that is redrawn in place, below the lines printed so far.

Rich's Live table takes 13 ms per frame for 30 calls, this takes less than one.
"""

import os
import select
from collections import deque
from collections.abc import Callable, Mapping
from typing import TextIO, TypeAlias

from listenctl.terminal.printable_text import TextStyle, wrap_words

TerminalSize: TypeAlias = tuple[int, int]
"""Columns and rows."""

_BEGIN, _END = "\x1b[?2026h\x1b[?25l", "\x1b[?2026l"
_SHOW_CURSOR = "\x1b[?25h"
_CLEAR, _ERASE_REST = "\r\x1b[J", "\x1b[K"
_WRAP_OFF, _WRAP_ON = "\x1b[?7l", "\x1b[?7h"
FRAME_TIME = 0.1
_REPAINT_TIME = 2.0
_MAX_PENDING = 1000


class Screen:
    """
    Draw frames in place on a terminal, and lines above them that stay in its scrollback.

    Between frames the hidden cursor is on the first cell of the frame. A resize may wrap or cut what is below, but the
    cursor stays with that cell, so everything from there on can be cleared and redrawn.
    """

    def __init__(
        self,
        stream: TextIO,
        style: TextStyle,
        *,
        clock: Callable[[], float],
        size: Callable[[], TerminalSize] | None = None,
    ) -> None:
        self._stream = stream
        self._style = style
        self._clock = clock
        self._size = size or (lambda: terminal_size(stream))
        self._above: deque[str] = deque(maxlen=_MAX_PENDING)
        self._frame: list[str] = []
        self._frame_size = (0, 0)
        self._next_frame = self._next_repaint = float("-inf")
        self._cursor_hidden = False

    def print_above(self, line: str) -> None:
        """
        Print ``line`` above the frame with the next frame; a long one is wrapped between words.

        Text from a peer must pass ``printable`` first.
        """
        self._above.append(line)

    def draw_lines(self, render: Callable[[TerminalSize, float], list[str]]) -> bool:
        """
        Draw a frame, unless it is too early, nothing changed, or the terminal is stopped; return whether it did.

        Args:
            render: returns lines for a size and a time, none longer than the columns and no more than the rows.
        """
        now = self._clock()
        if now < self._next_frame:
            return False
        self._next_frame = max(self._next_frame, now - FRAME_TIME / 2) + FRAME_TIME
        columns, rows = size = self._size()
        # One column stays free, because the terminal would wrap, and one row for the lines above.
        room = (columns - 1, rows - 1)
        frame = render(room, now)
        if (frame == self._frame and size == self._frame_size and not self._above) or not _writable(self._stream):
            return False
        # Others write to the terminal too (an echoed key, a shell after Ctrl-Z), so now and then everything is redrawn.
        whole = self._above or size != self._frame_size or len(frame) != len(self._frame) or now >= self._next_repaint
        if whole:
            self._next_repaint = now + _REPAINT_TIME
        text = self._repaint(frame) if whole else _changes(self._frame, frame)
        self._frame, self._frame_size, self._cursor_hidden = frame, size, True
        self._write(f"{_BEGIN}{text}{_END}")
        return True

    def close(self) -> None:
        """Clear the frame, print the remaining lines, and show the cursor."""
        if self._cursor_hidden or self._above:
            self._write(f"{_CLEAR}{self._take_above()}{_SHOW_CURSOR}")
        self._frame, self._cursor_hidden = [], False

    def _repaint(self, frame: list[str]) -> str:
        block = "\r\n".join(f"{line}{_ERASE_REST}" for line in frame)
        return f"{_CLEAR}{self._take_above()}{_WRAP_OFF}{block}{_WRAP_ON}{_up(len(frame) - 1)}"

    def _take_above(self) -> str:
        columns, _ = self._size()
        lines = "".join(f"{line}\r\n" for above in self._above for line in wrap_words(above, columns))
        self._above.clear()
        return lines

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:
            # The terminal is gone, or accepted only a part. Calls go on; what the terminal shows is unknown.
            self._frame = []


def _changes(old: list[str], new: list[str]) -> str:
    """Rewrite the lines that differ between frames of the same height, and return to the first cell."""
    parts = [_WRAP_OFF]
    row = 0
    for i, line in enumerate(new):
        if line != old[i]:
            parts.append(f"{_down(i - row)}\r{line}{_ERASE_REST}")
            row = i
    return "".join(parts) + _WRAP_ON + _up(row)


def _up(rows: int) -> str:
    return f"\x1b[{rows}A\r" if rows > 0 else "\r"


def _down(rows: int) -> str:
    return f"\x1b[{rows}B" if rows else ""


def can_draw(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Return whether ``stream`` is a terminal that can move its cursor."""
    return stream.isatty() and environ.get("TERM", "dumb") != "dumb"


def terminal_size(stream: TextIO) -> tuple[int, int]:
    """Return columns and rows of the terminal, 80 by 24 if they are unknown."""
    try:
        columns, rows = os.get_terminal_size(stream.fileno())
    except OSError:
        return 80, 24
    return (columns or 80), (rows or 24)


def _writable(stream: TextIO) -> bool:
    """Return whether ``stream`` accepts data; a terminal stopped with Ctrl-S would block the event loop."""
    try:
        return bool(select.select([], [stream.fileno()], [], 0)[1])
    except OSError:
        return True
