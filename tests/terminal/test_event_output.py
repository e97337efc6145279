"""Events for scripts, and readers that leave."""

import asyncio
import json
import os
import select
from contextlib import ExitStack
from pathlib import Path

import pytest

from listenctl.errors import UsageError
from listenctl.events import MessageEvent, Reporter
from listenctl.terminal.event_output import EventOutput
from tests.helpers.server import LIMIT, until


class Output:
    """An output into a file, and how often it was given up."""

    def __init__(self, closing: ExitStack, path: Path) -> None:
        self.reporter = Reporter()
        self.given_up = 0
        self.events = EventOutput(self.reporter, self._give_up, closing)
        self.events.open(stdout=False, file=path)

    def _give_up(self) -> str:
        self.given_up += 1
        return "nothing is lost"


async def test_every_event_is_a_line_behind_others_in_a_file_that_nobody_else_can_read(tmp_path: Path) -> None:
    path = tmp_path / "events"
    for name in ("before", "first"):
        with ExitStack() as closing:
            output = Output(closing, path)
            output.reporter.emit(MessageEvent(type=name, text="ä"))
            output.reporter.emit(MessageEvent(type="second"))
        assert not output.events.broken

    events = [json.loads(line) for line in path.read_text().splitlines()]
    assert [event["type"] for event in events] == ["before", "second", "first", "second"]
    assert events[2]["text"] == "ä"
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_reader_that_leaves_is_noticed_before_the_next_event(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    async with asyncio.timeout(LIMIT):
        with ExitStack() as closing:
            output = Output(closing, path)
            output.reporter.emit(MessageEvent(type="first"))
            await until(lambda: select.select([reader], [], [], 0)[0] != [])
            os.close(reader)

            await until(lambda: output.events.broken)
            output.reporter.emit(MessageEvent(type="second"))

    assert output.given_up == 1
    assert capsys.readouterr().err == (
        f"listenctl: {path}: events can't be written: its reader is gone; nothing is lost\n"
    )


async def test_a_full_disk_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    async with asyncio.timeout(LIMIT):
        with ExitStack() as closing:
            output = Output(closing, Path("/dev/full"))
            output.reporter.emit(MessageEvent(type="first"))
            await until(lambda: output.events.broken)
            output.reporter.emit(MessageEvent(type="second"))

    assert output.given_up == 1
    assert capsys.readouterr().err == (
        "listenctl: /dev/full: events can't be written: no space left on device; nothing is lost\n"
    )


async def test_events_of_a_full_disk_go_on_when_there_is_room(
    tiny: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("listenctl.terminal.line_writer.RETRY_AFTER", 0.001)
    monkeypatch.setattr("listenctl.terminal.line_writer.MAX_WAITING", 1)
    said = list[str]()
    async with asyncio.timeout(LIMIT):
        with ExitStack() as closing:
            output = Output(closing, tiny / "events")
            resumed = asyncio.Event()
            output.reporter.add_sink(lambda _: resumed.set(), {"warning"})
            with pytest.raises(OSError, match="No space left"):
                (tiny / "ballast").write_bytes(bytes(300_000))
            output.reporter.emit(MessageEvent(type="first"))
            while not said:
                await asyncio.sleep(0)
                said += [text] if (text := capsys.readouterr().err) else []
            for number in range(3):
                output.reporter.emit(MessageEvent(type=str(number)))
            (tiny / "ballast").unlink()
            await resumed.wait()

    events = [json.loads(line) for line in (tiny / "events").read_text().splitlines()]
    assert [event.get("type") for event in events] == ["first", "0", None]
    assert events[-1]["rule"] == "events-resumed"
    assert events[-1]["detail"].endswith("events are written again; 2 events before this one didn't fit into memory")
    assert output.given_up == 0
    assert output.events.lost_events
    assert said[-1].endswith("events can't be written now: no space left on device; they wait until this is over\n")


async def test_what_is_lost_at_the_very_end_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    with ExitStack() as closing:
        output = Output(closing, Path("/dev/full"))
        output.reporter.emit(MessageEvent(type="last"))

    assert output.events.broken
    assert output.given_up == 0
    assert capsys.readouterr().err == "listenctl: /dev/full: 1 event couldn't be written: no space left on device\n"


async def test_a_file_that_cant_be_opened_is_refused(tmp_path: Path) -> None:
    with ExitStack() as closing, pytest.raises(UsageError, match="no/where: can't be written: No such file"):
        Output(closing, tmp_path / "no" / "where")
