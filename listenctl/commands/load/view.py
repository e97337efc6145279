"""A load as text: the progress line, and the report as a table."""

from collections.abc import Callable, Iterator, Mapping

from listenctl.load.load_call_outcome import LoadCallEnding
from listenctl.load.measure_echo import EchoResult
from listenctl.load.report import LoadReport
from listenctl.load.run_load import LoadSnapshot
from listenctl.percentiles import Summary
from listenctl.terminal.printable_text import (
    BOLD,
    GREEN,
    RED,
    TextStyle,
    count_noun,
    format_duration,
    format_size,
    printable,
)

_COLUMNS = ("p50", "p95", "p99", "max")
_LABEL, _CELL = 14, 11
_TIMES = {
    "handshake": "Handshake",
    "first-audio": "First audio",
    "mark": "Mark answered",
    "lateness": "Our lateness",
}
_MAX_PROBLEMS = 8
_TOO_SLOW = "this machine was too slow for this many calls; do not trust these figures"


def load_progress(snapshot: LoadSnapshot) -> str:
    parts = [
        format_duration(snapshot.elapsed),
        f"{snapshot.placed} of {snapshot.planned} calls placed",
        f"{snapshot.live} live",
        f"{snapshot.over} ended",
        f"{snapshot.failed} failed",
    ]
    if snapshot.lost_samples:
        parts.append(f"{snapshot.lost_samples} samples lost")
    return ", ".join(parts)


def report_text(report: LoadReport, style: TextStyle) -> str:
    return "".join(f"{line}\n" for line in _lines(report, style))


def _lines(report: LoadReport, style: TextStyle) -> Iterator[str]:
    yield _line("Server", printable(report.url))
    yield _line("Calls", _calls(report))
    yield _line("Formats", ", ".join(f"{count} of {name}" for name, count in sorted(report.formats.items())))
    yield _line("Duration", f"{report.seconds:.1f} s, {report.frames} frames sent")
    if report.close_codes:
        yield _line("Closed", ", ".join(_closes(report)))
    if report.connected:
        yield from _measured(report, style)
    yield from _problems(report, style)
    yield ""
    for outcome in report.outcomes:
        word = style.paint("passed", GREEN) if outcome.ok else style.paint("FAILED", RED)
        yield _line("Fail if", f"{printable(outcome.text)}: {word} ({outcome.detail})")


def _measured(report: LoadReport, style: TextStyle) -> Iterator[str]:
    yield ""
    yield style.paint("".join((" " * _LABEL, *(f"{name:>{_CELL}}" for name in _COLUMNS))), BOLD)
    for name, label in _TIMES.items():
        yield _row(label, report.distributions[name], lambda value: f"{value * 1000:.1f} ms")
    yield _row("Unread", report.distributions["unread"], format_size)
    yield _line("Lost", f"{count_noun(report.lost_samples, 'sample')} that the server did not read in time")
    if report.ignoring_calls:
        calls = count_noun(report.ignoring_calls, "call")
        yield _line("Ignored", f"streamed audio in {calls}; use --streaming to play it")
    if report.ignored_clip_calls:
        calls = count_noun(report.ignored_clip_calls, "call")
        yield _line("Ignored", f"playAudio in {calls}; jambonz does not play clips in a call that streams")
    if report.echo is not None:
        yield from _echo(report.echo)
    if report.too_slow:
        yield _line("Too slow", style.paint(_TOO_SLOW, RED))


def _closes(report: LoadReport) -> Iterator[str]:
    for code, count in report.close_codes.most_common():
        yield f"{count} without a code" if code == "none" else f"{count} with {code}"


def _calls(report: LoadReport) -> str:
    endings = report.endings
    parts = [f"{report.placed} of {report.planned} placed", f"{report.connected} connected"]
    parts += [f"{endings[ending]} {word}" for ending, word in _ENDINGS.items() if endings[ending]]
    return ", ".join(parts)


_ENDINGS: Mapping[LoadCallEnding, str] = {
    LoadCallEnding.COMPLETE: "complete",
    LoadCallEnding.EARLY: "ended by the server",
    LoadCallEnding.CUT: "cut short",
    LoadCallEnding.FAILED: "failed",
    LoadCallEnding.CANCELLED: "abandoned",
}


def _echo(echo: EchoResult) -> Iterator[str]:
    yield _row("Echo delay", echo.delay, lambda value: f"{value * 1000:.1f} ms")
    yield _row("Echo gain", echo.gain, lambda value: f"{value:.1f} dB")
    counts = f"{echo.lost} of {echo.sent} blocks of 20 ms lost, {echo.missed_at_start} of them at the start"
    yield _line("Echo", f"{counts}; {echo.out_of_order} out of order, {echo.repeated} repeated")
    if echo.inverted:
        yield _line("", f"{echo.inverted} blocks came back inverted")


def _problems(report: LoadReport, style: TextStyle) -> Iterator[str]:
    if not report.problems:
        return
    yield ""
    for problem, count in report.problems.most_common(_MAX_PROBLEMS):
        yield _line("Failed", f"{style.paint(str(count), RED)} x {printable(problem)}")
    if len(report.problems) > _MAX_PROBLEMS:
        yield _line("", f"and {len(report.problems) - _MAX_PROBLEMS} other reasons, in the output of --json")


def _row(label: str, summary: Summary | None, write: Callable[[float], str]) -> str:
    if summary is None:
        return f"{label:<{_LABEL}}{'none':>{_CELL}}"
    return f"{label:<{_LABEL}}" + "".join(f"{write(getattr(summary, name)):>{_CELL}}" for name in _COLUMNS)


def _line(label: str, text: str) -> str:
    return f"{label:<{_LABEL}}{text}"
