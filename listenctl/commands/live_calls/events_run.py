"""Print the events of a running server, as text or as JSON lines."""

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from listenctl.errors import NotFoundError, TimedOutError
from listenctl.json_lines import json_line
from listenctl.live_client.control_client import follow_events
from listenctl.live_client.list_calls import PATIENCE, ServerEvent, list_calls
from listenctl.protocol.find_named_call import LATEST
from listenctl.terminal.event_lines import PRINTED_EVENTS, format_event
from listenctl.terminal.printable_text import TextStyle
from listenctl.terminal.standard_streams import write_line

EVENTS = PRINTED_EVENTS | {"levels"}
"""All events of a server; levels have no text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events to print."""

    call: str | None = None  # prefix of a call's id or callSid; None is all calls
    kinds: frozenset[str] = frozenset()  # names of events; empty is all of them

    def matches(self, report: ServerEvent) -> bool:
        if self.kinds and report.get("event") not in self.kinds:
            return False
        ids = (report.get("call"), report.get("call_sid"))
        return self.call is None or any(isinstance(name, str) and name.startswith(self.call) for name in ids)


async def run_events(
    path: Path, event_filter: EventFilter, out: TextIO, *, as_json: bool, patience: float | None = None
) -> int:
    """
    Print the events of the server at ``path`` until it ends; return the exit status.

    Args:
        patience: seconds without a matching event until it gives up.

    Raises:
        NotFoundError: no server is running there, or it has no call that ``@latest`` could mean.
        RefusedError: the server doesn't answer.
        TimedOutError: no event for ``patience`` seconds.
    """
    style = TextStyle.of_stream(out, os.environ)
    # Following starts before the latest call is looked up, so that none of its events are missed.
    answering = PATIENCE if patience is None else min(patience, PATIENCE)
    async with follow_events(path, patience=answering) as reports:
        if event_filter.call == LATEST:
            listing = await asyncio.to_thread(lambda: list_calls(path, patience=answering))
            if not listing.calls:
                raise NotFoundError("there is no live call")
            event_filter = EventFilter(call=listing.calls[-1].id, kinds=event_filter.kinds)
        try:
            async with asyncio.timeout(patience) as limit:
                async for report in reports:
                    if not event_filter.matches(report) or not (as_json or report.get("event") in PRINTED_EVENTS):
                        continue
                    write_line(out, json_line(report) if as_json else format_event(report, style))
                    out.flush()
                    if patience is not None:
                        limit.reschedule(asyncio.get_running_loop().time() + patience)
        except TimeoutError as exc:
            raise TimedOutError(f"no event within {patience:g} s") from exc
    sys.stderr.write("listenctl: the server has ended\n")
    return 0
