"""Lines on their way out, through real pipes."""

import fcntl
import os
import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from listenctl.terminal.line_writer import LineWriter
from tests.helpers.server import LIMIT


@pytest.fixture
def pipe() -> Iterator[list[int]]:
    """The two ends of a pipe; those still in the list are closed at the end."""
    ends = list(os.pipe())
    yield ends
    for end in ends:
        os.close(end)


def test_lines_come_out_in_order(pipe: list[int]) -> None:
    writer = LineWriter(pipe[1])

    for number in range(1000):
        writer.write(f"line {number}")
    writer.close()

    assert os.read(pipe[0], 65_536).decode() == "".join(f"line {number}\n" for number in range(1000))
    assert writer.lost == 0


@pytest.mark.parametrize(
    ("before", "after"),
    [(b"", b"line\n"), (b"whole\n", b"whole\nline\n"), (b'whole\n{"v":', b'whole\n{"v":\nline\n')],
    ids=["new", "whole", "broken"],
)
def test_a_line_that_an_earlier_writer_of_a_file_left_unfinished_is_ended_first(
    before: bytes, after: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "lines"
    path.write_bytes(before)
    fd = os.open(path, os.O_WRONLY | os.O_APPEND)

    writer = LineWriter(fd)
    writer.write("line")
    lost = writer.close()
    os.close(fd)

    assert (path.read_bytes(), lost) == (after, 0)


def test_what_an_encoding_lacks_is_escaped(pipe: list[int]) -> None:
    writer = LineWriter(pipe[1], encoding="ascii")

    writer.write("1 → 2")
    writer.close()

    assert os.read(pipe[0], 100) == b"1 \\u2192 2\n"


def test_a_reader_that_leaves_is_told_once_and_lines_are_counted(pipe: list[int]) -> None:
    broken = threading.Semaphore(0)
    writer = LineWriter(pipe[1], on_broken=lambda _: broken.release())
    os.close(pipe.pop(0))

    writer.write("one")
    assert broken.acquire(timeout=10)
    writer.close()
    writer.write("two")

    assert not broken.acquire(blocking=False)
    assert (writer.lost, writer.problem) == (2, "Broken pipe")


@pytest.mark.parametrize("lines", [1, 2, 50])
def test_lines_that_cannot_be_written_are_all_counted(lines: int) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    writer = LineWriter(full)

    for number in range(lines):
        writer.write(f"line {number}")
    lost = writer.close()
    os.close(full)

    assert (lost, writer.problem) == (lines, "No space left on device")


@pytest.mark.parametrize(("limit", "value"), [("MAX_WAITING", 10), ("MAX_WAITING_BYTES", 100_000)])
def test_a_reader_that_stops_holds_nobody_up(
    limit: str, value: int, pipe: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"listenctl.terminal.line_writer.{limit}", value)
    monkeypatch.setattr("listenctl.terminal.line_writer.CLOSE_LIMIT", 0.05)
    writer = LineWriter(pipe[1])

    # Far more than a pipe holds.
    for _ in range(100):
        writer.write("x" * 10_000)
    lost = writer.close()

    # A pipe holds 64 kB, so six whole lines.
    assert lost == 100 - fcntl.fcntl(pipe[1], fcntl.F_GETPIPE_SZ) // 10_001
    assert os.read(pipe[0], 10_001) == b"x" * 10_000 + b"\n"
    os.close(pipe.pop(0))


class Paused:
    """A writer on a disk that is full, and what it reports."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("listenctl.terminal.line_writer.RETRY_AFTER", 0.001)
        self.path, self._ballast = folder / "lines", folder / "ballast"
        self.pauses, self.resumed = queue.SimpleQueue[str](), queue.SimpleQueue[int]()
        self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.writer = LineWriter(self._fd, on_pause=self.pauses.put, on_resume=self._write_about_it)
        with pytest.raises(OSError, match="No space left"):
            self._ballast.write_bytes(bytes(300_000))

    def _write_about_it(self, lost: int) -> None:
        self.writer.write(f"{lost} lost")
        self.resumed.put(lost)

    def make_room(self) -> None:
        self._ballast.unlink()

    def close(self) -> int:
        lost = self.writer.close()
        os.close(self._fd)
        return lost


def test_lines_wait_while_the_disk_is_full(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paused = Paused(tiny, monkeypatch)
    lines = [f"line {number} {'x' * 100}" for number in range(500)]

    for line in lines[:-1]:
        paused.writer.write(line)
    reason = paused.pauses.get(timeout=LIMIT)
    paused.make_room()
    lost = paused.resumed.get(timeout=LIMIT)
    paused.writer.write(lines[-1])

    assert (reason, lost) == ("No space left on device", 0)
    assert paused.close() == 0
    # A line of which the full disk took a part is completed.
    assert paused.path.read_text().splitlines() == [*lines[:-1], "0 lost", lines[-1]]
    assert paused.pauses.empty()


def test_lines_that_do_not_fit_into_memory_are_counted_and_the_others_written(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("listenctl.terminal.line_writer.MAX_WAITING", 10)
    paused = Paused(tiny, monkeypatch)

    paused.writer.write("first")
    paused.pauses.get(timeout=LIMIT)
    for number in range(25):
        paused.writer.write(f"line {number}")
    paused.make_room()

    assert paused.resumed.get(timeout=LIMIT) == 15
    assert paused.close() == 15
    # There is room for a line about it.
    assert paused.path.read_text().splitlines() == ["first", *(f"line {number}" for number in range(10)), "15 lost"]


def test_a_disk_that_stays_full_delays_the_end_no_longer_than_a_try(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused = Paused(tiny, monkeypatch)

    for number in range(3):
        paused.writer.write(f"line {number}")

    assert paused.close() == 3
    assert paused.writer.problem == "No space left on device"
