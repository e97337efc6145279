"""Run a load: progress, signals, the report, and the exit status."""

import os
import sys
from pathlib import Path

from listenctl.commands.load.view import load_progress, report_text
from listenctl.errors import ExitStatus, RefusedError, TimedOutError, signal_status
from listenctl.json_lines import json_line
from listenctl.load.load_call_outcome import LoadCallOutcome
from listenctl.load.plan import LoadPlan
from listenctl.load.run_load import LoadRun
from listenctl.net.listening_sockets import raise_descriptor_limit
from listenctl.terminal.event_output import append_to
from listenctl.terminal.line_writer import LineWriter
from listenctl.terminal.printable_text import TextStyle
from listenctl.terminal.progress_line import ProgressLine
from listenctl.terminal.standard_streams import write_message, write_stdout
from listenctl.terminal.stop_signals import stop_at_signals

STDOUT = Path("-")


async def run_load(plan: LoadPlan, *, as_json: bool, per_call: Path | None, quiet: bool) -> int:
    """
    Place a load, wait for its end, and print the report; return the exit status.

    Args:
        as_json: print the report as one JSON object.
        per_call: a file to which a JSON line is appended for each call, or ``STDOUT``.

    Raises:
        RefusedError: no call was connected.
        TimedOutError: the load did not end in time.
    """
    raise_descriptor_limit(None)
    calls = _CallWriter(per_call)
    try:
        load = LoadRun(plan, calls.write)
        line = ProgressLine(lambda: load_progress(load.snapshot()), quiet=quiet)
        interrupts = stop_at_signals(load.stop, line.leave)
        async with line.drawn():
            report = await load.run()
    finally:
        calls.close()
    if as_json:
        printed = write_stdout(json_line(report.as_json()) + "\n", whole="the report")
    else:
        style = TextStyle.of_stream(sys.stdout, os.environ)
        printed = quiet or write_stdout(report_text(report, style), whole="the report")
    if interrupts:
        return signal_status(interrupts[0])
    if load.timed_out:
        raise TimedOutError(f"the load did not end within {plan.timeout:g} s; its calls were hung up")
    if report.failed == report.placed and not report.connected:
        raise RefusedError(next(iter(report.problems)))
    if not report.ok:
        return ExitStatus.CHECK_FAILED
    return ExitStatus.FAILED if calls.broken or not printed else 0


class _CallWriter:
    """Write a JSON line for each call that has ended, in the background."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._fd = _descriptor(path)
        self._writer = None if self._fd is None else LineWriter(self._fd)
        self.broken = False

    def write(self, outcome: LoadCallOutcome) -> None:
        if self._writer is not None:
            self._writer.write(json_line(outcome.as_json()))

    def close(self) -> None:
        """Write what is queued, and report what couldn't be written."""
        if self._writer is None or self._fd is None:
            return
        lost = self._writer.close()
        os.close(self._fd)
        if lost:
            self.broken = True
            name = "stdout" if self._path == STDOUT else self._path
            write_message(f"{name}: {self._writer.describe_loss('call')}")


def _descriptor(path: Path | None) -> int | None:
    if path == STDOUT:
        return os.dup(sys.stdout.fileno())
    return None if path is None else append_to(path)
