"""Run a replay: progress, signals, a report on each call, and the exit status."""

import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from listenctl.capture.packets.packet_batches import CaptureNotice
from listenctl.commands.replay.view import application_lines, progress, result_lines, totals_line
from listenctl.errors import ExitStatus, signal_status
from listenctl.net.listening_sockets import raise_descriptor_limit
from listenctl.replay.plan import ApplicationPlan, ReplayPlan
from listenctl.replay.replay_results import ApplicationResult, ReplayResult, ReplayTotals
from listenctl.replay.replay_script import CapturedCall
from listenctl.replay.replay_server import ReplayServer
from listenctl.replay.run_replay import ReplayRun
from listenctl.terminal.printable_text import TextStyle, printable
from listenctl.terminal.progress_line import ProgressLine
from listenctl.terminal.screen import can_draw
from listenctl.terminal.standard_streams import write_message, write_stdout
from listenctl.terminal.stop_signals import stop_at_signals

MAX_ERRORS = 20


@dataclass(frozen=True, slots=True)
class ReplayPresentation:
    """
    What is shown.

    Attributes:
        json: print a JSON object for each call, in a line.
        quiet: print nothing but errors.
    """

    json: bool = False
    quiet: bool = False


async def run_replay(
    plan: ReplayPlan,
    calls: Sequence[CapturedCall],
    presentation: ReplayPresentation,
    *,
    copies: int,
    rounds: int | None,
) -> int:
    """Play calls against a server; return the exit status."""
    raise_descriptor_limit(None)
    output = _Output(presentation, plan.capture.name)
    replay = ReplayRun(plan, calls, copies=copies, rounds=rounds, on_result=output.played, on_notice=output.notice)
    signals = stop_at_signals(replay.stop, output.leave)
    async with output.progress(lambda: progress(*replay.progress)):
        totals = await replay.run()
    output.total(totals)
    if not signals and not totals.connected:
        return ExitStatus.REFUSED
    return _status(totals, signals, output)


async def run_application(
    plan: ApplicationPlan,
    calls: Sequence[CapturedCall],
    presentation: ReplayPresentation,
    *,
    place: tuple[str, int],
    limit: int | None,
) -> int:
    """
    Take calls at a host and port, and play the application to them; return the exit status.

    Raises:
        ListenctlError: the address can't be used.
    """
    raise_descriptor_limit(None)
    output = _Output(presentation, plan.capture.name)
    server = ReplayServer(
        plan,
        calls,
        limit=limit,
        on_result=output.said,
        on_refused=lambda reason: write_message(f"refused a connection: it {reason}"),
        on_notice=output.notice,
    )
    host, port = place
    bound = await server.start(host, port)
    signals = stop_at_signals(server.stop, output.leave)
    if not presentation.quiet:
        shown = f"[{host}]" if ":" in host else host
        write_message(f"replaying {printable(plan.capture.name)} to clients of ws://{shown}:{bound}/")
    totals = await server.wait()
    output.total(totals)
    return _status(totals, signals, output)


def _status(totals: ReplayTotals, signals: Sequence[int], output: "_Output") -> int:
    if signals:
        return signal_status(signals[0])
    if totals.ok < totals.played:
        return ExitStatus.CHECK_FAILED
    return ExitStatus.FAILED if output.broken else 0


class _Output:
    """A report on each call on stdout, as text or as a line of JSON; what is wrong with the capture goes to stderr."""

    def __init__(self, presentation: ReplayPresentation, name: str) -> None:
        self._presentation = presentation
        self._name = name
        self._style = TextStyle.of_stream(sys.stdout, os.environ)
        self._errors: set[str] = set()
        self._line: ProgressLine | None = None
        self.broken = False

    def played(self, result: ReplayResult) -> None:
        """Report a call against a server."""
        self._report(result, result_lines(result, self._style))

    def said(self, result: ApplicationResult) -> None:
        """Report a call of a client."""
        self._report(result, application_lines(result, self._style))

    def notice(self, notice: CaptureNotice) -> None:
        """Say what is wrong with the capture."""
        self._make_room()
        write_message(printable(f"{self._name}: {notice}"))

    def total(self, totals: ReplayTotals) -> None:
        """Sum up, where there was more than one call."""
        if totals.played > 1 and not (self._presentation.json or self._presentation.quiet):
            self._write(totals_line(totals, self._style))

    def _report(self, result: ReplayResult | ApplicationResult, lines: Iterator[str]) -> None:
        shown = not (self._presentation.json or self._presentation.quiet)
        if self._presentation.json:
            self._write(json.dumps(result.as_json()))
        elif shown and result.connected:
            self._write("\n".join(lines))
        if isinstance(result, ReplayResult) and not (shown and result.connected):
            self._complain(result.error)

    def _complain(self, error: str) -> None:
        """Say an error, once: many calls may fail alike."""
        if error and error not in self._errors and len(self._errors) < MAX_ERRORS:
            self._errors.add(error)
            self._make_room()
            write_message(printable(error))

    @asynccontextmanager
    async def progress(self, describe: Callable[[], str]) -> AsyncIterator[None]:
        """Show on stderr how it goes, where that is a terminal."""
        if self._presentation.quiet or not can_draw(sys.stderr, os.environ):
            yield
            return
        self._line = ProgressLine(sys.stderr, describe)
        async with self._line.drawn():
            yield
        self._line = None

    def _write(self, text: str) -> None:
        self._make_room()
        self.broken = self.broken or not write_stdout(text + "\n")

    def leave(self) -> None:
        """Give the terminal back, for an end that can't wait."""
        if self._line is not None:
            self._line.leave()

    def _make_room(self) -> None:
        if self._line is not None:
            self._line.clear()
