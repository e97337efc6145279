"""``listenctl events``: follow what happens at a running server."""

import asyncio
import sys
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Annotated

import typer

from listenctl.commands.live_calls.recipient_options import ServerNameOptions, check_call, socket_of
from listenctl.commands.shared_options import OUTPUT, option, with_options
from listenctl.errors import UsageError

if TYPE_CHECKING:
    from listenctl.commands.live_calls.events_run import EventFilter

app = typer.Typer(add_completion=False)


@dataclass(frozen=True, kw_only=True)
class EventsOptions(ServerNameOptions):
    """All options of ``events``."""

    call: Annotated[
        str | None,
        option("Only of one call: its id or callSid, the beginning of either, or @latest.", panel=OUTPUT),
    ] = None
    event: Annotated[
        list[str] | None,
        option("Only one kind, such as dtmf; repeatable.", panel=OUTPUT, metavar="KIND"),
    ] = None
    timeout: Annotated[
        float | None, option("Give up when nothing came for so many seconds (status 124).", panel=OUTPUT, min=0.001)
    ] = None
    json: Annotated[bool, option("Print each event as a JSON line.", "--json", panel=OUTPUT)] = False


def events(options: EventsOptions) -> int:
    """Follow the events of a running server until it ends."""
    from listenctl.commands.live_calls.events_run import run_events

    socket, wanted = socket_of(options), filter_of(options)
    if not isfinite(options.timeout or 0.0):
        raise UsageError("--timeout must be a number of seconds")
    return asyncio.run(run_events(socket, wanted, sys.stdout, as_json=options.json, patience=options.timeout))


app.command()(with_options(EventsOptions, events))


def filter_of(options: EventsOptions) -> "EventFilter":
    """
    Understand which events are wanted.

    Raises:
        UsageError: there is no such kind of event, or it can't be shown.
    """
    from listenctl.commands.live_calls.events_run import EVENTS, EventFilter

    if options.call is not None:
        check_call(options.call)
    kinds = frozenset(options.event or ())
    if unknown := sorted(kinds - EVENTS):
        raise UsageError(f"--event {unknown[0]}: is no event; there are {', '.join(sorted(EVENTS))}")
    if "levels" in kinds and not options.json:
        raise UsageError("levels are for programs; give --json, too")
    return EventFilter(call=options.call, kinds=kinds)
