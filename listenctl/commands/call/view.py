"""The live view of one simulated call: a snapshot ten times a second, and the lines that last above it."""

import asyncio
from collections import deque
from typing import Protocol, TextIO

from listenctl.commands.call.call_meters import render_call
from listenctl.media.measure_levels import Levels
from listenctl.simulator.call_snapshot import CallSnapshot
from listenctl.terminal.event_lines import PRINTED_EVENTS, Report, format_event, is_lasting
from listenctl.terminal.keypresses import KeypressReader
from listenctl.terminal.level_meter import ChannelLevel, MeterBallistics
from listenctl.terminal.printable_text import TextStyle, cell_width
from listenctl.terminal.screen import Screen, TerminalSize
from listenctl.terminal.stop_signals import suspending_at_ctrl_z

FRAME_TIME = 0.1
_MAX_RECENT = 10


class Watched(Protocol):
    """A call that can be looked at."""

    def snapshot(self) -> CallSnapshot:
        """Return what it looks like now."""


class _Bars:
    """The bars of one direction; there are as many as the first audio has channels."""

    def __init__(self) -> None:
        self._ballistics: MeterBallistics | None = None

    def show(self, levels: Levels | None, now: float) -> tuple[ChannelLevel, ...]:
        if self._ballistics is None:
            if levels is None:
                return ()
            self._ballistics = MeterBallistics(len(levels))
        return self._ballistics.update(levels, now)


class CallView:
    """
    Show a simulated call on a terminal until closed.

    Args:
        keys: what reads the same terminal; it is let go and taken again together with it.
    """

    def __init__(self, call: Watched, stream: TextIO, style: TextStyle, *, keys: KeypressReader | None = None) -> None:
        self._call = call
        self._style = style
        self._keys = keys
        self._loop = asyncio.get_running_loop()
        self._recent: deque[str] = deque(maxlen=_MAX_RECENT)
        self._sent, self._heard = _Bars(), _Bars()
        self._hint = "q hangs up" if keys else "Ctrl-C hangs up"
        self.screen = Screen(stream, style, clock=self._loop.time)
        # What measures text takes 18 ms to import, which no frame of the call shall wait for.
        cell_width("→")

    def take(self, report: Report) -> None:
        """Show an event: above the view when it lasts, else in it for a while."""
        if report["event"] not in PRINTED_EVENTS:
            return
        line = format_event(report, self._style)
        if is_lasting(report):
            self.screen.print_above(line)
        else:
            self._recent.append(line)

    async def run(self) -> None:
        """Draw, and read keys, until cancelled."""
        try:
            with suspending_at_ctrl_z(self._give_back, self._take_back):
                if self._keys:
                    self._keys.start()
                while True:
                    self.screen.draw_lines(self._render)
                    await asyncio.sleep(FRAME_TIME)
        finally:
            self.close()

    def close(self) -> None:
        """Give the terminal back, also for an end that can't wait."""
        if self._keys:
            self._keys.close()
        self.screen.close()

    def _give_back(self) -> None:
        if self._keys:
            self._keys.pause()
        self.screen.close()

    def _take_back(self) -> None:
        if self._keys:
            self._keys.resume()

    def _render(self, size: TerminalSize, now: float) -> list[str]:
        snapshot = self._call.snapshot()
        sent, heard = self._sent.show(snapshot.sent, now), self._heard.show(snapshot.heard, now)
        return render_call(
            snapshot, tuple(self._recent), size, style=self._style, sent=sent, heard=heard, hint=self._hint
        )
