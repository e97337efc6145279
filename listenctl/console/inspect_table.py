"""The calls of a capture as a table, for people and as CSV."""

import csv
import io
from collections.abc import Sequence

from listenctl.console.call_table import unique_prefixes
from listenctl.console.inspect_summary import clock_time
from listenctl.console.inspect_words import SEVERITY_COLORS, count
from listenctl.console.text import Look, cells, duration, pad, printable, sample_rate
from listenctl.inspection.report import CallReport
from listenctl.inspection.rules import Severity
from listenctl.inspection.table import table_row

_HEADINGS = ("CALL", "FROM", "TO", "BEGAN", "TIME", "AUDIO", "COMPLETE", "PLAYED", "KEYS", "END", "PROBLEMS")
_MAX_PARTY, _MAX_KEYS, _MAX_RULE = 20, 12, 40
_SPACE = "  "
_NOUNS = {Severity.ERROR: "error", Severity.WARNING: "warning"}


def table(reports: Sequence[CallReport], look: Look, columns: int | None) -> list[str]:
    """
    Return a heading and a line for each call.

    Args:
        columns: what fits; ids are cut to unique prefixes, and lines at the right. None is any width.
    """
    names = [printable(report.call) for report in reports]
    rows = [(name, *_row(report)) for name, report in zip(names, reports, strict=True)]
    widths = _widths(rows)
    if columns is not None and sum(widths) + len(_SPACE) * (len(widths) - 1) > columns:
        short = unique_prefixes(names)
        rows = [(short[name], *rest) for name, *rest in rows]
        widths = _widths(rows)
    lines = [_laid_out(row, widths) for row in (_HEADINGS, *rows)]
    heading, *lines = lines if columns is None else [look.cut(line, columns) for line in lines]
    painted = [_painted(line, report, look) for line, report in zip(lines, reports, strict=True)]
    return [look.paint(heading, "1"), *painted]


def csv_lines(reports: Sequence[CallReport], *, heading: bool) -> str:
    """Return the table as CSV, one row for each call (`listenctl-inspect(5)`)."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for report in reports:
        row = table_row(report)
        if heading:
            writer.writerow(row)
            heading = False
        writer.writerow([printable(cell) if isinstance(cell, str) else cell for cell in row.values()])
    return text.getvalue()


def _row(report: CallReport) -> tuple[str, ...]:
    metadata, close = report.metadata, report.close
    mix = (metadata.mix_type if metadata else None) or count(report.audio_format.channels, "channel")
    complete = report.completeness
    words = (
        _party(metadata.caller if metadata else None),
        _party(metadata.callee if metadata else None),
        clock_time(report.session.began),
        duration(report.seconds),
        f"{sample_rate(report.audio_format.sample_rate)} {mix}" if report.audio.samples else "none",
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
    if report.stream_seconds:
        return f"{report.stream_seconds:.1f} s"
    return count(len(report.clips), "clip") if report.clips else "-"


def _problems(report: CallReport) -> str:
    counts = [
        count(number, noun)
        for severity, noun in _NOUNS.items()
        if (number := sum(one.severity is severity for one in report.violations))
    ]
    if not counts:
        return "-"
    worst = next(one.rule for one in report.violations if one.severity is report.worst)
    return f"{', '.join(counts)}: {printable(worst, _MAX_RULE)}"


def _painted(line: str, report: CallReport, look: Look) -> str:
    worst = report.worst
    return look.paint(line, SEVERITY_COLORS[worst]) if worst in _NOUNS else line


def _widths(rows: Sequence[tuple[str, ...]]) -> list[int]:
    return [max(map(cells, column)) for column in zip(_HEADINGS, *rows, strict=True)]


def _laid_out(row: tuple[str, ...], widths: Sequence[int]) -> str:
    return _SPACE.join(map(pad, row, widths)).rstrip()
