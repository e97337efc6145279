"""Calls and other sessions of a capture."""

from dataclasses import replace
from pathlib import Path

import pytest

from listenctl.capture.capture_events import CapturedSession
from listenctl.commands.inspect.captured_sessions import describe_files_without_calls, describe_other_sessions, is_call
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
        "1 WebSocket session of other protocols: 127.0.0.1:3000/chat",
        "2 TLS sessions can't be decrypted: 10.0.0.9:443/x (2)",
        "no secrets; --keylog FILE",
    ]


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
