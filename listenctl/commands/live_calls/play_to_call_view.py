"""The live view of a sound that is played to a call: one line on a terminal."""

from collections.abc import Callable
from typing import TextIO

from listenctl.play_to_call.play_result import PlayProgress
from listenctl.terminal.live_view import LiveView
from listenctl.terminal.printable_text import BOLD, DIM, GREEN, YELLOW, TextStyle, cell_width, format_moment

_MIN_BAR, _MAX_BAR = 8, 40
_COLORS = {"playing": GREEN, "finishing": GREEN}


class PlayToCallView(LiveView):
    """
    Show the progress of a sound until cancelled.

    Args:
        name: name of the sound.
        progress: returns the current progress.
    """

    def __init__(self, name: str, progress: Callable[[], PlayProgress], stream: TextIO, style: TextStyle) -> None:
        super().__init__(stream, style, lambda size, _: [render_progress(name, progress(), size[0], style)])


def render_progress(name: str, progress: PlayProgress, columns: int, style: TextStyle) -> str:
    """Return a line of at most ``columns`` cells: state, time, a bar if it fits, lead and name."""
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
