"""
Print the story of calls: as it happens, or call by call with each problem beside its cause.

A problem is often known later than it happened. So calls that are read from a file are told when they have ended.
"""

from collections.abc import Callable
from typing import assert_never

from listenctl.capture.capture_events import CapturedSession
from listenctl.commands.inspect.call_narrative import Item
from listenctl.commands.inspect.inspected_call_summary import head_of
from listenctl.commands.inspect.listen_calls import is_call
from listenctl.commands.inspect.narrative_lines import (
    WIDTH,
    in_order,
    item_report,
    ladder_head,
    ladder_line,
    timeline_line,
)
from listenctl.commands.inspect.output_layouts import Form
from listenctl.inspection.call_observers import CallObserver
from listenctl.inspection.call_report import CallReport
from listenctl.json_lines import json_line
from listenctl.terminal.printable_text import TextStyle

MAX_HELD = 50_000
"""Items of one call that wait for its end; of a longer one they are told before."""

Write = Callable[[str], None]


class StoryPrinter(CallObserver):
    """
    Print the items that a ``Story`` tells; it has to get the end of a call after that.

    Args:
        write: takes each line.
        columns: to which lines are cut; None is any width.
        live: print at once, with the number of the session before each line.
    """

    def __init__(self, write: Write, form: Form, style: TextStyle, *, columns: int | None, live: bool) -> None:
        self._write = write
        self._form = form
        self._style = style
        self._columns = columns
        self._live = live
        self._held: dict[CapturedSession, list[Item]] = {}
        self._begun: set[CapturedSession] = set()
        self._printed = 0

    def tell(self, session: CapturedSession, item: Item) -> None:
        """Take an item."""
        if session.is_listen is False:
            return
        if self._live:
            prefix = "" if self._form is Form.JSON else f"#{session.number} "
            self._write(prefix + self._line(session, item, None, len(prefix)))
            return
        held = self._held.setdefault(session, [])
        held.append(item)
        if len(held) >= MAX_HELD:
            self._head(session, f"session {session.number}, which is long")
            self._flush(session, None)

    def on_call_finished(self, session: CapturedSession, report: CallReport) -> None:
        """Print what has waited for the end."""
        if is_call(report) and session in self._held:
            self._head(session, head_of(report))
            self._flush(session, report.mode.stream_rate if report.mode else None)
        self._held.pop(session, None)
        self._begun.discard(session)

    def _head(self, session: CapturedSession, text: str) -> None:
        if self._form is Form.JSON or session in self._begun:
            return
        self._begun.add(session)
        self._write(("\n" if self._printed else "") + self._style.paint(text, "1"))
        self._printed += 1
        if self._form is Form.LADDER:
            self._write(ladder_head(self._style, self._columns or WIDTH))

    def _flush(self, session: CapturedSession, stream_rate: int | None) -> None:
        for item in in_order(self._held.pop(session)):
            self._write(self._line(session, item, stream_rate, 0))

    def _line(self, session: CapturedSession, item: Item, stream_rate: int | None, taken: int) -> str:
        columns = None if self._columns is None else self._columns - taken
        match self._form:
            case Form.JSON:
                return json_line(item_report(session, item))
            case Form.LADDER:
                return ladder_line(item, self._style, columns or WIDTH, stream_rate)
            case Form.TIMELINE:
                return timeline_line(item, self._style, columns, stream_rate)
        assert_never(self._form)
