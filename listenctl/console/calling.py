"""Place a simulated call in a terminal, a pipe or a script: events, live view, keys, signals, and the exit status."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from listenctl.client.call import SimulatedCall
from listenctl.client.call_log import CallSummary
from listenctl.client.call_socket import call_socket
from listenctl.client.plan import CallPlan
from listenctl.console.call_live import CallView
from listenctl.console.call_report import summary
from listenctl.console.ending import describe_end
from listenctl.console.keys import KeyReader, can_read_keys
from listenctl.console.lines import LineWriter
from listenctl.console.meters import can_draw
from listenctl.console.printer import READABLE, human_line
from listenctl.console.service import append_to
from listenctl.console.stdio import complain, keep_stderr, write_out
from listenctl.console.text import Look
from listenctl.errors import CheckFailed, ListenctlError
from listenctl.reports import Report, Reporter, json_line

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class CallPresentation:
    """
    What a call shows, and where.

    Attributes:
        json: print events as JSON lines on stdout.
        events: a file to which they are appended as well.
        describe: makes what people read in the end out of the last event, all verdicts, and the rate of the server's
            audio where it is a stream.
    """

    json: bool = False
    events: Path | None = None
    quiet: bool = False
    describe: Callable[[Report, list[Report], int | None], str] = summary


async def run_call(plan: CallPlan, presentation: CallPresentation, calls: Path | None = None) -> int:
    """
    Place a call and see it through; return the exit status.

    Args:
        calls: the folder in which other processes find the call and press its keys; None if they needn't.

    Raises:
        RefusedError: the server can't be reached or doesn't take the call.
        ListenctlError: a file or device can't be used.
    """
    with ExitStack() as closing:
        if plan.speaker is not None or plan.caller.startswith("mic") or (plan.callee or "").startswith("mic"):
            keep_stderr()
        reporter = Reporter()
        call = SimulatedCall(plan, reporter)
        output = _Output(reporter, presentation, call.hang_up, closing)
        placing = asyncio.ensure_future(call.run())
        async with _open_to_others(call, reporter, calls), _face(call, reporter, presentation) as give_terminal_back:
            interrupts = _watch_signals(call, give_terminal_back)
            try:
                result = await placing
            except asyncio.CancelledError:
                return 128 + (interrupts[0] if interrupts else signal.SIGINT)
        if output.ended is not None:
            said = presentation.describe(output.ended, output.verdicts, output.stream_rate)
            if not (presentation.json or presentation.quiet):
                output.broken |= not write_out(said)
    return _status(plan, result, interrupts) or (ListenctlError.exit_status if output.broken else 0)


async def run_send_dtmf(plan: CallPlan, presentation: CallPresentation) -> int:
    """
    Place a call that presses the keys of its plan; return 0 when the server has taken all of them.

    Raises:
        RefusedError: the server can't be reached or doesn't take the call.
    """
    wanted = "".join(key.digit for key in plan.keys)
    taken = False

    def describe(ended: Report, _verdicts: list[Report], _stream_rate: int | None) -> str:
        nonlocal taken
        taken = bool(ended["taken"]) and ended["digits"] == wanted
        if taken:
            return f"{wanted}: taken by {ended_at}\n"
        return f"{wanted}: NOT taken, {ended['digits'] or 'none'} sent; {describe_end(ended)}\n"

    ended_at = str(plan.target.address)
    status = await run_call(plan, replace(presentation, describe=describe))
    return status if status or taken else ListenctlError.exit_status


def _status(plan: CallPlan, result: CallSummary, interrupts: list[int]) -> int:
    if result.wrong or result.lost_samples:
        return CheckFailed.exit_status
    # A call without an end of its own is done when it is hung up.
    if interrupts and (plan.duration is not None or not _is_endless(plan)):
        return 128 + interrupts[0]
    wanted = any("end" in fault.kind.shares for fault in plan.faults)
    return 0 if result.taken or wanted else ListenctlError.exit_status


def _is_endless(plan: CallPlan) -> bool:
    return plan.loop or plan.caller == "silence" or plan.caller.startswith(("tone:", "mic"))


class _Output:
    """Events as JSON lines, on stdout and in a file, and what the summary is made of."""

    def __init__(
        self, reporter: Reporter, presentation: CallPresentation, give_up: Callable[[], None], closing: ExitStack
    ) -> None:
        self.broken = False
        self.ended: Report | None = None
        self.stream_rate: int | None = None
        self.verdicts: list[Report] = []
        self._reporter = reporter
        self._give_up = give_up
        self._loop = asyncio.get_running_loop()
        self._closing = closing
        reporter.add(self._take, frozenset(("call-started", "verdict", "call-ended")))
        if presentation.json:
            self._write_to(sys.stdout.fileno(), "stdout")
        if presentation.events is not None:
            self._write_to(append_to(presentation.events), str(presentation.events))

    def _take(self, report: Report) -> None:
        if report["event"] == "call-ended":
            self.ended = report
        elif report["event"] == "call-started":
            rate = report["stream_rate"]
            self.stream_rate = rate if isinstance(rate, int) else None
        elif report["wrong"] or len(self.verdicts) < 100_000:
            self.verdicts.append(report)

    def _write_to(self, fd: int, name: str) -> None:
        writer = LineWriter(fd, on_broken=lambda reason: self._break_soon(name, reason))
        self._closing.callback(self._end, writer, name)
        self._reporter.add(lambda report: writer.write(json_line(report)))

    def _end(self, writer: LineWriter, name: str) -> None:
        writer.close()
        if writer.problem is not None:  # The loop may have had no time to tell.
            self._break(name, writer.problem)

    def _break_soon(self, name: str, reason: str) -> None:
        with suppress(RuntimeError):  # The loop has ended already.
            self._loop.call_soon_threadsafe(self._break, name, reason)

    def _break(self, name: str, reason: str) -> None:
        if not self.broken:
            self.broken = True
            complain(f"{name}: events can't be written, {reason.lower()}; the call is ended")
            self._give_up()


def _watch_signals(call: SimulatedCall, give_terminal_back: Callable[[], None]) -> list[int]:
    """Let the first signal hang up and the second end at once; return the signals that came."""
    received: list[int] = []

    def take(number: int) -> None:
        received.append(number)
        if len(received) > 1:
            give_terminal_back()
            os._exit(128 + number)
        call.interrupt()

    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, take, number)
    return received


@asynccontextmanager
async def _open_to_others(call: SimulatedCall, reporter: Reporter, calls: Path | None) -> AsyncIterator[None]:
    def warn(detail: str) -> None:
        call_sid = call.metadata.call_sid
        reporter.emit("warning", {"rule": "no-call-socket", "detail": detail}, call=call_sid, call_sid=call_sid)

    if calls is None:
        yield
        return
    async with call_socket(calls, call, warn):
        yield


@asynccontextmanager
async def _face(
    call: SimulatedCall, reporter: Reporter, presentation: CallPresentation
) -> AsyncIterator[Callable[[], None]]:
    """
    Show the call on stderr: a live view where that is a terminal, else a line for each event.

    What it yields gives the terminal back, for an end that can't wait.
    """
    look = Look.of(sys.stderr, os.environ)
    silent = presentation.quiet or presentation.json
    if not silent and can_draw(sys.stderr, os.environ):
        view = CallView(call, sys.stderr, look, keys=_keys(call))
        reporter.add(view.take)
        drawing = asyncio.create_task(view.run())
        try:
            yield view.close
        finally:
            drawing.cancel()
            with suppress(asyncio.CancelledError):
                await drawing
        return
    writer = LineWriter(sys.stderr.fileno(), sys.stderr.encoding)
    reporter.add(lambda report: writer.write(human_line(report, look)), frozenset() if silent else READABLE)
    try:
        yield lambda: None
    finally:
        writer.close()


def _keys(call: SimulatedCall) -> KeyReader | None:
    """Return what reads the keys of the telephone, unless the caller speaks from stdin."""
    if call.plan.caller == "-" or not can_read_keys(sys.stdin):
        return None
    return KeyReader(sys.stdin.fileno(), call.press, call.interrupt)
