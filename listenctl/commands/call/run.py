"""Run a simulated call: events, live view, keys, signals, summary, and the exit status."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from listenctl.background_task import background_task
from listenctl.commands.call.call_summary import summarize_call
from listenctl.commands.call.view import SimulatedCallView
from listenctl.commands.connection_options import ReportOptions
from listenctl.errors import ExitStatus, TimedOutError, signal_status
from listenctl.events import Reporter, WarningEvent
from listenctl.json_lines import JsonObject
from listenctl.simulator.plan import CallPlan
from listenctl.simulator.simulated_call import SimulatedCall
from listenctl.simulator.simulated_call_log import SimulatedCallResult
from listenctl.simulator.simulated_call_socket import call_socket
from listenctl.terminal.event_lines import PRINTED_EVENTS, LogLevel, describe_end
from listenctl.terminal.event_output import EventOutput
from listenctl.terminal.keypresses import KeypressReader, can_read_keys
from listenctl.terminal.standard_streams import reserve_stderr, wrapped_text, write_stdout
from listenctl.terminal.stderr_log import LogSettings, displayed_events
from listenctl.terminal.stop_signals import stop_at_signals

MAX_VERDICTS = 20_000
"""Verdicts kept for the summary; after them, as many wrong ones again."""


async def run_call(
    plan: CallPlan,
    options: ReportOptions,
    calls: Path | None = None,
    *,
    describe: Callable[[JsonObject, list[JsonObject], int | None], str] = summarize_call,
) -> int:
    """
    Place a call and wait for its end; return the exit status.

    Args:
        calls: folder in which other processes find the call, to press its keys; None hides it.
        describe: makes the final text from the last event, all verdicts, and the rate of the server's audio if it is a
            stream.

    Raises:
        RefusedError: the server can't be reached or refuses the call.
        ListenctlError: a file or device can't be used.
    """
    with ExitStack() as closing:
        if plan.speaker is not None or plan.has_microphone:
            reserve_stderr()
        reporter = Reporter()
        call = SimulatedCall(plan, reporter)
        outcome = _Outcome(reporter)
        output = EventOutput(reporter, partial(_hang_up_on_output_error, call), closing)
        output.open(stdout=options.json, file=options.events)
        display = displayed_events(
            reporter,
            lambda style: SimulatedCallView(call.snapshot, sys.stderr, style, keys=_keys(call)),
            drawn=PRINTED_EVENTS,
            settings=LogSettings(level=LogLevel.ERROR if options.quiet or options.json else LogLevel.INFO),
        )
        async with (
            background_task(call.run()) as placing,
            _published(call, reporter, calls),
            display as restore_terminal,
        ):
            interrupts = stop_at_signals(call.interrupt, restore_terminal)
            try:
                result = await placing
            except asyncio.CancelledError:
                return signal_status(interrupts[0] if interrupts else signal.SIGINT)
        printed = True
        if outcome.ended is not None:
            text = describe(outcome.ended, outcome.verdicts, outcome.stream_rate)
            printed = options.json or options.quiet or write_stdout(wrapped_text(sys.stdout, text))
    written = printed and not output.broken
    return _status(plan, result, interrupts) or (0 if written else ExitStatus.FAILED)


async def run_send_dtmf(plan: CallPlan, options: ReportOptions, *, patience: float) -> int:
    """
    Place a call that presses the keys of its plan; return 0 if the server accepted all of them.

    Args:
        patience: seconds in total.

    Raises:
        RefusedError: the server can't be reached or refuses the call.
        TimedOutError: the server didn't accept all keys in time; the call is ended then.
    """
    wanted = "".join(key.digit for key in plan.dtmf_presses)
    accepted = False

    def describe(ended: JsonObject, _verdicts: list[JsonObject], _stream_rate: int | None) -> str:
        nonlocal accepted
        accepted = bool(ended["taken"]) and ended["digits"] == wanted
        if accepted:
            return f"{wanted}: accepted by {plan.target.address}\n"
        return f"{wanted}: NOT accepted, {ended['digits'] or 'none'} sent; {describe_end(ended)}\n"

    late = TimedOutError(f"{wanted}: not accepted by the server within {patience:g} s")
    try:
        async with asyncio.timeout(patience) as limit:
            status = await run_call(plan, options, describe=describe)
    except TimeoutError as exc:
        raise late from exc
    # A cancelled call ends in order, like an interrupted one.
    if limit.expired():
        raise late
    return status if status or accepted else ExitStatus.FAILED


def _status(plan: CallPlan, result: SimulatedCallResult, interrupts: list[int]) -> int:
    if result.wrong or result.lost_samples:
        return ExitStatus.CHECK_FAILED
    # An endless call is done when the user hangs up.
    if interrupts and (plan.duration is not None or not _is_endless(plan)):
        return signal_status(interrupts[0])
    ends_call = any("end" in fault.kind.decides for fault in plan.faults)
    return 0 if result.taken or ends_call else ExitStatus.FAILED


def _is_endless(plan: CallPlan) -> bool:
    return plan.loop or plan.caller.partition(":")[0] in ("silence", "tone", "mic")


class _Outcome:
    """The events of a call that its summary needs."""

    def __init__(self, reporter: Reporter) -> None:
        self.ended: JsonObject | None = None
        self.stream_rate: int | None = None
        self.verdicts: list[JsonObject] = []
        reporter.add_sink(self._add_event, frozenset(("call-started", "verdict", "call-ended")))

    def _add_event(self, event: JsonObject) -> None:
        if event["event"] == "call-ended":
            self.ended = event
        elif event["event"] == "call-started":
            rate = event["stream_rate"]
            self.stream_rate = rate if isinstance(rate, int) else None
        elif len(self.verdicts) < MAX_VERDICTS * (1 + bool(event["wrong"])):
            self.verdicts.append(event)


def _hang_up_on_output_error(call: SimulatedCall) -> str:
    call.hang_up()
    return "the call is ended"


@asynccontextmanager
async def _published(call: SimulatedCall, reporter: Reporter, calls: Path | None) -> AsyncIterator[None]:
    def warn(detail: str) -> None:
        call_sid, trace_id = call.metadata.call_sid, call.metadata.trace_id
        event = WarningEvent(rule="no-call-socket", detail=detail)
        reporter.emit(event, call=call_sid, call_sid=call_sid, trace_id=trace_id)

    if calls is None:
        yield
        return
    async with call_socket(calls, call, warn):
        yield


def _keys(call: SimulatedCall) -> KeypressReader | None:
    """Return the reader of the phone's keys, unless stdin is the caller's audio."""
    if call.plan.caller == "-" or not can_read_keys(sys.stdin):
        return None
    return KeypressReader(sys.stdin.fileno(), call.press_digit, call.interrupt)
