"""
What the sizes of a call's binary messages show: the usual size is one frame. After jambonz threw its buffer away, a
message lacks its first 16 bytes, and what it had queued arrives as one long message (listenctl-protocol(7) 3.3).
"""

from dataclasses import dataclass

SLIP_BYTES = 16
# Frames that the sender's thread was late for arrive two, three or four at once (listenctl-protocol(7) 13).
MOST_COALESCED = 4


@dataclass(slots=True)
class MessageSizes:
    """The unusual sizes of a call so far."""

    usual: int = 0  # bytes of one frame, 0 until they are known
    previous: int = 0
    slip: int = -1  # bytes of audio before the last message that lacked its first bytes, -1 without one
    backlog: int = -1  # bytes of audio before the last message that had been queued, -1 without one
    _first: int = 0

    @property
    def first_lacks_head(self) -> bool:
        """Whether audio was thrown away before the first message."""
        return self.usual > 0 and self._lacks_head(self._first)

    def add_messages(self, size: int, messages: int, position: int) -> None:
        self._first = self._first or size
        repeated = messages > 1 or size == self.previous
        if repeated and (not self.usual or size < self.usual):
            self.usual = size
        elif self.usual and self._lacks_head(size):
            self.slip = position
        elif self.usual and size > MOST_COALESCED * self.usual:
            self.backlog = position
        self.previous = size

    def _lacks_head(self, size: int) -> bool:
        return size % self.usual > 0 and (size + SLIP_BYTES) % self.usual == 0
