"""The summary of one captured call: parties, time, completeness, messages, and problems."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from textwrap import wrap

from listenctl.capture.capture_events import CapturedSession
from listenctl.inspection.call_report import CallReport
from listenctl.inspection.message_checks.arrival_times import MeasuredDrift
from listenctl.inspection.message_checks.jambonz_message_checks import DtmfRecord
from listenctl.inspection.message_checks.mark_and_clip_records import ClipRecord, MarkRecord
from listenctl.inspection.rule_violations import Violation
from listenctl.percentiles import Histogram
from listenctl.protocol.gaps.gap import Gap, GapKind
from listenctl.protocol.jambonz_model.rule_catalogue import RULES, Severity
from listenctl.terminal.printable_text import (
    BOLD,
    CYAN,
    DIM,
    RED,
    YELLOW,
    TextStyle,
    count_noun,
    format_exact_moment,
    format_moment,
    format_rate,
    format_seconds,
    printable,
)

SEVERITY_COLORS = {Severity.ERROR: RED, Severity.WARNING: YELLOW, Severity.INFO: CYAN}
_NARROWEST = 40
_MOST_RULES = 12
_MAX_DETAIL = 300


def problem_lines(report: CallReport, style: TextStyle, columns: int | None) -> list[str]:
    """Return a line and a remedy for each broken rule, most severe first."""
    grouped = _by_rule(report.violations)
    lines = [
        line for violations in grouped[:_MOST_RULES] for line in _problem(violations, report.counts, style, columns)
    ]
    more = len(grouped) - _MOST_RULES
    return [*lines, f"  and {more} more rules broken; --json has all"] if more > 0 else lines


def _by_rule(violations: Iterable[Violation]) -> list[list[Violation]]:
    rules: dict[str, list[Violation]] = {}
    for violation in violations:
        rules.setdefault(violation.rule, []).append(violation)
    return sorted(rules.values(), key=lambda same: (min(one.severity.rank for one in same), same[0].at))


def tally(report: CallReport) -> str:
    """Return the number of problems by severity."""
    counts = Counter[Severity]()
    for rule, number in report.counts.items():
        worst = min((one.severity for one in report.violations if one.rule == rule), key=lambda one: one.rank)
        counts[worst] += number
    words = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
    return (
        ", ".join(count_noun(counts[severity], words[severity]) for severity in Severity if counts[severity])
        or "none found"
    )


def _problem(
    violations: Sequence[Violation], counts: dict[str, int], style: TextStyle, columns: int | None
) -> list[str]:
    first = min(violations, key=lambda one: one.severity.rank)
    number = counts.get(first.rule, len(violations))
    times = f", {number} times" if number > 1 else ""
    head = f"  {first.severity} {first.rule}, {first.sender}, {_place_of(first)}{times}: "
    text = f"{head}{printable(first.detail, _MAX_DETAIL)}"
    lines = _wrapped(text, columns, "    ")
    label = str(first.severity)
    lines[0] = lines[0].replace(label, style.paint(label, SEVERITY_COLORS[first.severity]), 1)
    advice = RULES[first.rule].remedy if first.rule in RULES else ""
    return [*lines, *(style.paint(line, DIM) for line in _wrapped(f"    {advice}", columns, "    "))]


_LABEL = 9
_MOST_GAPS = 5
_MOST_CLIPS = 6
_MOST_KEYS = 12
_MAX_PARTY = 60
_MAX_ID = 32


def summarize_inspected_call(report: CallReport, style: TextStyle, columns: int | None = None) -> list[str]:
    """
    Return the lines of a summary.

    Args:
        columns: width of lines; None doesn't limit it.
    """
    head = style.paint(_cut(heading_of(report), style, columns), BOLD)
    body = [line for label, text in _facts(report) if text for line in _labelled(label, text, style, columns)]
    return [head, *body, *_labelled("problems", tally(report), style, columns), *problem_lines(report, style, columns)]


def _facts(report: CallReport) -> Iterator[tuple[str, str]]:
    yield "when", _when(report)
    yield "audio", _audio(report)
    yield "arrival", _arrival(report)
    yield from (("", _gap(gap, report)) for gap in report.gaps[:_MOST_GAPS])
    if len(report.gaps) > _MOST_GAPS:
        yield "", f"and {len(report.gaps) - _MOST_GAPS} more gaps"
    yield "keys", _keys(report.keys)
    yield "played", _stream(report)
    yield "clips", _clip_counts(report)
    yield from (("", _clip(clip)) for clip in report.clips[:_MOST_CLIPS])
    if len(report.clips) > _MOST_CLIPS:
        yield "", f"and {len(report.clips) - _MOST_CLIPS} more; --json has all"
    yield "marks", _marks(report.marks)
    yield "commands", _counts(report.commands)
    yield "texts", _counts(report.texts)
    yield "pings", _pings(report)
    yield "end", _end(report)


def heading_of(report: CallReport) -> str:
    metadata = report.metadata
    parties = ""
    if metadata and (metadata.caller or metadata.callee):
        caller, callee = (printable(str(one or "unknown"), _MAX_PARTY) for one in (metadata.caller, metadata.callee))
        direction = f", {printable(metadata.direction, _MAX_ID)}" if metadata.direction else ""
        parties = f"  {caller} → {callee}{direction}"
    return f"{printable(report.call)}{parties}"


def _when(report: CallReport) -> str:
    began = clock_time(report.session.began)
    return f"{began} for {format_seconds(report.seconds)}, {where(report.session)}"


def clock_time(at: float) -> str:
    """Return a Unix time as local time."""
    try:
        return f"{datetime.fromtimestamp(at).astimezone():%Y-%m-%d %H:%M:%S}" if at > 0 else "at an unknown time"
    except (ValueError, OverflowError, OSError):
        return "at an unknown time"


def where(session: CapturedSession) -> str:
    client, server = (printable(end, _MAX_PARTY) or "unknown" for end in (session.client, session.server))
    target = f" {printable(session.target, _MAX_PARTY)}" if session.target else ""
    proxy = f" through {printable(session.proxy, _MAX_PARTY)}" if session.proxy else ""
    return f"{client}{proxy} → {server}{target}{', TLS' if session.encrypted else ''}"


def _audio(report: CallReport) -> str:
    if not report.audio.samples:
        unknown = report.completeness.unknown
        return f"none from jambonz{f' as far as is known: {unknown}' if unknown else ''}"
    known = report.metadata.mix_type if report.metadata else None
    mix = known or count_noun(report.audio_format.channels, "channel")
    seconds = report.audio_format.duration_of(report.audio.samples)
    return f"{format_rate(report.audio_format.sample_rate)} {mix}, {seconds:.2f} s, {_completeness(report)}"


def _completeness(report: CallReport) -> str:
    complete, rate = report.completeness, report.audio_format.sample_rate
    missing = [
        f"{samples / rate:.2f} s {what}"
        for samples, what in (
            (complete.lost, "lost by jambonz"),
            (complete.uncaptured, "missing in the capture"),
            (complete.paused, "paused"),
        )
        if samples
    ]
    if complete.share is None:
        return complete.unknown
    share = f"{complete.share:.2%} complete" if complete.complete is False else "complete"
    if complete.unknown and not complete.uncaptured:
        share += " as far as is known"
    return ", ".join([share, *missing])


def _arrival(report: CallReport) -> str:
    arrivals = report.arrivals
    if arrivals is None or arrivals.first is None:
        return ""
    words = [f"first after {arrivals.first:.2f} s, every {arrivals.intervals.quantile(0.5) * 1000:.0f} ms"]
    words.append(f"late by {_spread(arrivals.lateness)}")
    if report.drift:
        words.append(_clock(report.drift))
    return ", ".join(words)


def _clock(drift: MeasuredDrift) -> str:
    pace = "slow" if drift.ppm > 0 else "fast"
    return f"clock {abs(drift.ppm):.1f} ± {drift.uncertainty:.1f} ppm {pace}"


def _spread(spread: Histogram) -> str:
    middle, most = (spread.quantile(share) * 1000 for share in (0.5, 0.99))
    return f"{middle:.1f} ms (p50), {most:.1f} (p99), {spread.highest * 1000:.1f} (max)"


def _gap(gap: Gap, report: CallReport) -> str:
    words = {
        GapKind.HOLE: "lost",
        GapKind.PAUSE: "paused",
        GapKind.UNKNOWN: "unknown",
        GapKind.REFUSED: "refused",
        GapKind.BURST: "late",
        GapKind.LATE_START: "late start",
        GapKind.UNCAPTURED: "not captured",
    }
    least = "at least " if gap.at_least else ""
    at = format_moment(gap.position / report.audio_format.sample_rate)
    return f"{words[gap.kind]} {least}{gap.length:.2f} s at {at}"


def _keys(keys: Sequence[DtmfRecord]) -> str:
    shown = [f"{printable(key.digit, 1)} at {format_moment(key.at)}{_source(key)}" for key in keys[:_MOST_KEYS]]
    more = len(keys) - _MOST_KEYS
    return ", ".join([*shown, f"and {more} more"] if more > 0 else shown)


def _source(key: DtmfRecord) -> str:
    if key.channel is not None:
        return f" (detected on channel {key.channel})"
    return f" ({key.duration_ms:.0f} ms)" if key.duration_ms else ""


def _stream(report: CallReport) -> str:
    mode, stream = report.mode, report.stream
    if stream is None:
        return ""
    messages = f"in {count_noun(stream['messages'], 'message')}"
    size = f"{stream['bytes']} bytes {messages}"
    if mode is None or not mode.streams:
        return f"{size} of binary audio, which jambonz doesn't play in this call"
    seconds = stream["seconds"]
    length = f"{seconds:.2f} s streamed" if seconds is not None else size
    words = [f"{length} at {format_rate(mode.stream_rate)} (by the {_SOURCES.get(mode.source, mode.source)})"]
    words.append(f"{messages}, up to {stream['ahead_max']} s ahead")
    if stream["underruns"]:
        words.append(f"{count_noun(stream['underruns'], 'underrun')} of {stream['underrun_seconds']} s")
    return ", ".join(words)


_ENDINGS = {
    "fin": "the connection was closed",
    "rst": "the connection was reset",
    "reset by receiver": "the connection was reset",
    "capture": "the capture ends earlier",
}
_SOURCES = {
    "pace": "pace of the audio",
    "marks": "answers to marks",
    "received": "rate of the received audio",
}


def _clip_counts(report: CallReport) -> str:
    if not report.clips:
        return ""
    results = Counter(clip.result for clip in report.clips)
    words = (("done", "played to the end"), ("killed", "killed"), (None, "without a playDone"))
    return ", ".join([f"{len(report.clips)} sent", *(f"{results[how]} {text}" for how, text in words if results[how])])


def _clip(clip: ClipRecord) -> str:
    name = printable(str(clip.id), _MAX_ID) if clip.id is not None else "without id"
    kind = printable(str(clip.command.get("audio_content_type") or "no type"), _MAX_ID)
    length = f"{clip.seconds:.2f} s" if clip.seconds is not None else "unreadable"
    rate = f" at {format_rate(clip.decoded_rate)}" if clip.decoded_rate else ""
    queued = ", queued" if clip.command.get("queue_play") is True else ""
    reason = f" ({printable(clip.reason, _MAX_ID)})" if clip.reason else ""
    done = f"{clip.result} at {format_moment(clip.done)}{reason}" if clip.done is not None else "no playDone"
    verdicts = [verdict for verdict in clip.verdicts if verdict != clip.result]
    wrong = f", {', '.join(verdicts)}" if verdicts else ""
    return f"{format_moment(clip.at)}  {name}: {kind}{rate}, {length}{queued}; {done}{wrong}"


def _marks(marks: Sequence[MarkRecord]) -> str:
    if not marks:
        return ""
    results = Counter(printable(mark.result, _MAX_ID) if mark.result else "unanswered" for mark in marks)
    words = [f"{len(marks)} sent", *(f"{number} {result}" for result, number in results.most_common(5))]
    trips = sorted(mark.round_trip for mark in marks if mark.round_trip is not None)
    if trips:
        words.append(f"answered after {trips[0]:.2f} to {trips[-1]:.2f} s")
    return ", ".join(words)


def _counts(counts: dict[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{number} {printable(kind, _MAX_ID)}" for kind, number in ordered)


def _pings(report: CallReport) -> str:
    words = []
    for sender, pings in report.pings.items():
        if pings["sent"]:
            delay = pings["delay_ms"]
            took = f", after {delay['p50']} ms (p50), {delay['max']} (max)" if delay else ""
            words.append(f"{pings['sent']} by {sender}, {pings['answered']} answered{took}")
    return "; ".join(words)


def _end(report: CallReport) -> str:
    close = report.close
    how, by = close["connection"], close["by"]
    if close["time"] is None:
        ending = _ENDINGS.get(str(how), printable(str(how or "unknown"), _MAX_PARTY))
        ending = ending if report.session.without_control else f"no Close; {ending}"
        return f"{ending}, by {by}" if by else ending
    code = close["code"] or "without a code"
    reason = f" {printable(close['reason'], _MAX_PARTY)!r}" if close["reason"] else ""
    answered = "" if close["answered"] is None else ", answered" if close["answered"] else ", not answered"
    return f"closed{f' by {by}' if by else ''} ({code}{reason}){answered}"


def _labelled(label: str, text: str, style: TextStyle, columns: int | None) -> list[str]:
    indent = " " * (_LABEL + 2)
    lines = _wrapped(f"  {label.ljust(_LABEL)}{text}", columns, indent)
    return [style.paint(lines[0][: _LABEL + 2], DIM) + lines[0][_LABEL + 2 :], *lines[1:]]


def _cut(text: str, style: TextStyle, columns: int | None) -> str:
    return text if columns is None else style.cut(text, columns)


def _place_of(violation: Violation) -> str:
    packet = f" (packet {violation.packet})" if violation.packet is not None else ""
    return f"at {format_exact_moment(violation.at)}{packet}"


def _wrapped(text: str, columns: int | None, indent: str) -> list[str]:
    if columns is None or len(text) <= columns:
        return [text]
    return wrap(text, max(columns, _NARROWEST), subsequent_indent=indent)
