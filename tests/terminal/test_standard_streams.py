"""Commands whose stdin, stdout or stderr is closed, or takes nothing more: one line, or none, and never a traceback."""

import asyncio
import io
import shlex
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import pytest
import pytest_asyncio
from websockets.asyncio.server import ServerConnection, serve

from listenctl.terminal.standard_streams import wrapped_text, write_message, write_text_line
from tests.helpers.cli import COMMAND, environment
from tests.helpers.server import LIMIT

CLOSED, FULL = "Bad file descriptor", "No space left on device"


@dataclass(frozen=True, slots=True)
class Shell:
    """Runs commands with redirections, against a server that takes every call."""

    url: str
    home: Path

    async def run(self, line: str, *, buffered: bool = True) -> tuple[int, str, str]:
        """Run ``listenctl LINE``; return its status, and what it wrote to stdout and stderr."""
        more = {} if buffered else {"PYTHONUNBUFFERED": "1"}
        done = await asyncio.to_thread(
            subprocess.run,
            ["/bin/sh", "-c", f"{shlex.join(COMMAND)} {line.format(url=self.url)}"],
            cwd=self.home,
            env=environment(self.home, more),
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr


async def _take(connection: ServerConnection) -> None:
    async for _ in connection:
        pass


@pytest_asyncio.fixture
async def shell(tmp_path: Path) -> AsyncIterator[Shell]:
    async with serve(_take, "127.0.0.1", 0) as server:
        yield Shell(f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/", tmp_path)


@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize(("redirection", "problem"), [(">&-", CLOSED), (">/dev/full", FULL)])
@pytest.mark.parametrize(
    "command",
    [
        "call {url} --duration 0.1 --audio silence",
        "send-dtmf {url} 1",
        "load {url} --calls 1 --hold 0.1",
        "load {url} --calls 1 --hold 0.1 --json",
        "--version",
        "--help",
    ],
)
async def test_what_stdout_does_not_take_is_one_line_and_status_1(
    shell: Shell, command: str, redirection: str, problem: str, buffered: bool
) -> None:
    status, _, said = await shell.run(f"{command} {redirection}", buffered=buffered)

    assert status == 1
    assert said.splitlines()[-1] == f"listenctl: stdout: can't be written: {problem}"
    assert "Traceback" not in said


@pytest.mark.parametrize(("redirection", "problem"), [(">&-", CLOSED), (">/dev/full", FULL)])
@pytest.mark.parametrize(
    ("command", "end"),
    [
        ("call {url} --audio silence --duration 30 --json", "the call is ended"),
        ("serve --port 0 --json", "no more calls are accepted"),
    ],
)
async def test_events_that_stdout_does_not_take_end_the_command(
    shell: Shell, command: str, end: str, redirection: str, problem: str
) -> None:
    status, _, said = await shell.run(f"{command} {redirection}")

    assert (status, said) == (1, f"listenctl: stdout: events can't be written: {problem.lower()}; {end}\n")


async def test_a_status_that_says_more_goes_before_that_of_stdout(shell: Shell) -> None:
    status, _, _ = await shell.run("load {url} --calls 1 --hold 0.1 --fail-if 'handshake.max>=0ms' >/dev/full")

    assert status == 3


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full", "<&-", "<&- 2>&-"])
@pytest.mark.parametrize(
    ("command", "first"),
    [
        ("call {url} --duration 0.1 --audio silence", "sent "),
        ("call {url} --duration 0.1 --audio silence --json", '{"v": 1,'),
        ("send-dtmf {url} 1", "1: accepted by ws://"),
        ("load {url} --calls 1 --hold 0.1", "Server "),
    ],
)
async def test_neither_stdin_nor_stderr_is_needed(shell: Shell, command: str, first: str, redirection: str) -> None:
    status, out, said = await shell.run(f"{command} {redirection}")

    assert (status, out[: len(first)]) == (0, first)
    assert "Traceback" not in said


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"])
async def test_an_error_that_nobody_can_read_keeps_its_status(shell: Shell, redirection: str) -> None:
    assert (await shell.run(f"nothing {redirection}"))[:2] == (2, "")


async def test_what_is_not_printed_needs_no_stdout(shell: Shell) -> None:
    assert await shell.run("call {url} --duration 0.1 --audio silence --quiet >&-") == (0, "", "")


async def test_a_file_never_takes_the_place_of_a_closed_stdout(shell: Shell) -> None:
    status, _, _ = await shell.run("call {url} --duration 0.1 --audio silence --events events.jsonl >&- 2>&-")

    lines = (shell.home / "events.jsonl").read_text().splitlines()
    assert status == 1
    assert all(line.startswith('{"v": 1,') for line in lines)
    assert '"event": "call-ended"' in lines[-1]


@pytest.mark.parametrize(("is_terminal", "written"), [(True, "word\n  " * 2 + "word\n"), (False, "word word word\n")])
def test_a_line_for_people_breaks_between_words_on_a_terminal(*, is_terminal: bool, written: str) -> None:
    class Narrow(io.StringIO):
        def isatty(self) -> bool:
            return is_terminal

    stream = Narrow()
    with patch("listenctl.terminal.screen.terminal_size", lambda _: (8, 24)):
        write_text_line(stream, "word word word")
        text = wrapped_text(stream, "a word\nword word\n")

    assert stream.getvalue() == written
    assert text == ("a word\nword\n  word\n" if is_terminal else "a word\nword word\n")


def test_a_message_may_quote_a_peer(capsys: pytest.CaptureFixture[str]) -> None:
    write_message("refused: \x1b]0;title\x07\u202egpj\x9b31m\nlistenctl: all is well")

    assert capsys.readouterr().err == "listenctl: refused: �]0;title��gpj�31m listenctl: all is well\n"
