"""Which sessions of a capture are listen calls, and what the other sessions are."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from listenctl.errors import ListenctlError
from listenctl.inspection.call_report import CallReport
from listenctl.terminal.printable_text import count_noun, printable

if TYPE_CHECKING:
    from listenctl.inspection.capture_contents import CaptureContents

_MOST_NAMED = 5
_MAX_NAME = 100


def is_call(report: CallReport) -> bool:
    """Return whether a session is a readable listen call, as far as is known."""
    session = report.session
    if session.is_listen is not None:
        return session.is_listen
    return bool(report.audio.messages or report.metadata)


def is_encrypted(report: CallReport) -> bool:
    """Return whether a session can't be read, so that its kind is unknown."""
    return bool(report.session.unreadable) and not is_call(report)


def describe_other_sessions(reports: Sequence[CallReport]) -> list[str]:
    """Return sentences about the sessions that are not calls."""
    encrypted = [report for report in reports if is_encrypted(report)]
    rest = [report for report in reports if not is_call(report) and not is_encrypted(report)]
    lines = []
    if rest:
        lines.append(f"{count_noun(len(rest), 'other WebSocket')}, not of the listen protocol: {_servers(rest)}")
    if encrypted:
        lines.append(f"{count_noun(len(encrypted), 'session')} under TLS can't be read: {_servers(encrypted)}")
        lines += sorted({printable(report.session.unreadable) for report in encrypted})[:_MOST_NAMED]
    return lines


def describe_files_without_calls(files: Sequence[str], reports: Sequence[CallReport]) -> list[str]:
    """Return a sentence about each file without a call; its sessions are described elsewhere."""
    return [f"{printable(path)}: no listen call in it{_instead(path, reports)}" for path in files]


def _instead(path: str, reports: Sequence[CallReport]) -> str:
    from listenctl.inspection.capture_contents import count_contents

    sessions = sum(report.session.source == path for report in reports)
    try:
        contents = count_contents(path) if path != "-" else None
    except ListenctlError:
        return ""
    if contents is None:
        return f", {count_noun(sessions, 'other session')}" if sessions else ""
    return f", {_describe(contents)}"


def _describe(contents: "CaptureContents") -> str:
    if not contents.packets:
        return "not even a packet"
    if not contents.connections:
        advice = "capture the port of the listen server, as in tcpdump -i any -w calls.pcap port 3000"
        return f"{count_noun(contents.packets, 'packet')} without anything said over TCP; {advice}"
    protocols = ", ".join(f"{number} of {name}" for name, number in sorted(contents.connections.items()))
    connections = count_noun(contents.connections.total(), "TCP connection")
    return f"{count_noun(contents.packets, 'packet')} in {connections}: {protocols}"


def _servers(reports: Sequence[CallReport]) -> str:
    servers = Counter(_name(report) for report in reports).most_common()
    return join_names([f"{name}{f' ({number})' if number > 1 else ''}" for name, number in servers])


def _name(report: CallReport) -> str:
    session = report.session
    return printable(f"{session.server or 'unknown'}{session.target or ''}", _MAX_NAME)


def join_names(names: Sequence[str]) -> str:
    """Return the first of many names, and how many more there are."""
    more = len(names) - _MOST_NAMED
    return ", ".join([*names[:_MOST_NAMED], *([f"and {more} more"] if more > 0 else [])])
