"""
What the sizes of a call's binary messages show: the usual size is one frame. After jambonz threw its buffer away, a
message lacks its first 16 bytes, and what it had queued arrives as one long message (listenctl-protocol(7) 3.3).
"""

from collections import deque
from dataclasses import dataclass, field

SLIP_BYTES = 16
# Frames that the sender's thread was late for arrive two, three or four at once (listenctl-protocol(7) 13).
MOST_COALESCED = 4
MOST_KEPT = 16


@dataclass(slots=True)
class MessageSizes:
    """The unusual sizes of a call so far."""

    usual: int = 0  # bytes of one frame, 0 until they are known
    previous: int = 0
    slips: deque[int] = field(default_factory=lambda: deque(maxlen=MOST_KEPT))
    """Bytes of audio before each of the last messages that lacked its first bytes."""
    backlogs: deque[int] = field(default_factory=lambda: deque(maxlen=MOST_KEPT))
    """Bytes of audio before each of the last messages that had been queued."""
    _first: int = 0
    _end: int = 0  # bytes of audio up to the end of the last message that was not usual

    @property
    def first_lacks_head(self) -> bool:
        """Whether audio was thrown away before the first message."""
        return self.usual > 0 and self._lacks_head(self._first)

    def add_messages(self, size: int, messages: int, position: int) -> None:
        self._first = self._first or size
        repeated = messages > 1 or (size == self.previous and position == self._end)
        if repeated and (not self.usual or size < self.usual):
            self.usual = size
        elif self.usual and self._lacks_head(size):
            self.slips.append(position)
        elif self.usual and size > MOST_COALESCED * self.usual:
            self.backlogs.append(position)
        self.previous, self._end = size, position + messages * size

    def _lacks_head(self, size: int) -> bool:
        return size % self.usual > 0 and (size + SLIP_BYTES) % self.usual == 0
