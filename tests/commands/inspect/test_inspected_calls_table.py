"""The calls of a capture as a table, and what is said of the rest."""

import csv
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest

from listenctl.capture.capture_events import CapturedSession
from listenctl.commands.inspect.captured_sessions import describe_files_without_calls, describe_other_sessions, is_call
from listenctl.commands.inspect.inspected_calls_table import csv_lines, table
from listenctl.inspection.call_report import CallReport
from listenctl.terminal.printable_text import TextStyle
from tests.helpers.inspected import MadeUp, capture_events, inspect, new_session
from tests.helpers.pcap import Packet, TcpDialog, pcap

PLAIN = TextStyle(color=False, unicode=True)


def real(name: str) -> CallReport:
    (report,) = inspect(capture_events(name))
    return report


def unknown(session: CapturedSession) -> CallReport:
    """Return the report of a session in which nothing was said."""
    return MadeUp(session=session, metadata=None).end(1.0)


def test_each_call_has_a_row() -> None:
    reports = [real("c2_bidir_stream8k_marks_nominus1"), real("e_playaudio_featureserver"), real("b_stereo16k_bridge")]

    heading, *rows = table(reports, PLAIN, None)
    assert heading.split()[:4] == ["CALL", "FROM", "TO", "BEGAN"]
    assert rows[0].split()[-3:] == ["3", "warnings:", "stream-tail-held"]
    assert "6 clips" in rows[1]
    assert "16k stereo" in rows[2]
    assert all("yes" in row.split() for row in rows)


def test_a_narrow_terminal_cuts_ids_to_what_tells_them_apart() -> None:
    reports = [real("c2_bidir_stream8k_marks_nominus1"), real("e_playaudio_featureserver")]

    lines = table(reports, PLAIN, 70)
    assert max(map(len, lines)) <= 70
    assert lines[1].startswith("12a72abe  ")


@pytest.mark.parametrize("columns", [60, 80, 100, 120])
def test_how_a_call_ended_and_what_went_wrong_has_room_on_any_terminal(columns: int) -> None:
    reports = [real("c2_bidir_stream8k_marks_nominus1"), real("e_playaudio_featureserver")]

    heading, first, second = table(reports, PLAIN, columns)
    assert max(map(len, (heading, first, second))) <= columns
    assert heading.split()[-2:] == ["END", "PROBLEMS"]
    assert "jambonz 1000  3 warnings: " in first
    assert second.endswith("jambonz 1000  -")


def test_numbers_are_told_apart_by_their_ends() -> None:
    reports = [real("c2_bidir_stream8k_marks_nominus1"), real("e_playaudio_featureserver")]

    assert "  …30001  …70002  " in table(reports, PLAIN, 120)[1]
    assert "  ~30001  ~70002  " in table(reports, TextStyle(color=False, unicode=False), 120)[1]


def test_csv_is_what_a_spreadsheet_reads() -> None:
    reports = [real("c2_bidir_stream8k_marks_nominus1"), real("e_playaudio_featureserver")]

    rows = list(csv.DictReader(StringIO(csv_lines(reports, heading=True))))
    assert [row["call"] for row in rows] == [report.call for report in reports]
    assert [row["warnings"] for row in rows] == ["3", "0"]


def test_names_from_the_wire_cant_break_rows() -> None:
    made = MadeUp(metadata={"sampleRate": 8000, "mixType": "mono", "callSid": "A\nB", "from": '"\x1b[2J\r\n', "to": ""})
    report = made.close(1.0)

    assert len(table([report], PLAIN, None)) == 2
    assert csv_lines([report], heading=False).count("\n") == 1
    assert "\x1b" not in csv_lines([report], heading=False)


def test_sessions_that_are_no_calls_are_told_by_server() -> None:
    other, hidden = new_session(), new_session(request=None, number=2, server="10.0.0.9:443")
    other.is_listen, other.target = False, "/chat"
    hidden.encrypted, hidden.unreadable = True, "no secrets; --keylog FILE"

    reports = [unknown(other), unknown(hidden), unknown(replace(hidden, number=3))]
    assert [is_call(report) for report in reports] == [False, False, False]
    assert describe_other_sessions(reports) == [
        "1 other WebSocket, not of the listen protocol: 127.0.0.1:3000/chat",
        "2 sessions under TLS can't be read: 10.0.0.9:443/x (2)",
        "no secrets; --keylog FILE",
    ]


@pytest.mark.parametrize(
    ("talk", "said"),
    [
        (TcpDialog(), "3 packets without anything said over TCP; capture the port of the listen server"),
        (TcpDialog().open().client(b"GET / HTTP/1.1\r\n\r\n"), "in 1 TCP connection: 1 of HTTP"),
        (TcpDialog().open().client(b"\x16\x03\x01\x00\x05hello"), "in 1 TCP connection: 1 of TLS"),
        (TcpDialog().open().server(b"220 mail ready"), "in 1 TCP connection: 1 of something else"),
    ],
    ids=["nothing", "http", "tls", "mail"],
)
def test_without_a_call_it_is_told_what_was_captured(talk: TcpDialog, said: str, tmp_path: Path) -> None:
    path = tmp_path / "x.pcap"
    path.write_bytes(pcap(talk.packets or [Packet(1.0, bytes(60))] * 3))

    (line,) = describe_files_without_calls([str(path)], [])
    assert line.startswith(f"{path}: no listen call in it, ")
    assert said in line


def test_an_empty_capture_is_told_as_such(tmp_path: Path) -> None:
    path = tmp_path / "x.pcap"
    path.write_bytes(pcap([]))

    assert describe_files_without_calls([str(path)], []) == [f"{path}: no listen call in it, not even a packet"]
