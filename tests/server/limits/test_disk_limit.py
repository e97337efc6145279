"""What follows from the free space of a disk."""

import errno
from pathlib import Path

import pytest

from listenctl.server.limits.disk_limit import DiskLimit, DiskSpace, default_min_free, read_disk_space

GB = 1_000_000_000


def states(limit: DiskLimit, *free: int, chosen: int | None = 1000) -> list[tuple[bool, bool]]:
    """Return whether calls are taken and recorded, for each amount of free space in turn."""
    found = []
    for one in free:
        limit.update(DiskSpace(one, 1_000_000), chosen)
        found.append((limit.takes_calls, limit.records))
    return found


def test_calls_stop_at_the_limit_and_recording_at_a_quarter_of_it() -> None:
    assert states(DiskLimit(), 1000, 999, 250, 249) == [(True, True), (False, True), (False, True), (False, False)]


def test_both_begin_again_only_with_a_margin() -> None:
    limit = DiskLimit()
    states(limit, 0)

    assert states(limit, 499, 500, 1000, 1099, 1100) == [
        (False, False),
        (False, True),
        (False, True),
        (False, True),
        (True, True),
    ]
    assert limit.wanted == 1100


def test_no_limit_takes_calls_until_the_disk_is_full() -> None:
    assert states(DiskLimit(), 0, chosen=0) == [(True, True)]


@pytest.mark.parametrize(
    ("free", "total", "kept"),
    [
        (500 * GB, 1000 * GB, GB),  # a large disk
        (9 * GB, 10 * GB, GB // 2),  # a twentieth of a small one
        (GB, 1000 * GB, GB // 2),  # half of what a nearly full one has
    ],
)
def test_the_default_fits_the_disk_and_lets_every_server_start(free: int, total: int, kept: int) -> None:
    limit = DiskLimit()
    limit.update(DiskSpace(free, total), None)

    assert (limit.min_free, limit.takes_calls) == (kept, True)


def test_the_default_stays_what_it_was_at_the_start_and_a_chosen_limit_replaces_it() -> None:
    limit = DiskLimit()
    limit.update(DiskSpace(100 * GB, 1000 * GB), None)
    limit.update(DiskSpace(GB, 1000 * GB), None)
    first = limit.min_free
    limit.update(DiskSpace(GB, 1000 * GB), 5)

    assert (first, limit.min_free) == (default_min_free(DiskSpace(0, 1000 * GB)), 5)


def test_a_folder_that_is_yet_to_be_made_is_on_the_disk_of_the_one_above(tiny: Path) -> None:
    there, not_yet = read_disk_space(tiny), read_disk_space(tiny / "2026" / "calls")

    assert there == not_yet == DiskSpace(200 * 1024, 200 * 1024)


def test_the_space_of_a_network_file_system_that_is_gone_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stat_stale(*_: object, **__: object) -> None:
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(Path, "stat", stat_stale)

    assert read_disk_space(tmp_path) is None
