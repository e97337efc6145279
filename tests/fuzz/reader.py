"""The base of a harness, and the limits of memory and CPU time for each input."""

import resource
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import TypeVar

MAX_SECONDS = 30.0
"""CPU time after which reading a small input counts as endless."""
MAX_MEMORY = 300 * 1024 * 1024
"""Bytes by which the process may grow."""

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Seed:
    """
    An undamaged input.

    Args:
        places: offsets of what a reader relies on: a length, a type, the start of a header.
    """

    data: bytes
    places: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Reader:
    """
    One harness: ``check`` reads any input and asserts what has to hold for each.

    Args:
        seeds: the undamaged inputs, which have to pass too.
    """

    name: str
    seeds: Callable[[], list[Seed]]
    check: Callable[[bytes], None]

    def run(self, data: bytes) -> None:
        with _limited(data):
            self.check(data)


def written(data: bytes, name: str) -> Path:
    """Write an input to a file, which replaces the one before it."""
    path = Path(_folder().name) / name
    path.write_bytes(data)
    return path


@cache
def _folder() -> TemporaryDirectory[str]:
    return TemporaryDirectory()


def expect(found: Sequence[Item], data: bytes, known: Sequence[tuple[Seed, Sequence[tuple[int, Item]]]]) -> None:
    """
    Assert that everything before the damage is found.

    Args:
        known: for each seed, its items, each with the number of bytes that contain it.
    """
    seed, whole = undamaged(data, [seed for seed, _ in known])
    expected = [one for size, one in next(items for one, items in known if one is seed) if size <= whole]
    assert list(found[: len(expected)]) == expected, f"of {len(expected)} before byte {whole} some are lost"


def undamaged(data: bytes, seeds: Sequence[Seed]) -> tuple[Seed, int]:
    """Return the seed that an input is most like, and the number of equal bytes at their start."""
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
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, previous)
    memory = _memory()
    assert memory < limit, f"{len(data)} bytes take {(memory - limit + MAX_MEMORY) >> 20} MiB"


def _too_long(_signal: int, _frame: FrameType | None) -> None:
    raise AssertionError(f"reading takes more than {MAX_SECONDS:.0f} s")


def _memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@cache
def _memory_at_start() -> int:
    return _memory()
