"""Calls and other sessions of a capture."""

from dataclasses import replace
from pathlib import Path

import pytest

from listenctl.capture.capture_events import CapturedSession
from listenctl.commands.inspect.captured_sessions import (
    describe_files_without_calls,
    describe_other_sessions,
    files_not_read,
    is_call,
)
from listenctl.inspection.call_report import CallReport
from tests.helpers.inspected import MadeUp, new_session
from tests.helpers.pcap import Packet, TcpDialog, pcap


def unknown(session: CapturedSession) -> CallReport:
    """Return the report of a session without messages."""
    return MadeUp(session=session, metadata=None).end(1.0)


def test_other_sessions_are_listed_by_server() -> None:
    other, hidden = new_session(), new_session(request=None, number=2, server="10.0.0.9:443")
    other.is_listen, other.target = False, "/chat"
    hidden.encrypted, hidden.unreadable = True, "no secrets; --keylog FILE"

    reports = [unknown(other), unknown(hidden), unknown(replace(hidden, number=3))]
    assert [is_call(report) for report in reports] == [False, False, False]
    assert describe_other_sessions(reports) == [
        "another WebSocket session: 127.0.0.1:3000/chat",
        "2 TLS sessions can't be decrypted: 10.0.0.9:443/x (2)",
        "no secrets; --keylog FILE",
    ]


def test_files_without_calls_that_were_not_read_completely_are_listed() -> None:
    call, hidden = MadeUp(session=new_session(source="call")).end(1.0), unknown(new_session(source="hidden"))
    other = unknown(new_session(source="other"))
    hidden.session.is_listen, hidden.session.unreadable = None, "no secrets"
    other.session.is_listen = False
    hidden_beside = unknown(replace(hidden.session, source="call"))

    reports = [call, hidden, other, hidden_beside]
    assert files_not_read(reports, {"call"}) == ["hidden"]
    assert files_not_read(reports, {"other"}) == ["hidden", "other"]


@pytest.mark.parametrize(
    ("dialog", "contents"),
    [
        (None, "the capture is empty"),
        (TcpDialog(), "3 packets without TCP data; capture the port of the listen server"),
        (TcpDialog().open().client(b"GET / HTTP/1.1\r\n\r\n"), "in 1 TCP connection: 1 of HTTP"),
        (TcpDialog().open().client(b"\x16\x03\x01\x00\x05hello"), "in 1 TCP connection: 1 of TLS"),
        (TcpDialog().open().server(b"220 mail ready"), "in 1 TCP connection: 1 of something else"),
    ],
    ids=["empty", "no data", "http", "tls", "mail"],
)
def test_file_without_calls_is_described_by_its_contents(
    dialog: TcpDialog | None, contents: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.pcap"
    path.write_bytes(pcap(dialog.packets or [Packet(1.0, bytes(60))] * 3 if dialog else []))

    (line,) = describe_files_without_calls([str(path)], [])
    assert line.startswith(f"{path}: no listen call found, ")
    assert contents in line


@pytest.mark.parametrize(
    ("link_type", "size", "contents"),
    [
        (239, 1000, "all 5 packets of a link type that is not read"),
        (1, 54, "5 packets without their data"),
        (1, 30, "5 packets without TCP data; capture the port of the listen server"),
    ],
)
def test_packets_that_are_not_read_are_no_reason_to_capture_another_port(
    link_type: int, size: int, contents: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.pcap"
    packets = TcpDialog().open().client(b"GET / HTTP/1.1\r\n\r\n").packets
    cut = [Packet(one.at, one.data[:size], len(one.data)) for one in packets]
    path.write_bytes(pcap(cut, link_type=link_type))

    (line,) = describe_files_without_calls([str(path)], [])
    assert line.startswith(f"{path}: no listen call found, {contents}")
