"""Run a monitor on a terminal, with meters and keys, or elsewhere, with a line for each event."""

import asyncio
import os
import sys
from contextlib import suppress

from listenctl.commands.monitor.monitor_session import Monitor, MonitorPlan
from listenctl.commands.monitor.view import render
from listenctl.commands.serve.server_meters import can_draw
from listenctl.live_client.list_calls import ServerEvent
from listenctl.terminal.event_lines import PRINTED_EVENTS, format_event, is_lasting
from listenctl.terminal.keypresses import KeypressReader, can_read_keys
from listenctl.terminal.line_writer import LineWriter
from listenctl.terminal.printable_text import TextStyle, cell_width, printable
from listenctl.terminal.screen import Screen
from listenctl.terminal.standard_streams import reserve_stderr
from listenctl.terminal.stop_signals import stop_at_signals, suspending_at_ctrl_z

FRAME_TIME = 0.1

_KEYS = "n p next, previous call  a add the next  c l r m b channel  space mute  q quit"
_MAX_SENTENCE = 300


async def run_monitor(plan: MonitorPlan) -> int:
    """
    Hear and see calls until they end or somebody has had enough; return the exit status.

    Raises:
        NotFoundError: no server is running, or there is no such call.
        ListenctlError: the server closed the connection, or something that is kept couldn't be written.
    """
    reserve_stderr()
    style = TextStyle.of_stream(sys.stderr, os.environ)
    if can_draw(sys.stderr, os.environ):
        await _OnTerminal(style).run(plan)
    else:
        await _run_in_lines(plan, style)
    return 0


async def _run_in_lines(plan: MonitorPlan, style: TextStyle) -> None:
    writer = LineWriter(sys.stderr.fileno(), sys.stderr.encoding)

    def show(report: ServerEvent) -> None:
        if report["event"] in PRINTED_EVENTS:
            writer.write(format_event(report, style))

    try:
        monitor = Monitor(plan, lambda text: writer.write(_sentence(text)), show)
        stop_at_signals(monitor.stop)
        await monitor.run()
    finally:
        await asyncio.to_thread(writer.close)


class _OnTerminal:
    """The face of a monitor on a terminal."""

    def __init__(self, style: TextStyle) -> None:
        self._style = style
        self._loop = asyncio.get_running_loop()
        self._screen = Screen(sys.stderr, style, clock=self._loop.time)
        self._keys: KeypressReader | None = None
        # What measures text takes a while to import, which no sound shall wait for.
        cell_width("→")

    async def run(self, plan: MonitorPlan) -> None:
        monitor = Monitor(plan, lambda text: self._screen.print_above(_sentence(text)), self._show)
        if can_read_keys(sys.stdin):
            self._keys = KeypressReader(sys.stdin.fileno(), monitor.press, monitor.stop, monitor.press)
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
            with suspending_at_ctrl_z(self._give_back, self._take_back):
                if self._keys:
                    self._keys.start()
                while True:
                    self._screen.draw_lines(lambda size, now: render(monitor.picture(now, keys), size, self._style))
                    await asyncio.sleep(FRAME_TIME)
        finally:
            self._close()

    def _show(self, report: ServerEvent) -> None:
        if report["event"] in PRINTED_EVENTS and is_lasting(report):
            self._screen.print_above(format_event(report, self._style))

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
