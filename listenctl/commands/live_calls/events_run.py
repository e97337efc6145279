"""Print the events of a running server, as text or as JSON lines."""

import asyncio
import os
import sys
from typing import TYPE_CHECKING, TextIO

from listenctl.commands.live_calls.live_call_options import socket_of
from listenctl.errors import NotFoundError, TimedOutError
from listenctl.json_lines import ReportedEvent, json_line
from listenctl.live_client.control_client import follow_events
from listenctl.live_client.list_calls import PATIENCE, list_calls
from listenctl.protocol.find_named_call import LATEST
from listenctl.terminal.event_lines import PRINTED_EVENTS, format_event
from listenctl.terminal.printable_text import TextStyle
from listenctl.terminal.standard_streams import write_line, write_text_line

if TYPE_CHECKING:
    from listenctl.commands.live_calls.events_command import EventsOptions

EVENTS = PRINTED_EVENTS | {"levels"}
"""All events of a server; levels have no text."""


async def run_events(options: "EventsOptions", out: TextIO) -> int:
    """
    Print the events of a server until it ends; return the exit status.

    Raises:
        NotFoundError: the server isn't running, or it has no call that ``@latest`` could mean.
        RefusedError: the server doesn't answer.
        TimedOutError: no matching event arrived in time.
    """
    style = TextStyle.of_stream(out, os.environ)
    path, call, patience = socket_of(options), options.call, options.timeout
    # Following starts before the latest call is looked up, so that none of its events are missed.
    answering = PATIENCE if patience is None else min(patience, PATIENCE)
    async with follow_events(path, patience=answering) as reports:
        if call == LATEST:
            listing = await asyncio.to_thread(lambda: list_calls(path, patience=answering))
            if not listing.calls:
                raise NotFoundError("there is no live call")
            call = listing.calls[-1].id
        try:
            async with asyncio.timeout(patience) as limit:
                async for report in reports:
                    if not _is_wanted(report, options, call):
                        continue
                    if options.json:
                        write_line(out, json_line(report))
                    else:
                        write_text_line(out, format_event(report, style))
                    out.flush()
                    if patience is not None:
                        limit.reschedule(asyncio.get_running_loop().time() + patience)
        except TimeoutError as exc:
            raise TimedOutError(f"no event within {patience:g} s") from exc
    sys.stderr.write("listenctl: the server has ended\n")
    return 0


def _is_wanted(report: ReportedEvent, options: "EventsOptions", call: str | None) -> bool:
    """Return whether to print an event; ``call`` is the prefix of a call's id or callSid, None for all calls."""
    event = report.get("event")
    if (options.event and event not in options.event) or not (options.json or event in PRINTED_EVENTS):
        return False
    ids = (report.get("call"), report.get("call_sid"))
    return call is None or any(isinstance(name, str) and name.startswith(call) for name in ids)
