"""The live view of a sound that is being played to a call: one line on a terminal, ten times a second."""

import asyncio
from collections.abc import Callable
from typing import TextIO

from listenctl.commands.serve.server_meters import BOLD, DIM, GREEN, YELLOW
from listenctl.play_to_call.play_result import PlayProgress
from listenctl.terminal.printable_text import TextStyle, cell_width, format_moment
from listenctl.terminal.screen import Screen, TerminalSize
from listenctl.terminal.stop_signals import suspending_at_ctrl_z

FRAME_TIME = 0.1
_MIN_BAR, _MAX_BAR = 8, 40
_COLORS = {"playing": GREEN, "finishing": GREEN}


class PlayView:
    """
    Show how far a sound is until closed.

    Args:
        name: of the sound.
        progress: returns how far it is.
    """

    def __init__(self, name: str, progress: Callable[[], PlayProgress], stream: TextIO, style: TextStyle) -> None:
        self._name = name
        self._progress = progress
        self._style = style
        self._loop = asyncio.get_running_loop()
        self.screen = Screen(stream, style, clock=self._loop.time)

    async def run(self) -> None:
        """Draw until cancelled."""
        try:
            with suspending_at_ctrl_z(self.screen.close):
                while True:
                    self.screen.draw_lines(self._render)
                    await asyncio.sleep(FRAME_TIME)
        finally:
            self.screen.close()

    def _render(self, size: TerminalSize, _now: float) -> list[str]:
        return [render_progress(self._name, self._progress(), size[0], self._style)]


def render_progress(name: str, progress: PlayProgress, columns: int, style: TextStyle) -> str:
    """Draw one line of at most so many cells: the state, the time, a bar if there is room, the lead and the name."""
    total = "" if progress.total is None else f" / {format_moment(progress.total)}"
    lead = "" if progress.lead is None else f"  lead {progress.lead:.2f} s"
    parts = [(progress.state, _COLORS.get(progress.state, YELLOW)), (f"  {format_moment(progress.heard)}{total}", BOLD)]
    room = columns - sum(cell_width(text) for text, _ in parts)
    if progress.total and (width := min(_MAX_BAR, room - len(lead) - 2)) >= _MIN_BAR:
        parts.append(("  " + _bar(progress.heard / progress.total, width, style), GREEN))
    parts += [(lead, DIM), (f"  {style.cut(name, columns)}", "")]
    line = ""
    for text, code in parts:
        columns -= cell_width(text)
        if columns < 0:
            break
        line += style.paint(text, code)
    return line


def _bar(share: float, width: int, style: TextStyle) -> str:
    full, empty = ("█", "·") if style.unicode else ("#", ".")
    filled = round(min(1.0, max(0.0, share)) * width)
    return full * filled + empty * (width - filled)
