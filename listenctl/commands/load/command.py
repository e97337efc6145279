"""``listenctl load``: place many simulated calls and measure the server."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from listenctl.commands.connection_options import ConnectionOptions, target_of
from listenctl.commands.shared_options import local_path, option, output, run_async, with_options
from listenctl.errors import UsageError

if TYPE_CHECKING:
    from listenctl.load.plan import LoadPlan

placing = partial(option, panel="Load")
checks = partial(option, panel="Checks")


@dataclass(frozen=True, kw_only=True)
class LoadOptions(ConnectionOptions):
    """All options of ``load``."""

    url: Annotated[str, typer.Argument(help="Server, ws:// or wss://")]
    calls: Annotated[int, placing("Number of calls", min=1)] = 10
    hold: Annotated[float, placing("Duration of each call in seconds", min=0.02)] = 10.0
    arrivals: Annotated[
        float | None, placing("Calls to start per second [default: 50]", metavar="NUMBER", min=0.001)
    ] = None
    ramp: Annotated[float | None, placing("Seconds over which to start all calls, instead of --arrivals", min=0)] = None
    mix: Annotated[str, placing("Formats and their shares, such as 8000:mono*3,16000:stereo", metavar="FORMATS")] = (
        "8000:mono"
    )
    streaming: Annotated[
        int | None, placing("Play binary audio at this rate [default: playAudio only]", metavar="HZ", min=1000)
    ] = None
    timeout: Annotated[
        float | None, placing("Hang up all calls after this many seconds and exit with status 124", min=0.1)
    ] = None
    echo_verify: Annotated[bool, checks("Send a pattern and check its echo: delay, loss, order, gain")] = False
    fail_if: Annotated[
        list[str] | None,
        checks(
            "Exit with status 3 if a condition is met, such as handshake.p99>300ms; repeatable", metavar="CONDITION"
        ),
    ] = None
    json: Annotated[bool, output("Print the report as one JSON object")] = False
    per_call: Annotated[
        Path | None, output("Append a JSON line for each call to a file", metavar="FILE", parser=local_path)
    ] = None
    quiet: Annotated[bool, output("Print only errors", "--quiet", "-q")] = False


def load(options: LoadOptions) -> int:
    """
    Place many simulated calls and measure the server.

    The report covers handshakes, first audio, marks, our own lateness, and what the server read too late.
    """
    from listenctl.commands.load.run import STDOUT, run_load

    if options.per_call == STDOUT and (options.json or not options.quiet):
        raise UsageError("--per-call -: stdout already has the report; give a file, or --quiet without --json")
    plan = make_load_plan(options)
    return run_async(run_load(plan, as_json=options.json, per_call=options.per_call, quiet=options.quiet))


command = with_options(LoadOptions, load)


def make_load_plan(options: LoadOptions) -> "LoadPlan":
    """
    Return the load to place; raises UsageError if a condition, a format or the URL can't be used, or two options
    contradict each other.
    """
    from listenctl.load.load_thresholds import Threshold
    from listenctl.load.plan import LoadPlan, parse_mix

    mix = parse_mix(options.mix)
    if options.echo_verify and any(share.format.mix_type == "stereo" for share in mix):
        raise UsageError("--echo-verify needs calls of one channel; leave stereo out of --mix")
    rates = sorted({share.format.sample_rate for share in mix} - {options.streaming})
    if options.echo_verify and options.streaming is not None and rates:
        raise UsageError(
            f"--echo-verify can't match calls of {rates[0]} Hz with an echo of --streaming {options.streaming}; "
            "give both the same rate, or leave --streaming out"
        )
    thresholds = [Threshold.parse(text) for text in options.fail_if or ()]
    if not options.echo_verify and any(one.metric.startswith("echo.") for one in thresholds):
        raise UsageError("--fail-if on an echo needs --echo-verify")
    return LoadPlan(
        target=target_of(options, options.url),
        calls=options.calls,
        hold=options.hold,
        arrivals=_arrivals(options),
        mix=mix,
        stream_rate=options.streaming,
        echo=options.echo_verify,
        thresholds=thresholds,
        timeout=options.timeout,
    )


def _arrivals(options: LoadOptions) -> float:
    from listenctl.load.plan import DEFAULT_ARRIVALS

    if options.ramp is None:
        return options.arrivals or DEFAULT_ARRIVALS
    if options.arrivals is not None:
        raise UsageError("--ramp and --arrivals both set how fast calls start; use one of them")
    return options.calls / options.ramp if options.ramp else float("inf")
