"""The live calls of a server as a table."""

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, TextIO

from listenctl.errors import signal_status
from listenctl.json_lines import json_line
from listenctl.terminal.printable_text import (
    TextStyle,
    cell_width,
    format_duration,
    format_rate,
    format_seconds,
    lay_out,
    printable,
)
from listenctl.terminal.screen import TerminalSize, terminal_size
from listenctl.terminal.scrolled_rows import ScrolledRows
from listenctl.terminal.standard_streams import write_line
from listenctl.terminal.stop_signals import stop_at_signals

if TYPE_CHECKING:
    from listenctl.call_listing import CallListing, ListedCall

_HEADINGS = ("CALL", "FROM", "TO", "TIME", "AUDIO", "KEYS", "MISSING", "TOOLS", "RECORDING")
_MAX_PARTY, _MAX_KEYS = 24, 12
_SHORT_ID = 8
_WATCH_INTERVAL = 1.0


def print_calls(listing: "CallListing", stream: TextIO, *, as_json: bool) -> None:
    """Print the calls once, as JSON or as a table."""
    if as_json:
        write_line(stream, json_line(listing.serialize()))
        return
    columns = terminal_size(stream)[0] if stream.isatty() else None
    for line in live_calls_table(listing, TextStyle.of_stream(stream, os.environ), columns):
        write_line(stream, line)


async def watch_calls(list_calls: Callable[[], "CallListing"], stream: TextIO) -> int:
    """Draw the calls every second, until interrupted, until the server ends, or until q is pressed."""
    import asyncio

    from listenctl.terminal.keypresses import KeypressReader, can_read_keys
    from listenctl.terminal.live_view import LiveView

    style = TextStyle.of_stream(stream, os.environ)
    stopped = asyncio.Event()
    has_keys = can_read_keys(sys.stdin)
    scroll = ScrolledRows(has_keys=has_keys)
    keys = KeypressReader(sys.stdin.fileno(), lambda _: None, stopped.set, scroll.press_key) if has_keys else None
    listing = await asyncio.to_thread(list_calls)
    view = LiveView(stream, style, lambda size, _: screen_lines(listing, style, size, scroll), keys)
    received = stop_at_signals(stopped.set, view.close)
    async with view.drawn():
        while not stopped.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stopped.wait(), _WATCH_INTERVAL)
                break
            listing = await asyncio.to_thread(list_calls)
    return signal_status(received[0]) if received else 0


def screen_lines(
    listing: "CallListing", style: TextStyle, size: TerminalSize, scroll: ScrolledRows | None = None
) -> list[str]:
    """Return a line about the server and the table; if not all calls fit, those that lack audio come first."""
    columns, rows = size
    scroll = scroll or ScrolledRows()
    server, calls = listing.server, listing.calls
    recording = ", recording" if server.recording else ""
    head = style.cut(f"{server.url}: {len(calls)} live{recording}", columns)
    room = max(0, rows - 2)
    if len(calls) > room:
        calls = sorted(calls, key=lambda call: call.gap_seconds <= 0)
    heading, *lines = live_calls_table(replace(listing, calls=calls), style, columns)
    shown = scroll.visible(len(lines), room)
    others = scroll.count_others(shown, len(lines), columns, style)
    return [head, heading, *lines[shown.start : shown.stop], *others][: max(0, rows)]


def live_calls_table(listing: "CallListing", style: TextStyle, columns: int | None) -> list[str]:
    """
    Return a heading and a line for each call, oldest first, or one line if there are none.

    Args:
        columns: available width; ids are cut to unique prefixes, and columns at the right are omitted. None doesn't
            limit it.
    """
    if not listing.calls:
        return ["no live calls"[:columns]]
    rows = [_HEADINGS, *(_row(call, style) for call in listing.calls)]
    if columns is None:
        return lay_out(rows)
    if _width(rows) > columns:
        short = unique_prefixes([id_ for id_, *_ in rows[1:]])
        rows = [_HEADINGS, *((short[id_], *rest) for id_, *rest in rows[1:])]
    while _width(rows) > columns and len(rows[0]) > 1:
        rows = [row[:-1] for row in rows]
    heading, *lines = (style.cut(line, columns) for line in lay_out(rows))
    return [style.paint(heading, "1"), *lines]


def _width(rows: Sequence[Sequence[str]]) -> int:
    return max(map(cell_width, lay_out(rows)))


def unique_prefixes(ids: Sequence[str]) -> dict[str, str]:
    """Return a unique prefix of each id, of at least 8 characters."""
    ordered = sorted(ids)
    # Ids with the same beginning are neighbours.
    shared = [_common_length(one, other) for one, other in pairwise(ordered)]
    return {
        one: one[: max(_SHORT_ID, before + 1, after + 1)]
        for one, before, after in zip(ordered, [-1, *shared], [*shared, -1], strict=True)
    }


def _common_length(one: str, other: str) -> int:
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _row(call: "ListedCall", style: TextStyle) -> tuple[str, ...]:
    cells = (
        call.id,
        style.cut(str(call.caller or "unknown"), _MAX_PARTY),
        style.cut(str(call.callee or "unknown"), _MAX_PARTY),
        format_duration(call.duration),
        f"{format_rate(call.sample_rate) if call.sample_rate else '?'} {call.layout}",
        call.digits[-_MAX_KEYS:] or "-",
        format_seconds(call.gap_seconds) if call.gap_seconds else "-",
        call.attached or "-",
        call.recording or "-",
    )
    return tuple(style.encodable(printable(str(cell))) for cell in cells)
