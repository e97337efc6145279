"""``listenctl events``: print the events of a running server."""

import sys
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from listenctl.commands.live_calls.live_call_options import ServerNameOptions, check_call
from listenctl.commands.shared_options import check_finite, option, output, run_async, waiting, with_options
from listenctl.errors import UsageError

selection = partial(option, panel="Selection")


@dataclass(frozen=True, kw_only=True)
class EventsOptions(ServerNameOptions):
    """All options of ``events``."""

    call: Annotated[
        str | None,
        selection("Only events of this call: its id or callSid, a prefix of either, or @latest", metavar="CALL"),
    ] = None
    event: Annotated[
        list[str] | None, selection("Only events of this kind, such as dtmf; repeatable", metavar="KIND")
    ] = None
    timeout: Annotated[
        float | None, waiting("Exit with status 124 if no event arrives for this many seconds", min=0.001)
    ] = None
    json: Annotated[bool, output("Print each event as a JSON line")] = False


def events(options: EventsOptions) -> int:
    """Print the events of a running server as they happen."""
    from listenctl.commands.live_calls.events_run import EVENTS, run_events

    if options.call is not None:
        check_call(options.call)
    if unknown := sorted(set(options.event or ()) - EVENTS):
        raise UsageError(f"--event {unknown[0]}: unknown event; there are {', '.join(sorted(EVENTS))}")
    if "levels" in (options.event or ()) and not options.json:
        raise UsageError("levels are printed as JSON only; add --json")
    check_finite(timeout=options.timeout)
    return run_async(run_events(options, sys.stdout))


command = with_options(EventsOptions, events)
