"""
Keep the frames of both ends in order of time while it is still sought where those of one end begin.

What is found then was said before much of what the other end's frames were read from in the meantime.
"""

from collections.abc import Hashable
from itertools import groupby

from listenctl.capture.captured import AudioSeen, CaptureEvent, FrameSeen, FramesLost, SessionClosed
from listenctl.capture.in_step import in_order
from listenctl.protocol.session import Sender

MOST_HELD = 10_000
"""Events that wait,"""
LONGEST = 30.0
"""and seconds: an end that says little may be sought for as long as the call lasts."""


class CatchingUp:
    """Hold the events of one connection while an end is sought."""

    def __init__(self) -> None:
        self._held: list[CaptureEvent] = []

    def take(self, events: list[CaptureEvent], *, seeking: bool) -> list[CaptureEvent]:
        """Return what can be given out after these."""
        if not seeking and not self._held:
            return events
        self._held += events
        if seeking and len(self._held) <= MOST_HELD and not self._is_long():
            return []
        return self.release()

    def release(self) -> list[CaptureEvent]:
        """Return what waits, in order of time."""
        held, self._held = self._held, []
        groups = ((movable, list(group)) for movable, group in groupby(held, _is_of_one_end))
        return [one for movable, group in groups for one in (in_order(group, _place) if movable else group)]

    def _is_long(self) -> bool:
        times = [_place(one)[0] for one in (*self._held[:2], *self._held[-1:]) if _is_of_one_end(one)]
        return bool(times) and max(times) - min(times) > LONGEST


def _sender_of(event: CaptureEvent) -> Sender | None:
    """Return whose end an event is of, None for those that are of both."""
    if isinstance(event, AudioSeen):
        return Sender.JAMBONZ
    return event.sender if isinstance(event, FrameSeen | FramesLost | SessionClosed) else None


def _is_of_one_end(event: CaptureEvent) -> bool:
    return _sender_of(event) is not None


def _place(event: CaptureEvent) -> tuple[float, Hashable]:
    assert isinstance(event, FrameSeen | AudioSeen | FramesLost | SessionClosed)
    return event.times[0] if isinstance(event, AudioSeen) else event.at, _sender_of(event)
