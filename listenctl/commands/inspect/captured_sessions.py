"""Tell listen calls from the other sessions of a capture, and describe those."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from listenctl.errors import ListenctlError
from listenctl.inspection.call_report import CallReport
from listenctl.terminal.printable_text import count_noun, printable

if TYPE_CHECKING:
    from listenctl.inspection.capture_contents import CaptureContents

_MOST_NAMED = 5
_MAX_NAME = 100
_FRAME_FAULTS = {"frame-masking", "frame-opcode", "frame-reserved-bits", "frame-control"}


def is_call(report: CallReport) -> bool:
    """Return whether a session is a readable listen call, judged by its content if the handshake is missing."""
    session = report.session
    if session.is_listen is not None:
        return session.is_listen
    # Binary data of other protocols can look like a few frames.
    looks_alike = session.started_midway and not _FRAME_FAULTS.isdisjoint(report.counts)
    return bool(report.audio.messages) and not looks_alike


def is_no_websocket(report: CallReport) -> bool:
    """Return whether another protocol, captured from its middle on, only looks like a few frames of one side."""
    heard = report.audio.messages or report.texts or report.commands or report.metadata
    return report.session.started_midway and not is_call(report) and not heard


def is_encrypted(report: CallReport) -> bool:
    """Return whether a session can't be decrypted, so that its protocol is unknown."""
    return bool(report.session.unreadable) and not is_call(report)


def files_not_read(reports: Sequence[CallReport], incomplete: Collection[str]) -> list[str]:
    """
    Return the files with sessions that can't be decrypted, or that are ``incomplete``, as far as they have no calls:
    calls may be in what was not read.
    """
    with_calls = {report.session.source for report in reports if is_call(report)}
    hidden = [report.session.source for report in reports if is_encrypted(report)]
    return [path for path in dict.fromkeys([*hidden, *incomplete]) if path not in with_calls]


def describe_other_sessions(reports: Sequence[CallReport]) -> list[str]:
    """Return sentences about the sessions that are not calls."""
    encrypted = [report for report in reports if is_encrypted(report)]
    rest = [one for one in reports if not (is_call(one) or is_encrypted(one) or is_no_websocket(one))]
    lines = []
    if rest:
        what = "another WebSocket session" if len(rest) == 1 else f"{len(rest)} other WebSocket sessions"
        lines.append(f"{what}: {_servers(rest)}")
    if encrypted:
        lines.append(f"{count_noun(len(encrypted), 'TLS session')} can't be decrypted: {_servers(encrypted)}")
        lines += sorted({printable(report.session.unreadable) for report in encrypted})[:_MOST_NAMED]
    return lines


def describe_files_without_calls(files: Sequence[str], reports: Sequence[CallReport]) -> list[str]:
    """Return a sentence about what each file without a call contains instead."""
    return [f"{printable(path)}: no listen call found{_contents(path, reports)}" for path in files]


def _contents(path: str, reports: Sequence[CallReport]) -> str:
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
        return "the capture is empty"
    if contents.unread == contents.packets:
        return f"all {count_noun(contents.packets, 'packet')} of a link type that is not read"
    if not contents.has_data:
        advice = "capture the port of the listen server, for example with tcpdump -i any -w calls.pcap port 3000"
        return f"{count_noun(contents.packets, 'packet')} without TCP data; {advice}"
    protocols = ", ".join(f"{number} of {name}" for name, number in sorted(contents.connections.items()))
    connections = count_noun(contents.connections.total(), "TCP connection")
    if not contents.connections:
        return f"{count_noun(contents.packets, 'packet')} without their data"
    return f"{count_noun(contents.packets, 'packet')} in {connections}: {protocols}"


def _servers(reports: Sequence[CallReport]) -> str:
    servers = Counter(_name(report) for report in reports).most_common()
    return join_names([f"{name}{f' ({number})' if number > 1 else ''}" for name, number in servers])


def _name(report: CallReport) -> str:
    session = report.session
    return printable(f"{session.server or 'unknown'}{session.target or ''}", _MAX_NAME)


def join_names(names: Sequence[str]) -> str:
    """Return the first names and the number of the others."""
    more = len(names) - _MOST_NAMED
    return ", ".join([*names[:_MOST_NAMED], *([f"and {more} more"] if more > 0 else [])])
