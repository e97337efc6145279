"""What jambonz may still hold back of a stream, and how to get it out."""

from listenctl.protocol.audio import SAMPLE_BYTES

FLUSH = 0.16
"""Seconds of audio that push out all that the pre-buffer holds, whatever the rates (protocol.md 6.2)."""
_WIDEST_RATE = 24_000


class StreamTail:
    """
    Follow the end of what was streamed.

    killAudio clears what plays but not the pre-buffer, whose rest would be heard before the next sound (protocol.md
    6.3). Zeros behind it push it out, and a killAudio directly behind them clears it with them.
    """

    def __init__(self) -> None:
        self._sounds = False
        self._zeros = 0

    def stream(self, data: bytes) -> None:
        """Take notice of audio that is sent."""
        zeros = len(data) - len(data.rstrip(b"\0"))
        if zeros < len(data):
            self._sounds = True
            self._zeros = 0
        self._zeros += zeros

    def forget(self) -> None:
        """Take notice that nothing of it is to be pushed out any more."""
        self._sounds = False

    def zeros(self, rate: int | None) -> bytes:
        """Return the zeros to send before a killAudio, none if only silence can be held back."""
        size = round(FLUSH * (rate or _WIDEST_RATE)) * SAMPLE_BYTES
        # Without need they would make marks wait for them that are cleared else, and cost others (protocol.md 6.4).
        return bytes(size) if self._sounds and self._zeros < size else b""
