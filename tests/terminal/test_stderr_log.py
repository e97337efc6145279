"""Events and records of Python's logging on stderr."""

import asyncio
import io
import json
import logging
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from listenctl.events import (
    CommandEvent,
    ConnectionRefusedEvent,
    EventFields,
    LevelsEvent,
    MarkEvent,
    RecordingFailedEvent,
    Reporter,
    WarningEvent,
)
from listenctl.terminal.event_lines import LogLevel
from listenctl.terminal.live_view import LiveView
from listenctl.terminal.log_lines import LogFormat
from listenctl.terminal.peer_line_limit import LINES
from listenctl.terminal.printable_text import TextStyle
from listenctl.terminal.stderr_log import LogSettings, displayed_events, problem_writer
from tests.helpers.server import LIMIT, until

ALL_LEVELS = (
    LevelsEvent(position=0, time=0.0, channels=[{"peak_db": -1.0, "rms_db": -3.0, "clipped": False}]),
    MarkEvent(name="m", result="playout"),
    WarningEvent(rule="slow-disk", detail="slow"),
    RecordingFailedEvent(path="a.wav", reason="full"),
)
"""An event of each level."""


class TerminalStream(io.StringIO):
    def isatty(self) -> bool:
        return True


def no_view(_: TextStyle) -> LiveView:
    raise AssertionError("stderr is no terminal")


async def logged(
    capfd: pytest.CaptureFixture[str], settings: LogSettings, act: Callable[[Reporter], None]
) -> list[dict[str, object]]:
    """Return the JSON lines on stderr of what ``act`` reports and logs."""
    reporter = Reporter()
    async with displayed_events(reporter, no_view, drawn=frozenset(), settings=settings):
        act(reporter)
        await asyncio.sleep(0)
    return [json.loads(line) for line in capfd.readouterr().err.splitlines()]


def emit_all(*events: EventFields) -> Callable[[Reporter], None]:
    def act(reporter: Reporter) -> None:
        for event in events:
            reporter.emit(event, call="CS-A", call_sid="CS-A")

    return act


