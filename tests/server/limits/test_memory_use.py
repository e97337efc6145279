"""The memory of a process, and how much it may have."""

from pathlib import Path

import pytest

from listenctl.server.limits.memory_use import DEFAULT_SHARE, default_max_memory, read_memory_use

MEMINFO = "MemTotal:        8000 kB\nMemFree:         1000 kB\n"


def test_memory_that_is_taken_is_seen() -> None:
    before = read_memory_use()
    taken = bytearray(b"x" * 50_000_000)
    after = read_memory_use()

    assert before is not None
    assert after is not None
    assert after - before > len(taken) * 0.9


@pytest.mark.parametrize(
    ("groups", "most"),
    [
        ({}, 8000 * 1024),
        ({"": "max"}, 8000 * 1024),
        ({"system.slice/listenctl.service": "4000000"}, 4_000_000),
        ({"system.slice/listenctl.service": "max", "system.slice": "3000000"}, 3_000_000),
        ({"": "2000000", "system.slice/listenctl.service": "4000000"}, 2_000_000),
    ],
    ids=["no groups", "no limit", "own limit", "limit above", "container"],
)
def test_three_quarters_of_the_machine_or_of_the_control_group_may_be_used(
    groups: dict[str, str], most: int, tmp_path: Path
) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text(MEMINFO)
    (tmp_path / "proc/self/cgroup").write_text("0::/system.slice/listenctl.service\n")
    for group, text in groups.items():
        folder = tmp_path / "sys/fs/cgroup" / group
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.max").write_text(f"{text}\n")

    assert default_max_memory(tmp_path) == most * DEFAULT_SHARE


def test_where_nothing_is_known_there_is_no_limit(tmp_path: Path) -> None:
    assert default_max_memory(tmp_path) is None
