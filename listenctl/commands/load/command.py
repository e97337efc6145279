"""``listenctl load``: place many simulated calls and measure the server."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from listenctl.commands.connection_options import ConnectionOptions, target_of
from listenctl.commands.shared_options import OUTPUT, option, run_async, with_options
from listenctl.errors import UsageError

if TYPE_CHECKING:
    from listenctl.load.plan import LoadPlan

LOAD, CHECKS = "Load", "Checks"


@dataclass(frozen=True, kw_only=True)
class LoadOptions(ConnectionOptions):
    """All options of ``load``."""

    url: Annotated[str, typer.Argument(help="Server, ws:// or wss://")]
    calls: Annotated[int, option("Number of calls", panel=LOAD, min=1)] = 10
    hold: Annotated[float, option("Seconds that each call lasts", panel=LOAD, min=0.02)] = 10.0
    arrivals: Annotated[
        float | None, option("Calls that start per second [default: 50]", panel=LOAD, metavar="NUMBER", min=0.001)
    ] = None
    ramp: Annotated[
        float | None,
        option("Seconds in which all calls start, instead of --arrivals", panel=LOAD, metavar="SECONDS", min=0),
    ] = None
    mix: Annotated[
        str, option("Formats and their shares, such as 8000:mono*3,16000:stereo", panel=LOAD, metavar="FORMATS")
    ] = "8000:mono"
    streaming: Annotated[
        int | None,
        option("Play binary audio at this rate [default: playAudio only]", panel=LOAD, metavar="HZ", min=1000),
    ] = None
    timeout: Annotated[
        float | None, option("Hang up all calls after this many seconds and exit with status 124", panel=LOAD, min=0.1)
    ] = None
    echo_verify: Annotated[
        bool, option("Send a pattern and check its echo: delay, loss, order, gain", "--echo-verify", panel=CHECKS)
    ] = False
    fail_if: Annotated[
        list[str] | None,
        option(
            "Exit with status 3 on a condition such as handshake.p99>300ms; repeatable",
            panel=CHECKS,
            metavar="CONDITION",
        ),
    ] = None
    json: Annotated[bool, option("Print the report as one JSON object", "--json", panel=OUTPUT)] = False
    per_call: Annotated[
        Path | None, option("Append a JSON line for each call to a file", panel=OUTPUT, metavar="FILE")
    ] = None
    quiet: Annotated[bool, option("Print only errors", "--quiet", "-q", panel=OUTPUT)] = False


def load(options: LoadOptions) -> int:
    """
    Place many simulated calls and measure the server.

    The report shows the handshake, the first audio, the marks, our lateness, and what the server read too late.
    """
    from listenctl.commands.load.run import STDOUT, run_load

    if options.per_call == STDOUT and (options.json or not options.quiet):
        raise UsageError("--per-call -: stdout already has the report; give a file, or --quiet without --json")
    plan = plan_of(options)
    return run_async(run_load(plan, as_json=options.json, per_call=options.per_call, quiet=options.quiet))


command = with_options(LoadOptions, load)


def plan_of(options: LoadOptions) -> "LoadPlan":
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