@pytest.mark.parametrize(
    ("level", "seen"),
    [
        (LogLevel.DEBUG, ["levels", "mark", "warning", "recording-failed"]),
        (LogLevel.INFO, ["mark", "warning", "recording-failed"]),
        (LogLevel.WARNING, ["warning", "recording-failed"]),
        (LogLevel.ERROR, ["recording-failed"]),
    ],
)
async def test_a_level_hides_what_is_below_it(
    level: LogLevel, seen: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    lines = await logged(capfd, LogSettings(LogFormat.JSON, level), emit_all(*ALL_LEVELS))

    assert [line["event"] for line in lines] == seen


async def test_records_of_libraries_are_lines_of_the_same_format(capfd: pytest.CaptureFixture[str]) -> None:
    def act(_: Reporter) -> None:
        logging.getLogger("some.package").warning("odd: %s", "a\nb")
        logging.getLogger("some.package").info("nobody asked")

    (line,) = await logged(capfd, LogSettings(LogFormat.JSON), act)

    assert (line["event"], line["level"], line["logger"]) == ("log", "warning", "some.package")
    assert (line["detail"], line["exception"], line["call"]) == ("odd: a\nb", None, None)


@pytest.mark.parametrize(("number", "level"), [(50, "error"), (45, "error"), (35, "warning"), (30, "warning")])
async def test_a_record_has_the_level_that_its_own_reaches(
    number: int, level: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (line,) = await logged(
        capfd, LogSettings(LogFormat.JSON), lambda _: logging.getLogger("some.package").log(number, "odd")
    )

    assert line["level"] == level


async def test_a_fault_in_a_call_names_the_call_and_has_its_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    def act(_: Reporter) -> None:
        try:
            raise ValueError("a bug of ours")
        except ValueError:
            about = {"call": "CS-A", "call_sid": "CS-A", "trace_id": "4bf92f"}
            logging.getLogger("listenctl.server").exception("a call failed", extra={"about": about})

    (line,) = await logged(capfd, LogSettings(LogFormat.JSON, LogLevel.ERROR), act)

    assert (line["call"], line["trace_id"], line["level"]) == ("CS-A", "4bf92f", "error")
    assert "ValueError: a bug of ours" in str(line["exception"])


async def test_whoever_logs_something_wrong_goes_on(capfd: pytest.CaptureFixture[str]) -> None:
    async with displayed_events(Reporter(), no_view, drawn=frozenset(), settings=LogSettings(LogFormat.JSON)):
        logging.getLogger("some.package").error("odd", extra={"about": 3})
        went_on = True

    assert went_on
    assert "--- Logging error ---" in capfd.readouterr().err


async def test_records_of_other_threads_are_logged_too(capfd: pytest.CaptureFixture[str]) -> None:
    def act(_: Reporter) -> None:
        thread = threading.Thread(target=logging.getLogger("listenctl.writer").error, args=("the disk is on fire",))
        thread.start()
        thread.join()

    (line,) = await logged(capfd, LogSettings(LogFormat.JSON), act)

    assert line["detail"] == "the disk is on fire"


async def test_a_refused_peer_gets_few_lines_and_failures_all_of_theirs(capfd: pytest.CaptureFixture[str]) -> None:
    def act(reporter: Reporter) -> None:
        for port in range(1000):
            refused = ConnectionRefusedEvent(remote=f"10.0.0.7:{port}", target="/", status=401, reason="no", limit=None)
            reporter.emit(refused)
            reporter.emit(RecordingFailedEvent(path="a.wav", reason="full"), call="CS-A")

    lines = await logged(capfd, LogSettings(LogFormat.JSON, limited=True), act)

    kinds = [line["event"] for line in lines]
    assert (kinds.count("connection-refused"), kinds.count("recording-failed")) == (LINES, 1000)
    assert (lines[-1]["rule"], lines[-1]["detail"]) == (
        "lines-left-out",
        f"{1000 - LINES} more lines from 10.0.0.7 in 10 s",
    )


async def test_each_call_has_a_limit_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    def act(reporter: Reporter) -> None:
        for _ in range(LINES + 3):
            reporter.emit(MarkEvent(name="m", result="playout"), call="CS-A", call_sid="CS-A", trace_id="4bf92f")
        reporter.emit(MarkEvent(name="m", result="playout"), call="CS-B")

    lines = await logged(capfd, LogSettings(LogFormat.JSON, limited=True), act)

    assert [line["call"] for line in lines] == ["CS-A"] * LINES + ["CS-B", "CS-A"]
    assert (lines[-1]["detail"], lines[-1]["trace_id"]) == ("3 more lines from this call in 10 s", "4bf92f")


async def test_redaction_shortens_numbers_in_lines_and_leaves_other_readers_of_events_the_whole_ones(
    capfd: pytest.CaptureFixture[str],
) -> None:
    others: list[dict[str, object]] = []
    number = "+15083084809"

    def act(reporter: Reporter) -> None:
        reporter.add_sink(others.append)
        reporter.emit(CommandEvent(type="x", text=f"call {number}"), call="CS-15083084809", call_sid="CS-15083084809")

    (line,) = await logged(capfd, LogSettings(LogFormat.JSON, redact=True), act)

    assert (line["text"], line["call"]) == ("call +xxxxxxxx809", "CS-15083084809")
    assert others[0]["text"] == f"call {number}"


async def test_a_view_that_fails_ends_nothing_and_what_came_later_is_printed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> list[str]:
        raise RuntimeError("a bug of ours")

    stream = TerminalStream()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    reporter = Reporter()
    views = displayed_events(
        reporter, lambda style: LiveView(stream, style, fail), drawn=frozenset(["warning"]), settings=LogSettings()
    )

    async with asyncio.timeout(LIMIT), views:
        await until(lambda: "a bug of ours" in caplog.text)
        reporter.emit(WarningEvent(rule="late", detail="still here"))

    assert "RuntimeError: a bug of ours" in stream.getvalue()
    assert "still here" in stream.getvalue()


@pytest.mark.parametrize(
    ("log_format", "line"),
    [(LogFormat.TEXT, "listenctl: no�\n"), (LogFormat.LOGFMT, "level=error event=log logger=listenctl detail=")],
)
def test_a_problem_of_the_command_has_the_format_of_the_log(
    log_format: LogFormat, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    problem_writer(log_format)("no\x1b")

    assert line in capsys.readouterr().err


@pytest.mark.parametrize("log_format", LogFormat)
def test_a_problem_that_cant_be_written_is_not_one_more(log_format: LogFormat, monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stderr", full)
        problem_writer(log_format)("no")
