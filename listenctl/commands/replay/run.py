"""Run a replay: progress, signals, a report on each call, and the exit status."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence

from listenctl.capture.packets.packet_batches import CaptureNotice
from listenctl.commands.replay.view import application_lines, replay_progress, result_lines, totals_line
from listenctl.errors import ExitStatus, signal_status
from listenctl.json_lines import json_line
from listenctl.net.listening_sockets import raise_descriptor_limit
from listenctl.replay.plan import ApplicationPlan, ReplayPlan
from listenctl.replay.replay_results import ApplicationResult, ReplayResult, ReplayTotals
from listenctl.replay.replay_script import CapturedCall
from listenctl.replay.replay_server import ReplayServer
from listenctl.replay.run_replay import ReplayRun
from listenctl.terminal.printable_text import TextStyle, printable
from listenctl.terminal.progress_line import ProgressLine
from listenctl.terminal.standard_streams import wrapped_text, write_message, write_stdout
from listenctl.terminal.stop_signals import stop_at_signals

MAX_ERRORS = 20


async def run_replay(
    plan: ReplayPlan,
    calls: Sequence[CapturedCall],
    *,
    copies: int,
    rounds: int | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Replay the jambonz side of calls to a server; return the exit status."""
    raise_descriptor_limit(None)
    output = _Output(plan.capture.name, lambda: replay_progress(*replay.progress), as_json=as_json, quiet=quiet)
    replay = ReplayRun(
        plan,
        calls,
        copies=copies,
        rounds=rounds,
        on_result=output.print_replayed_call,
        on_notice=output.report_notice,
    )
    signals = stop_at_signals(replay.stop, output.line.leave)
    async with output.line.drawn():
        totals = await replay.run()
    output.print_totals(totals)
    if not signals and not totals.connected:
        return ExitStatus.REFUSED
    return _status(totals, signals, output)


async def run_application(
    plan: ApplicationPlan,
    calls: Sequence[CapturedCall],
    *,
    place: tuple[str, int],
    limit: int | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """
    Accept calls and replay the application to them; return the exit status. Raises ListenctlError if the address can't
    be used.
    """
    raise_descriptor_limit(None)
    output = _Output(plan.capture.name, as_json=as_json, quiet=quiet)
    server = ReplayServer(
        plan,
        calls,
        limit=limit,
        on_result=output.print_application_call,
        on_refused=lambda reason: write_message(f"refused a connection: it {reason}"),
        on_notice=output.report_notice,
    )
    host, port = place
    bound = await server.start(host, port)
    signals = stop_at_signals(server.stop, output.line.leave)
    if not quiet:
        shown = f"[{host}]" if ":" in host else host
        write_message(f"replaying {printable(plan.capture.name)} to clients of ws://{shown}:{bound}/")
    totals = await server.wait()
    output.print_totals(totals)
    return _status(totals, signals, output)


def _status(totals: ReplayTotals, signals: Sequence[int], output: "_Output") -> int:
    if signals:
        return signal_status(signals[0])
    if totals.ok < totals.played:
        return ExitStatus.CHECK_FAILED
    return ExitStatus.FAILED if output.write_failed else 0


class _Output:
    """Results on stdout, as text or JSON lines; damage of the capture and errors on stderr."""

    def __init__(
        self, name: str, describe_progress: Callable[[], str] | None = None, *, as_json: bool, quiet: bool
    ) -> None:
        self._json, self._quiet = as_json, quiet
        self._name = name
        self._style = TextStyle.of_stream(sys.stdout, os.environ)
        self._errors: set[str] = set()
        self.line = ProgressLine(describe_progress or str, quiet=quiet or describe_progress is None)
        self.write_failed = False

    def print_replayed_call(self, result: ReplayResult) -> None:
        self._report(result, result_lines(result, self._style))

    def print_application_call(self, result: ApplicationResult) -> None:
        self._report(result, application_lines(result, self._style))

    def report_notice(self, notice: CaptureNotice) -> None:
        self.line.clear()
        write_message(printable(f"{self._name}: {notice}"))

    def print_totals(self, totals: ReplayTotals) -> None:
        if totals.played > 1 and not (self._json or self._quiet):
            self._write(totals_line(totals, self._style))

    def _report(self, result: ReplayResult | ApplicationResult, lines: Iterator[str]) -> None:
        shown = not (self._json or self._quiet)
        if self._json:
            self._write(json_line(result.as_json()))
        elif shown and result.connected:
            self._write(wrapped_text(sys.stdout, "\n".join(lines)))
        if isinstance(result, ReplayResult) and not (shown and result.connected):
            self._report_error(result.error)

    def _report_error(self, error: str) -> None:
        """Report each distinct error once; many calls may fail the same way."""
        if error and error not in self._errors and len(self._errors) < MAX_ERRORS:
            self._errors.add(error)
            self.line.clear()
            write_message(printable(error))

    def _write(self, text: str) -> None:
        self.line.clear()
        self.write_failed = self.write_failed or not write_stdout(text + "\n")
