"""Run a monitor on a terminal, with meters and keys, or elsewhere, with a line for each event."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress

from listenctl.client.control import Report
from listenctl.console.keys import KeyReader, can_read_keys
from listenctl.console.lines import LineWriter
from listenctl.console.meters import can_draw
from listenctl.console.monitor import Monitor, MonitorPlan
from listenctl.console.monitor_view import render
from listenctl.console.printer import READABLE, human_line, lasts
from listenctl.console.screen import Screen
from listenctl.console.stdio import keep_stderr
from listenctl.console.text import Look, cells, printable

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
FRAME_TIME = 0.1

_KEYS = "n p next, previous call  a add the next  c l r m b channel  space mute  q quit"
_MAX_SENTENCE = 300


async def run_monitor(plan: MonitorPlan) -> int:
    """
    Hear and see calls until they end or somebody has had enough; return the exit status.

    Raises:
        NotFoundError: no server is running, or there is no such call.
        ListenctlError: the server let us go, or something that is kept couldn't be written.
    """
    keep_stderr()
    look = Look.of(sys.stderr, os.environ)
    if can_draw(sys.stderr, os.environ):
        await _OnTerminal(look).run(plan)
    else:
        await _run_in_lines(plan, look)
    return 0


async def _run_in_lines(plan: MonitorPlan, look: Look) -> None:
    writer = LineWriter(sys.stderr.fileno(), sys.stderr.encoding)

    def show(report: Report) -> None:
        if report["event"] in READABLE:
            writer.write(human_line(report, look))

    try:
        monitor = Monitor(plan, lambda text: writer.write(_sentence(text)), show)
        _stop_at_signals(monitor, lambda: None)
        await monitor.run()
    finally:
        await asyncio.to_thread(writer.close)


class _OnTerminal:
    """The face of a monitor on a terminal."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._loop = asyncio.get_running_loop()
        self._screen = Screen(sys.stderr, look, clock=self._loop.time)
        self._keys: KeyReader | None = None
        # What measures text takes a while to import, which no sound shall wait for.
        cells("→")

    async def run(self, plan: MonitorPlan) -> None:
        monitor = Monitor(plan, lambda text: self._screen.print_above(_sentence(text)), self._show)
        if can_read_keys(sys.stdin):
            self._keys = KeyReader(sys.stdin.fileno(), monitor.press, monitor.stop, monitor.press)
        _stop_at_signals(monitor, self._close)
        drawing = asyncio.create_task(self._draw(monitor))
        try:
            await monitor.run()
        finally:
            drawing.cancel()
            with suppress(asyncio.CancelledError):
                await drawing

    async def _draw(self, monitor: Monitor) -> None:
        self._loop.add_signal_handler(signal.SIGTSTP, self._suspend)
        keys = _KEYS if self._keys else "Ctrl-C quits"
        try:
            if self._keys:
                self._keys.start()
            while True:
                self._screen.draw_lines(lambda size, now: render(monitor.picture(now, keys), size, self._look))
                await asyncio.sleep(FRAME_TIME)
        finally:
            self._loop.remove_signal_handler(signal.SIGTSTP)
            self._close()

    def _show(self, report: Report) -> None:
        if report["event"] in READABLE and lasts(report):
            self._screen.print_above(human_line(report, self._look))

    def _close(self) -> None:
        if self._keys:
            self._keys.close()
        self._screen.close()

    def _suspend(self) -> None:
        """Give the terminal back to the shell at Ctrl-Z; what is drawn after that is drawn anew."""
        if self._keys:
            self._keys.pause()
        self._screen.close()
        os.kill(os.getpid(), signal.SIGSTOP)
        if self._keys:
            self._keys.resume()


def _stop_at_signals(monitor: Monitor, give_terminal_back: Callable[[], None]) -> None:
    """Let the first signal end in order, which is what a monitor is for, and the second at once."""
    received: list[int] = []

    def take(number: int) -> None:
        received.append(number)
        if len(received) > 1:
            give_terminal_back()
            os._exit(128 + number)
        monitor.stop()

    for number in SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, take, number)


def _sentence(text: str) -> str:
    return f"listenctl: {printable(text, _MAX_SENTENCE)}"
