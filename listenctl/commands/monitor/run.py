"""Run a monitor on a terminal, with meters and keys, or elsewhere, with a line for each event."""

import asyncio
import os
import sys
from contextlib import suppress

from listenctl.commands.monitor.monitor_session import Monitor, MonitorPlan
from listenctl.commands.monitor.view import render
from listenctl.commands.serve.server_meters import can_draw
from listenctl.live_client.control_client import Report
from listenctl.terminal.event_lines import READABLE, human_line, lasts
from listenctl.terminal.keypresses import KeyReader, can_read_keys
from listenctl.terminal.line_writer import LineWriter
from listenctl.terminal.printable_text import Look, cells, printable
from listenctl.terminal.screen import Screen
from listenctl.terminal.standard_streams import keep_stderr
from listenctl.terminal.stop_signals import stop_at_signals, stopping_at_ctrl_z

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
        stop_at_signals(monitor.stop)
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
        stop_at_signals(monitor.stop, self._close)
        drawing = asyncio.create_task(self._draw(monitor))
        try:
            await monitor.run()
        finally:
            drawing.cancel()
            with suppress(asyncio.CancelledError):
                await drawing

    async def _draw(self, monitor: Monitor) -> None:
        keys = _KEYS if self._keys else "Ctrl-C quits"
        try:
            with stopping_at_ctrl_z(self._give_back, self._take_back):
                if self._keys:
                    self._keys.start()
                while True:
                    self._screen.draw_lines(lambda size, now: render(monitor.picture(now, keys), size, self._look))
                    await asyncio.sleep(FRAME_TIME)
        finally:
            self._close()

    def _show(self, report: Report) -> None:
        if report["event"] in READABLE and lasts(report):
            self._screen.print_above(human_line(report, self._look))

    def _close(self) -> None:
        if self._keys:
            self._keys.close()
        self._screen.close()

    def _give_back(self) -> None:
        if self._keys:
            self._keys.pause()
        self._screen.close()

    def _take_back(self) -> None:
        if self._keys:
            self._keys.resume()


def _sentence(text: str) -> str:
    return f"listenctl: {printable(text, _MAX_SENTENCE)}"
