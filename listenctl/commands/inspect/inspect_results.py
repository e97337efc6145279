"""The printed results of an inspection: a summary of one call, a table of several, JSON lines or CSV."""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

from listenctl.commands.inspect.captured_sessions import is_call, is_no_websocket
from listenctl.commands.inspect.inspected_call_summary import summarize_inspected_call
from listenctl.inspection.call_report import CallReport
from listenctl.json_lines import JsonObject, json_line
from listenctl.terminal.printable_text import TextStyle

if TYPE_CHECKING:
    from listenctl.inspection.sound_checks.call_sound import CallSoundReport

HINT = "use --call CALL for details"


class ResultLayout(StrEnum):
    PEOPLE = "people"
    JSON = "json"
    CSV = "csv"


class TimelineForm(StrEnum):
    TIMELINE = "timeline"
    LADDER = "ladder"
    JSON = "json"


class ResultPrinter:
    """Print reports on calls."""

    def __init__(
        self,
        write: Callable[[str], None],
        layout: ResultLayout,
        style: TextStyle,
        *,
        columns: int | None,
        sounds: "Mapping[int, CallSoundReport]",
        each: bool,
    ) -> None:
        self._write = write  # called with each line
        self._layout = layout
        self._style = style
        self._columns = columns  # width of lines; None doesn't limit it
        self._sounds = sounds  # audio reports by session number
        self._each = each  # print a summary of each call instead of a table
        self._printed: set[int] = set()

    def print_one(self, report: CallReport) -> None:
        """Print a call that has ended while others continue."""
        calls = is_call(report) or (self._layout is ResultLayout.JSON and not is_no_websocket(report))
        if calls and report.session.number not in self._printed:
            self._printed.add(report.session.number)
            self._print(report)

    def print_all(self, reports: Sequence[CallReport], *, at_once: bool) -> None:
        """Print all calls that aren't printed yet; ``at_once`` if calls are printed as they end."""
        calls = [report for report in reports if is_call(report)]
        if self._layout is ResultLayout.PEOPLE and not at_once and not self._each and len(calls) > 1:
            from listenctl.commands.inspect.inspected_calls_table import inspected_calls_table

            for line in (*inspected_calls_table(calls, self._style, self._columns), HINT):
                self._write(line)
            return
        for report in reports:
            self.print_one(report)

    def _describe(self, report: CallReport) -> JsonObject:
        sound = self._sounds.get(report.session.number)
        more = {"unreadable": report.session.unreadable or None, "sound": sound.to_json() if sound else None}
        return report.to_json() | more

    def _print(self, report: CallReport) -> None:
        match self._layout:
            case ResultLayout.JSON:
                self._write(json_line(self._describe(report)))
            case ResultLayout.CSV:
                from listenctl.commands.inspect.inspected_calls_table import csv_lines

                self._write(csv_lines([report], heading=len(self._printed) == 1).rstrip("\n"))
            case ResultLayout.PEOPLE:
                if len(self._printed) > 1:
                    self._write("")
                for line in summarize_inspected_call(report, self._style, self._columns):
                    self._write(line)
