"""What decides whether there may be another call, and what its id is: known to one process, or shared by workers."""

from collections import OrderedDict
from typing import Protocol

REMEMBERED_IDS = 10_000


class CallCounts(Protocol):
    def claim_call(self, connections: int, calls: int, limit: int) -> bool:
        """Return whether this process, which has so many ``connections`` and ``calls``, may have one call more."""

    def count_all(self, calls: int) -> int:
        """Return how many calls there are if this process has ``calls``."""

    def note_load(self, connections: int, calls: int) -> None:
        """Take what this process has."""

    def may_accept(self) -> bool:
        """Return whether the next connection should be accepted here."""

    def count_unknown(self) -> int:
        """Return the number of a call without a callSid, from 1."""

    def count_stream(self, name: str) -> int:
        """Return the number of a stream of the call ``name``, from 1."""


class OwnCounts:
    """The counts of a server of one process."""

    def __init__(self) -> None:
        self._streams: OrderedDict[str, int] = OrderedDict()
        self._unknown = 0

    def claim_call(self, connections: int, calls: int, limit: int) -> bool:  # noqa: ARG002 - there are no others
        return calls < limit

    def count_all(self, calls: int) -> int:
        return calls

    def note_load(self, connections: int, calls: int) -> None:
        """Do nothing: nobody else counts."""

    def may_accept(self) -> bool:
        return True

    def count_unknown(self) -> int:
        self._unknown += 1
        return self._unknown

    def count_stream(self, name: str) -> int:
        count = self._streams.pop(name, 0) + 1
        self._streams[name] = count
        if len(self._streams) > REMEMBERED_IDS:
            self._streams.popitem(last=False)
        return count
