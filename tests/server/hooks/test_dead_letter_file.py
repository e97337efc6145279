"""The file of dead letters: private, whole lines, and safe while others append to it."""

import errno
import fcntl
import os
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from listenctl.errors import UsageError
from listenctl.server.hooks import dead_letter_file
from listenctl.server.hooks.dead_letter_file import MAX_LINES, DeadLetterFile, DeadLetterWriter
from tests.helpers.server import LIMIT, mode_of


def test_the_file_is_created_for_its_owner_only(tmp_path: Path) -> None:
    file = DeadLetterFile(tmp_path / "dead")

    file.create()

    assert mode_of(file.path) == 0o600
    assert file.read() == []


def test_a_file_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"dead letters of hooks can't be written there: No such file.*--dead-letters"):
        DeadLetterFile(tmp_path / "missing" / "dead").create()


def test_lines_are_appended_also_after_one_that_a_crash_has_cut(tmp_path: Path) -> None:
    file = DeadLetterFile(tmp_path / "dead")
    file.append(["one", "two"])
    with file.path.open("a") as opened:
        opened.write("cut off")

    file.append(["three"])

    assert file.read() == ["one", "two", "cut off", "three"]


def test_a_full_disk_takes_all_lines_or_none(tiny: Path) -> None:
    file = DeadLetterFile(tiny / "dead")
    file.append(["one"])

    with pytest.raises(OSError, match="No space left"):
        file.append(["two", "x" * 500_000])

    assert file.path.read_bytes() == b"one\n"


def test_a_file_does_not_grow_without_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letter_file, "MAX_FILE_BYTES", 8)
    file = DeadLetterFile(tmp_path / "dead")
    file.append(["one", "two"])

    with pytest.raises(OSError, match="File too large"):
        file.append(["x"])

    assert file.read() == ["one", "two"]


def test_lines_are_replaced_and_removed_and_those_of_others_stay(tmp_path: Path) -> None:
    file = DeadLetterFile(tmp_path / "dead")
    file.append(["one", "two", "three"])

    file.rewrite(lambda line: {"one": None, "two": "TWO"}.get(line, line))

    assert file.read() == ["TWO", "three"]
    assert mode_of(file.path) == 0o600


def test_what_is_appended_while_the_file_is_rewritten_is_not_lost(tmp_path: Path) -> None:
    # Given somebody who has opened the file and waits for its lock.
    file = DeadLetterFile(tmp_path / "dead")
    file.append(["one"])
    appending = threading.Thread(target=file.append, args=(["two"],))

    def change(line: str) -> str:
        if not appending.is_alive():
            appending.start()
            while not _is_waited_for(file.path):
                os.sched_yield()
        return line.upper()

    # When it is rewritten, and has a new inode.
    file.rewrite(change)
    appending.join(LIMIT)

    assert file.read() == ["ONE", "two"]


def _is_waited_for(path: Path) -> bool:
    inode = f":{path.stat().st_ino} "
    return any("->" in line and inode in line for line in Path("/proc/locks").read_text().splitlines())


@pytest.mark.parametrize(("mode", "private"), [(0o600, True), (0o644, True), (0o620, False), (0o602, False)])
def test_a_file_that_others_can_write_is_not_private(tmp_path: Path, mode: int, private: bool) -> None:
    file = DeadLetterFile(tmp_path / "dead")
    file.create()
    file.path.chmod(mode)

    assert file.is_private() is private


def test_letters_wait_for_a_disk_that_is_full(tiny: Path) -> None:
    filling = tiny / "filling"
    file = DeadLetterFile(tiny / "dead")
    file.create()
    filling.write_bytes(bytes(os.statvfs(tiny).f_bavail * os.statvfs(tiny).f_frsize))
    problems: list[str] = []
    writer = DeadLetterWriter(file, problems.append)

    writer.write("one")
    writer._writer.wait_until_done(LIMIT)
    waiting = file.read()
    filling.unlink()
    writer.write("two")
    writer.close()

    assert (problems, waiting) == (["No space left on device"], [])
    assert file.read() == ["one", "two"]
    assert (writer.written, writer.lost) == (2, 0)


def test_a_letter_costs_the_same_however_many_wait(tmp_path: Path) -> None:
    # Given a disk that takes nothing, and many letters that wait for it.
    file = RefusingFile(tmp_path / "dead")
    writer = DeadLetterWriter(file)
    for number in range(3 * MAX_LINES):
        writer.write(str(number))
    writer._writer.wait_until_done(LIMIT)

    # When it takes them again.
    refused, file.refuses = max(file.sizes), False
    writer.close()

    # Then no try had all of them, and none was lost.
    assert refused == MAX_LINES
    assert file.read() == [str(number) for number in range(3 * MAX_LINES)]
    assert (writer.written, writer.lost) == (3 * MAX_LINES, 0)


class RefusingFile(DeadLetterFile):
    """Refuses lines like a full disk, and remembers how many it was given."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.refuses = True
        self.sizes: list[int] = []

    def append(self, lines: Sequence[str]) -> None:
        self.sizes.append(len(lines))
        if self.refuses:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().append(lines)


def test_letters_that_no_disk_takes_are_counted(tmp_path: Path) -> None:
    writer = DeadLetterWriter(DeadLetterFile(tmp_path / "missing" / "dead"))

    writer.write("one")
    writer.write("two")
    writer.close()

    assert (writer.written, writer.lost) == (0, 2)


def test_the_lock_is_one_that_other_programs_can_take(tmp_path: Path) -> None:
    file = DeadLetterFile(tmp_path / "dead")
    file.create()
    with file.path.open() as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        appending = threading.Thread(target=file.append, args=(["one"],))
        appending.start()
        while not _is_waited_for(file.path):
            os.sched_yield()
        assert file.path.read_text() == ""
    appending.join(LIMIT)

    assert file.read() == ["one"]
