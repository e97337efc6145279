"""Run a monitor: with meters and keys on a terminal, otherwise with a line for each event."""

import asyncio
import os
import sys
from typing import TYPE_CHECKING

from listenctl.commands.monitor.monitor_session import Monitor
from listenctl.commands.monitor.view import render_monitor
from listenctl.json_lines import ReportedEvent
from listenctl.terminal.event_lines import PRINTED_EVENTS, format_event
from listenctl.terminal.keypresses import KeypressReader, can_read_keys
from listenctl.terminal.line_writer import LineWriter
from listenctl.terminal.live_view import LiveView
from listenctl.terminal.printable_text import TextStyle, cell_width, printable
from listenctl.terminal.screen import can_draw
from listenctl.terminal.standard_streams import reserve_stderr
from listenctl.terminal.stop_signals import stop_at_signals

if TYPE_CHECKING:
    from listenctl.commands.monitor.command import MonitorOptions

_KEYS = "n p next, previous call  a add the next  c l r m b channel  space mute  q quit"
_MAX_MESSAGE = 300


async def run_monitor(options: "MonitorOptions") -> int:
    """
    Play and show calls until they end or the user quits; return the exit status.

    Raises:
        NotFoundError: no server is running, or there is no such call.
        ListenctlError: the server closed the connection, or the saved sound couldn't be written.
    """
    reserve_stderr()
    style = TextStyle.of_stream(sys.stderr, os.environ)
    if can_draw(sys.stderr, os.environ):
        await _run_on_terminal(options, style)
    else:
        await _run_with_lines(options, style)
    return 0


async def _run_with_lines(options: "MonitorOptions", style: TextStyle) -> None:
    writer = LineWriter(sys.stderr.fileno(), sys.stderr.encoding)

    def print_event(report: ReportedEvent) -> None:
        if report["event"] in PRINTED_EVENTS:
            writer.write(format_event(report, style))

    try:
        monitor = Monitor(options, lambda text: writer.write(_message_line(text)), print_event)
        stop_at_signals(monitor.stop)
        await monitor.run()
    finally:
        await asyncio.to_thread(writer.close)


async def _run_on_terminal(options: "MonitorOptions", style: TextStyle) -> None:
    def print_event(report: ReportedEvent) -> None:
        view.add_event(report)

    # Import the width tables before audio arrives.
    cell_width("→")
    monitor = Monitor(options, lambda text: view.screen.print_above(_message_line(text)), print_event)
    keys = None
    if can_read_keys(sys.stdin):
        keys = KeypressReader(sys.stdin.fileno(), monitor.press_key, monitor.stop, monitor.press_key)
    hint = _KEYS if keys else "Ctrl-C quits"
    view = LiveView(
        sys.stderr, style, lambda size, now: render_monitor(monitor.snapshot(now, hint), size, style), keys=keys
    )
    stop_at_signals(monitor.stop, view.close)
    async with view.drawn():
        await monitor.run()


def _message_line(text: str) -> str:
    return f"listenctl: {printable(text, _MAX_MESSAGE)}"
