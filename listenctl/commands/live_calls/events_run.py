"""Print the events of a running server, as text or as JSON lines."""

import asyncio
import os
import sys
from collections.abc import Callable
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
    """
    Which events to show.

    Attributes:
        call: prefix of a call's id or callSid; None is all calls.
        kinds: names of events; empty is all of them.
    """

    call: str | None = None
    kinds: frozenset[str] = frozenset()

    def takes(self, report: ServerEvent) -> bool:
        """Return whether an event is to be shown."""
        if self.kinds and report.get("event") not in self.kinds:
            return False
        ids = (report.get("call"), report.get("call_sid"))
        return self.call is None or any(isinstance(one, str) and one.startswith(self.call) for one in ids)


async def run_events(
    path: Path, wanted: EventFilter, out: TextIO, *, as_json: bool, patience: float | None = None
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
    show = json_line if as_json else _human(out)
    # Following starts before the latest call is looked up, so that none of its events are missed.
    answering = PATIENCE if patience is None else min(patience, PATIENCE)
    async with follow_events(path, patience=answering) as reports:
        if wanted.call == LATEST:
            listing = await asyncio.to_thread(lambda: list_calls(path, patience=answering))
            if not listing.calls:
                raise NotFoundError("there is no live call")
            wanted = EventFilter(call=listing.calls[-1].id, kinds=wanted.kinds)
        try:
            async with asyncio.timeout(patience) as limit:
                async for report in reports:
                    if not wanted.takes(report) or not (as_json or _readable(report)):
                        continue
                    write_line(out, show(report))
                    out.flush()
                    if patience is not None:
                        limit.reschedule(asyncio.get_running_loop().time() + patience)
        except TimeoutError as exc:
            raise TimedOutError(f"no event came within {patience:g} s") from exc
    sys.stderr.write("listenctl: the server has ended\n")
    return 0


def _readable(report: ServerEvent) -> bool:
    return report.get("event") in PRINTED_EVENTS


def _human(out: TextIO) -> Callable[[ServerEvent], str]:
    style = TextStyle.of_stream(out, os.environ)
    return lambda report: format_event(report, style)
