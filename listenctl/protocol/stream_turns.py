"""
Whose audio is streamed to the caller, when several tools want to: one at a time, the others wait in order.

jambonz joins an odd byte to whatever comes next (protocol.md 6.1), so each turn begins and ends with a whole sample:
otherwise one tool's half sample turns all that the next one sends into noise.
"""

from collections import deque
from dataclasses import dataclass

from listenctl.protocol.audio import SAMPLE_BYTES


@dataclass(frozen=True, slots=True)
class TurnEnd:
    """What the end of a turn brings: bytes that complete the last sample, and the tool whose turn it is now."""

    padding: bytes = b""
    next: int | None = None


class StreamTurns:
    """Keep the turns of one call."""

    def __init__(self) -> None:
        self.holder: int | None = None
        self._waiting: deque[int] = deque()
        # The tools that have sent half a sample, also those whose audio is dropped.
        self._within_sample: set[int] = set()

    @property
    def is_within_sample(self) -> bool:
        """Whether jambonz has half a sample, and its tool goes on with the other half."""
        return self.holder in self._within_sample

    def audio(self, tool: int, data: bytes, *, free: bool = True) -> bytes | None:
        """
        Return what may be streamed of a tool's audio; None if it isn't its turn.

        Args:
            free: whether the audio takes the stream where nobody has it.
        """
        if self.holder is None and free:
            self.holder = tool
            data = self._from_whole_sample(tool, data)
        if len(data) % SAMPLE_BYTES:
            self._within_sample ^= {tool}
        return data if self.holder == tool else None

    def ask(self, tool: int) -> bool:
        """Have a tool take the stream, or wait for it; tell whether it has it."""
        if self.holder is None:
            self._begin(tool)
        elif self.holder != tool and tool not in self._waiting:
            self._waiting.append(tool)
        return self.holder == tool

    def leave(self, tool: int) -> TurnEnd:
        """End a tool's turn, or its waiting."""
        if tool in self._waiting:
            self._waiting.remove(tool)
        padding = bytes(tool in self._within_sample)
        self._within_sample.discard(tool)
        if self.holder != tool:
            return TurnEnd()
        self.holder = None
        if self._waiting:
            self._begin(self._waiting.popleft())
        return TurnEnd(padding, self.holder)

    def _begin(self, tool: int) -> None:
        self.holder = tool
        # What it sent before was dropped, and it begins anew.
        self._within_sample.discard(tool)

    def _from_whole_sample(self, tool: int, data: bytes) -> bytes:
        if tool not in self._within_sample:
            return data
        self._within_sample.discard(tool)
        return data[1:]
