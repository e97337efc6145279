"""What a harness is, and the limits within which each input has to be read."""

import resource
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from types import FrameType

MAX_SECONDS = 5.0
"""Of CPU time for one small input."""
MAX_MEMORY = 300 * 1024 * 1024
"""Bytes by which the process may grow."""


@dataclass(frozen=True, slots=True)
class Seed:
    """
    An undamaged input.

    Args:
        places: offsets at which something is that a reader trusts: a length, a type, the begin of a header.
    """

    data: bytes
    places: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Reader:
    """
    One harness: ``check`` reads any input and asserts what has to hold for each.

    Args:
        seeds: from which inputs are made; each has to pass as it is.
    """

    name: str
    seeds: Callable[[], list[Seed]]
    check: Callable[[bytes], None]

    def run(self, data: bytes) -> None:
        """Check one input within the limits."""
        with _limited(data):
            self.check(data)


def undamaged(data: bytes, seeds: Sequence[Seed]) -> tuple[Seed, int]:
    """Return the seed that an input is most like, and how many bytes of it come before the first that differs."""
    return max(((seed, _common(data, seed.data)) for seed in seeds), key=lambda one: one[1])


def _common(one: bytes, other: bytes) -> int:
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


@contextmanager
def _limited(data: bytes) -> Iterator[None]:
    limit = _memory_at_start() + MAX_MEMORY
    previous = signal.signal(signal.SIGVTALRM, _too_long)
    signal.setitimer(signal.ITIMER_VIRTUAL, MAX_SECONDS)
    began = time.process_time()
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, previous)
    taken, memory = time.process_time() - began, _memory()
    assert taken < MAX_SECONDS, f"{len(data)} bytes take {taken:.1f} s"
    assert memory < limit, f"{len(data)} bytes take {(memory - limit + MAX_MEMORY) >> 20} MiB"


def _too_long(_signal: int, _frame: FrameType | None) -> None:
    raise AssertionError(f"reading takes more than {MAX_SECONDS:.0f} s")


def _memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@cache
def _memory_at_start() -> int:
    return _memory()
