"""Counts that processes share."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from listenctl.server.workers.shared_counts import AHEAD, AHEAD_SHARE, MAX_WORKERS, SharedCounts
from tests.helpers.cli import ROOT

CLAIM = """
import sys
from listenctl.server.workers.shared_counts import SharedCounts
counts = SharedCounts(int(sys.argv[1]), 2, 0)
print(*(counts.count_stream("same") for _ in range(500)))
"""


@pytest.fixture
def workers() -> Iterator[tuple[SharedCounts, SharedCounts, SharedCounts]]:
    """Return the counts as the parent and two workers see them."""
    parent = SharedCounts.create(2)
    yield parent, SharedCounts(parent.fd, 2, 0), SharedCounts(parent.fd, 2, 1)
    parent.close()


def test_streams_of_one_call_are_counted_over_all_workers(workers: tuple[SharedCounts, ...]) -> None:
    _, one, other = workers

    assert [one.count_stream("a"), other.count_stream("a"), one.count_stream("b"), one.count_stream("a")] == [
        1,
        2,
        1,
        3,
    ]
    assert [one.count_unknown(), other.count_unknown()] == [1, 2]


def test_the_newest_names_are_remembered_when_there_are_too_many(workers: tuple[SharedCounts, ...]) -> None:
    _, one, other = workers
    for number in range(50_000):
        one.count_stream(f"{number}")

    assert [other.count_stream(f"{number}") for number in range(49_900, 50_000)] == [2] * 100
    assert other.count_stream("0") == 1


def test_processes_that_count_at_the_same_time_never_get_the_same_number() -> None:
    counts = SharedCounts.create(2)
    command = [sys.executable, "-c", CLAIM, str(counts.fd)]
    counting = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, pass_fds=[counts.fd], cwd=ROOT) for _ in range(3)
    ]
    numbers = [int(number) for process in counting for number in process.communicate()[0].split()]
    counts.close()

    assert sorted(numbers) == list(range(1, 1501))


def test_a_call_is_claimed_only_while_all_workers_together_have_room(workers: tuple[SharedCounts, ...]) -> None:
    parent, one, other = workers

    assert one.claim_call(connections=1, calls=0, limit=3)
    assert other.claim_call(connections=1, calls=0, limit=3)
    assert other.claim_call(connections=2, calls=1, limit=3)
    assert not one.claim_call(connections=2, calls=1, limit=3)
    assert (parent.calls, one.count_all(1)) == (3, 3)

    parent.clear_worker(1)  # It has died.

    assert parent.calls == 1
    assert one.claim_call(connections=2, calls=1, limit=3)


def test_a_worker_leaves_connections_to_one_that_has_clearly_fewer(workers: tuple[SharedCounts, ...]) -> None:
    _, one, other = workers
    one.note_load(connections=AHEAD - 1, calls=0)

    assert one.may_accept()
    assert other.may_accept()

    one.note_load(connections=AHEAD, calls=0)

    assert not one.may_accept()
    assert other.may_accept()

    other.note_load(connections=1, calls=0)

    assert one.may_accept()

    one.note_load(connections=10 * AHEAD_SHARE + AHEAD, calls=0)
    other.note_load(connections=10 * AHEAD_SHARE, calls=0)

    assert one.may_accept()


def test_the_most_workers_have_places_of_their_own() -> None:
    parent = SharedCounts.create(MAX_WORKERS)
    for number in range(MAX_WORKERS):
        SharedCounts(parent.fd, MAX_WORKERS, number).note_load(connections=1, calls=1)
    first = SharedCounts(parent.fd, MAX_WORKERS, 0)

    assert parent.calls == MAX_WORKERS
    assert first.count_stream("a") == 1
    assert parent.calls == MAX_WORKERS
    parent.close()
