"""How the connection of a call ends: who began it, and what the end is called."""

import sys

from websockets.frames import CloseCode
from websockets.server import ServerProtocol

from listenctl.server.calls import Ending


class Closing:
    """
    What is known of the end of one connection.

    Attributes:
        by: who has had us begin to close, empty while nobody has.
    """

    def __init__(self, protocol: ServerProtocol) -> None:
        self.by = ""
        self._protocol = protocol
        self._broken_off = ""
        self._unsent_before = sys.maxsize

    @property
    def has_begun(self) -> bool:
        """Whether either side has begun to close."""
        return bool(self.by) or self._protocol.close_expected()

    def break_off(self, reason: str) -> None:
        """Begin to end without a Close."""
        self.by = "nobody"
        self._broken_off = reason

    def is_read(self, unsent: int) -> bool:
        """Tell whether jambonz has read some of what waits, now ``unsent`` bytes, since this was asked before."""
        before, self._unsent_before = self._unsent_before, unsent
        return 0 < unsent < before

    def describe(self) -> Ending:
        """Return how the connection has ended."""
        received, sent = self._protocol.close_rcvd, self._protocol.close_sent
        by = "" if self._broken_off else self.by
        if received is not None:
            return Ending(by or "jambonz", received.code, received.reason)
        if sent is not None:
            return Ending(by or "listenctl", sent.code, sent.reason or str(self._protocol.parser_exc or ""))
        return Ending("nobody", CloseCode.ABNORMAL_CLOSURE, self._broken_off or "the connection broke")
