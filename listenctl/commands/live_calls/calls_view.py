"""The live calls of a server as a table."""

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from itertools import pairwise
from typing import TYPE_CHECKING, NoReturn, TextIO

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
from listenctl.terminal.screen import Screen, TerminalSize, terminal_size
from listenctl.terminal.standard_streams import write_line
from listenctl.terminal.stop_signals import STOP_SIGNALS

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


def watch_calls(list_calls: Callable[[], "CallListing"], stream: TextIO) -> NoReturn:
    """Draw the calls every second, until interrupted or until the server ends."""
    style = TextStyle.of_stream(stream, os.environ)
    with closing(Screen(stream, style, clock=time.monotonic)) as screen:
        signal.signal(signal.SIGTSTP, lambda *_: _suspend(screen))
        for stop in STOP_SIGNALS:
            signal.signal(stop, lambda number, _: sys.exit(signal_status(number)))
        while True:
            _draw(screen, list_calls(), style)
            time.sleep(_WATCH_INTERVAL)


def _draw(screen: Screen, listing: "CallListing", style: TextStyle) -> None:
    screen.draw_lines(lambda size, _: screen_lines(listing, style, size))


def screen_lines(listing: "CallListing", style: TextStyle, size: TerminalSize) -> list[str]:
    """Return a line about the server and the table; calls that don't fit are counted."""
    columns, rows = size
    server = listing.server
    recording = ", recording" if server.recording else ""
    head = style.cut(f"{server.url}: {len(listing.calls)} live{recording}", columns)
    lines = live_calls_table(listing, style, columns)
    room = max(1, rows - 1)
    if len(lines) > room:
        lines = [*lines[: room - 1], style.cut(f"and {len(lines) - room + 1} more", columns)]
    return [head, *lines]


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


def _suspend(screen: Screen) -> None:
    screen.close()
    os.kill(os.getpid(), signal.SIGSTOP)
