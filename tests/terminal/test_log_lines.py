"""Lines of a log: one for each event, whatever a peer sent."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listenctl.events import (
    CallIdentity,
    ConnectionRefusedEvent,
    EventFields,
    LogEvent,
    MarkEvent,
    RecordingFailedEvent,
    WarningEvent,
    describe_event,
)
from listenctl.json_lines import JsonObject
from listenctl.terminal.log_lines import LogFormat, format_log_line
from listenctl.terminal.printable_text import TextStyle

CALL: CallIdentity = {"call": "CS-A~2", "call_sid": "CS-A", "trace_id": "4bf92f"}
HOSTILE = 'x"\n2026-12-01 level=error \x1b[31m\u202e\u2028=\\'


def reported(event: EventFields) -> JsonObject:
    return describe_event(event, 1_795_000_000.5, **CALL)


def log_line(event: EventFields, log_format: LogFormat) -> str:
    return format_log_line(reported(event), log_format, TextStyle(color=False))


def fields_of(line: str) -> dict[str, str]:
    """Read a line of logfmt: bare values, and quoted ones with the escapes of JSON."""
    found = re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|[^" ]*)(?: |$)', line)
    return {name: json.loads(value) if value.startswith('"') else value for name, value in found}


def test_a_json_line_is_the_event_with_its_level() -> None:
    event = MarkEvent(name="m1", result="playout")

    line = json.loads(log_line(event, LogFormat.JSON))

    assert line == reported(event) | {"level": "info"}
    assert list(line)[:4] == ["v", "ts", "level", "event"]


def test_a_logfmt_line_has_the_same_fields_without_those_that_are_null() -> None:
    event = ConnectionRefusedEvent(remote="[::1]:5", target=None, status=401, reason="wrong password", limit=None)

    assert log_line(event, LogFormat.LOGFMT) == (
        "v=1 ts=2026-11-18T11:06:40.500Z level=warning event=connection-refused call=CS-A~2 call_sid=CS-A "
        'trace_id=4bf92f remote=[::1]:5 status=401 reason="wrong password"'
    )


@pytest.mark.parametrize("log_format", LogFormat)
def test_nothing_from_a_peer_ends_a_line_or_reaches_a_terminal(log_format: LogFormat) -> None:
    line = log_line(WarningEvent(rule="first-frame", detail=HOSTILE), log_format)

    assert line.isprintable()


def test_what_a_peer_sent_is_whole_in_logfmt() -> None:
    fields = fields_of(log_line(MarkEvent(name=HOSTILE, result=""), LogFormat.LOGFMT))

    assert (fields["name"], fields["result"], fields["level"]) == (HOSTILE, "", "info")


@given(st.text())
def test_any_text_is_in_one_line_and_can_be_read_back(sent: str) -> None:
    event = MarkEvent(name=sent, result=sent[::-1])

    logfmt, as_json = log_line(event, LogFormat.LOGFMT), log_line(event, LogFormat.JSON)

    assert len(logfmt.splitlines()) == len(as_json.splitlines()) == 1
    assert [fields_of(logfmt)[name] for name in ("name", "result")] == [sent, sent[::-1]]
    assert [json.loads(as_json)[name] for name in ("name", "result")] == [sent, sent[::-1]]


@pytest.mark.parametrize(
    ("event", "level"),
    [
        (RecordingFailedEvent(path="a.wav", reason="full"), "error"),
        (WarningEvent(rule="slow-disk", detail="it is slow"), "warning"),
        (LogEvent(level="warning", logger="websockets", detail="odd", exception=None), "warning"),
        (LogEvent(level="error", logger="asyncio", detail="odd", exception=None), "error"),
    ],
)
def test_failures_and_warnings_have_a_level_of_their_own(event: EventFields, level: str) -> None:
    assert json.loads(log_line(event, LogFormat.JSON))["level"] == level


FAULT = LogEvent(
    level="error",
    logger="listenctl.server",
    detail="a call failed",
    exception=f"Traceback:\n  File x\nValueError: {HOSTILE}\r12:00:00.0 call-ended CS-B",
)


@pytest.mark.parametrize("log_format", [LogFormat.LOGFMT, LogFormat.JSON])
def test_a_traceback_is_a_field_of_its_line(log_format: LogFormat) -> None:
    line = log_line(FAULT, log_format)

    fields = json.loads(line) if log_format is LogFormat.JSON else fields_of(line)
    assert line.isprintable()
    assert fields["exception"] == FAULT.exception


def test_in_text_no_line_of_a_traceback_poses_as_an_event() -> None:
    first, *others = log_line(FAULT, LogFormat.TEXT).split("\n")

    assert first.endswith("log CS-A~2 listenctl.server: a call failed")
    assert "ValueError" in "".join(others)
    assert all(line.startswith("    ") and line.isprintable() for line in others)
