"""A live view of a command: a screen that is drawn until the command ends."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TextIO

from listenctl.background_task import background_task, log_failure
from listenctl.json_lines import ReportedEvent
from listenctl.terminal.event_lines import format_event_lines, is_lasting
from listenctl.terminal.keypresses import KeypressReader
from listenctl.terminal.printable_text import TextStyle
from listenctl.terminal.screen import FRAME_TIME, Screen, TerminalSize
from listenctl.terminal.stop_signals import suspending_at_ctrl_z


class LiveView:
    """Draw a screen ten times a second until cancelled; Ctrl-Z gives the terminal back to the shell for a while."""

    def __init__(
        self,
        stream: TextIO,
        style: TextStyle,
        render: Callable[[TerminalSize, float], list[str]],
        keys: KeypressReader | None = None,
    ) -> None:
        self.screen = Screen(stream, style, clock=asyncio.get_running_loop().time)
        self.style = style
        self._render = render  # returns the lines of a frame, as for ``Screen.draw_lines``
        self._keys = keys  # reads the same terminal, and is suspended together with the screen

    @asynccontextmanager
    async def drawn(self) -> AsyncIterator[None]:
        """Draw while the block runs; it goes on if the view fails."""
        try:
            async with background_task(log_failure(self.run, "the live view")):
                yield
        finally:
            # Prints the events since a failure.
            self.close()

    async def run(self) -> None:
        """Draw, and read keys, until cancelled."""
        try:
            with suspending_at_ctrl_z(self._suspend, self._resume):
                if self._keys:
                    self._keys.start()
                while True:
                    self.screen.draw_lines(self._render)
                    await asyncio.sleep(FRAME_TIME)
        finally:
            self.close()

    def close(self) -> None:
        """Give the terminal back for good; this works outside of the event loop, too."""
        if self._keys:
            self._keys.close()
        self.screen.close()

    def add_event(self, report: ReportedEvent) -> None:
        """Print an event above the screen if it stays true after the call."""
        if is_lasting(report):
            for line in format_event_lines(report, self.style):
                self.screen.print_above(line)

    def _suspend(self) -> None:
        if self._keys:
            self._keys.pause()
        self.screen.close()

    def _resume(self) -> None:
        if self._keys:
            self._keys.resume()
