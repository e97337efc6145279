"""Reports as a table, one row for each call (`listenctl-inspect(5)`)."""

from listenctl.events import timestamp
from listenctl.inspection.call_report import CallReport
from listenctl.inspection.rule_catalogue import Severity

Cell = str | int | float | None


def table_row(report: CallReport) -> dict[str, Cell]:
    """Return the columns of a call by name, in their order; None where something isn't known."""
    metadata, rate = report.metadata, report.audio_format.sample_rate
    completeness, close = report.completeness, report.close
    violations = [one.severity for one in report.violations]
    code, by = close["code"], close["by"]
    return {
        "call": report.call,
        "source": report.session.source,
        "number": report.session.number,
        "started": timestamp(report.session.began),
        "seconds": round(report.seconds, 3),
        "from": metadata.caller if metadata else None,
        "to": metadata.callee if metadata else None,
        "direction": metadata.direction if metadata else None,
        "sample_rate": rate,
        "mix_type": metadata.mix_type if metadata else None,
        "audio_seconds": round(completeness.received / rate, 3),
        "lost_seconds": round(completeness.lost / rate, 3),
        "paused_seconds": round(completeness.paused / rate, 3),
        "uncaptured_seconds": round(completeness.uncaptured / rate, 3),
        "completeness": None if completeness.share is None else round(completeness.share, 6),
        "dtmf": "".join(key.digit for key in report.keys if key.channel is None),
        "marks": len(report.marks),
        "clips": len(report.clips),
        "stream_seconds": report.stream_seconds,
        "closed_by": by if isinstance(by, str) else None,
        "close_code": code if isinstance(code, int) else None,
        "errors": violations.count(Severity.ERROR),
        "warnings": violations.count(Severity.WARNING),
        "rules": " ".join(sorted(report.counts)),
    }
