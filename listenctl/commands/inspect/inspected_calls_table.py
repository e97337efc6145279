"""The calls of a capture as a table: aligned columns or CSV."""

import csv
import io
from collections.abc import Callable, Sequence

from listenctl.commands.inspect.inspected_call_summary import SEVERITY_COLORS, clock_time
from listenctl.commands.live_calls.calls_view import unique_prefixes
from listenctl.inspection.call_report import CallReport
from listenctl.protocol.jambonz_model.rule_catalogue import Severity
from listenctl.terminal.printable_text import (
    TextStyle,
    cell_width,
    count_noun,
    format_duration,
    format_rate,
    lay_out,
    printable,
)

_HEADINGS = ("CALL", "FROM", "TO", "BEGAN", "TIME", "AUDIO", "COMPLETE", "PLAYED", "KEYS", "END", "PROBLEMS")
_MAX_PARTY, _MAX_KEYS, _MAX_RULE = 20, 12, 40
_LEFT_OUT = ("PLAYED", "KEYS", "TO", "FROM", "BEGAN", "AUDIO", "TIME", "COMPLETE")
"""Columns to omit on a narrow terminal, in this order."""
_SHORT_PARTY, _CLOCK, _ROOM_FOR_PROBLEMS = 6, len("10:59:59"), 24
_SPACE = "  "
Grid = dict[str, list[str]]
"""Columns by their headings; the first cell is the heading."""
_NOUNS = {Severity.ERROR: "error", Severity.WARNING: "warning"}


def inspected_calls_table(reports: Sequence[CallReport], style: TextStyle, columns: int | None) -> list[str]:
    """
    Return a heading and a line for each call.

    Args:
        columns: available width; the END and PROBLEMS columns are never omitted. None doesn't limit it.
    """
    rows = [_HEADINGS, *map(_row, reports)]
    grid = dict(zip(_HEADINGS, map(list, zip(*rows, strict=True)), strict=True))
    if columns is not None:
        _fit(grid, columns, style)
    lines = lay_out(list(zip(*grid.values(), strict=True)))
    heading, *lines = lines if columns is None else [style.cut(line, columns) for line in lines]
    painted = [_painted(line, report, style) for line, report in zip(lines, reports, strict=True)]
    return [style.paint(heading, "1"), *painted]


def _fit(grid: Grid, columns: int, style: TextStyle) -> None:
    """Shorten ids to unique prefixes, then numbers and dates, then omit columns."""
    ids = grid["CALL"][1:]
    short = unique_prefixes(ids)
    steps: list[Callable[[], object]] = [
        lambda: grid.update(CALL=["CALL", *(short[name] for name in ids)]),
        *(
            lambda name=name: grid.update({name: [_tail(cell, style) for cell in grid[name]]})
            for name in ("FROM", "TO")
        ),
        lambda: grid.update(
            BEGAN=["BEGAN", *(cell[-_CLOCK:] if cell[0].isdigit() else "unknown" for cell in grid["BEGAN"][1:])]
        ),
        *(lambda name=name: grid.pop(name) for name in _LEFT_OUT),
    ]
    for step in steps:
        if _total(grid) <= columns:
            return
        step()


def _tail(cell: str, style: TextStyle) -> str:
    """Keep the end of a phone number, where numbers differ."""
    if cell_width(cell) <= _SHORT_PARTY:
        return cell
    return ("…" if style.unicode else "~") + cell[-_SHORT_PARTY + 1 :]


def _total(grid: Grid) -> int:
    """Return the required width, with limited room for problems."""
    widths = {name: max(map(cell_width, column)) for name, column in grid.items()}
    widths["PROBLEMS"] = min(widths["PROBLEMS"], _ROOM_FOR_PROBLEMS)
    return sum(widths.values()) + len(_SPACE) * (len(widths) - 1)


def csv_lines(reports: Sequence[CallReport], *, heading: bool) -> str:
    """Return the table as CSV, one row for each call (`listenctl-inspect(5)`)."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for report in reports:
        row = report.table_row()
        if heading:
            writer.writerow(row)
            heading = False
        writer.writerow([printable(cell) if isinstance(cell, str) else cell for cell in row.values()])
    return text.getvalue()


def _row(report: CallReport) -> tuple[str, ...]:
    metadata, close = report.metadata, report.close
    mix = (metadata.mix_type if metadata else None) or count_noun(report.audio_format.channels, "channel")
    complete = report.completeness
    words = (
        report.call,
        _party(metadata.caller if metadata else None),
        _party(metadata.callee if metadata else None),
        clock_time(report.session.began),
        format_duration(report.seconds),
        f"{format_rate(report.audio_format.sample_rate)} {mix}" if report.audio.samples else "none",
        f"{complete.share:.1%}" if complete.complete is False else "yes" if complete.complete else "?",
        _played(report),
        "".join(key.digit for key in report.keys if key.channel is None)[-_MAX_KEYS:] or "-",
        f"{close['by'] or 'nobody'} {close['code'] or ''}".strip(),
        _problems(report),
    )
    return tuple(map(printable, words))


def _party(value: object) -> str:
    return printable(str(value or "unknown"), _MAX_PARTY)


def _played(report: CallReport) -> str:
    if report.stream and (seconds := report.stream["seconds"]):
        return f"{seconds:.1f} s"
    return count_noun(len(report.clips), "clip") if report.clips else "-"


def _problems(report: CallReport) -> str:
    counts = [
        count_noun(number, noun)
        for severity, noun in _NOUNS.items()
        if (number := sum(one.severity is severity for one in report.violations))
    ]
    if not counts:
        return "-"
    worst = next(one.rule for one in report.violations if one.severity is report.worst)
    return f"{', '.join(counts)}: {printable(worst, _MAX_RULE)}"


def _painted(line: str, report: CallReport, style: TextStyle) -> str:
    worst = report.worst
    return style.paint(line, SEVERITY_COLORS[worst]) if worst in _NOUNS else line
