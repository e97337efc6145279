"""The frames found in an input, in a form that can be compared."""

from collections.abc import Iterable, Iterator

from listenctl.capture.capture_events import CapturedAudio, CapturedFrame, CaptureEvent
from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.protocol.listen_session import Sender

Found = tuple[int, Sender, RawFrame]
"""The number of a session, the sender and the frame."""


def frames(events: Iterable[CaptureEvent]) -> Iterator[Found]:
    """Yield all frames, also those of joined audio."""
    for event in events:
        if isinstance(event, CapturedAudio):
            for number in range(len(event.times)):
                yield _found(event.frame(number))
        elif isinstance(event, CapturedFrame):
            yield _found(event)


def by_side(found: Iterable[Found]) -> dict[tuple[int, Sender], list[RawFrame]]:
    """Return the frames of each side of each session."""
    sides: dict[tuple[int, Sender], list[RawFrame]] = {}
    for session, sender, frame in found:
        sides.setdefault((session, sender), []).append(frame)
    return sides


class Growing:
    """
    An input in chunks.

    Attributes:
        given: bytes read so far.
    """

    def __init__(self, data: bytes, step: int) -> None:
        self._data = data
        self._step = step
        self.given = 0

    def __iter__(self) -> Iterator[bytes]:
        while self.given < len(self._data):
            begin, self.given = self.given, self.given + self._step
            yield self._data[begin : self.given]


def _found(event: CapturedFrame) -> Found:
    return event.session.number, event.sender, event.frame
