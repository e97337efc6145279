"""What is found in an input, in a form that can be compared: what isn't damaged has to be there whatever follows it."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from listenctl.capture.capture_events import CapturedAudio, CapturedFrame, CaptureEvent
from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.protocol.listen_session import Sender
from tests.fuzz.reader import Seed, undamaged

Item = TypeVar("Item")
Found = tuple[int, Sender, RawFrame]
"""The number of a session, who said something there, and what."""


def frames(events: Iterable[CaptureEvent]) -> Iterator[Found]:
    """Yield the frames among what was found, each of a run by itself."""
    for event in events:
        if isinstance(event, CapturedAudio):
            for number in range(len(event.times)):
                yield _found(event.frame(number))
        elif isinstance(event, CapturedFrame):
            yield _found(event)


def by_side(found: Iterable[Found]) -> dict[tuple[int, Sender], list[RawFrame]]:
    """Return what each side of each session said: across sides the order is free."""
    sides: dict[tuple[int, Sender], list[RawFrame]] = {}
    for session, sender, frame in found:
        sides.setdefault((session, sender), []).append(frame)
    return sides


class Growing:
    """
    An input that comes chunk by chunk.

    Attributes:
        given: bytes that were asked for so far.
    """

    def __init__(self, data: bytes, step: int) -> None:
        self._data = data
        self._step = step
        self.given = 0

    def __iter__(self) -> Iterator[bytes]:
        while self.given < len(self._data):
            begin, self.given = self.given, self.given + self._step
            yield self._data[begin : self.given]


def expect(
    found: Sequence[Item], data: bytes, seeds: Sequence[Seed], known: Sequence[Sequence[tuple[int, Item]]]
) -> None:
    """
    Assert that what stands before the damage was found.

    Args:
        known: for each seed what is in it, and how many of its bytes that takes.
    """
    seed, whole = undamaged(data, seeds)
    index = next(index for index, one in enumerate(seeds) if one is seed)
    expected = [one for size, one in known[index] if size <= whole]
    assert list(found[: len(expected)]) == expected, f"of {len(expected)} before byte {whole} some are lost"


def _found(event: CapturedFrame) -> Found:
    return event.session.number, event.sender, event.frame
