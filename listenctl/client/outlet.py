"""
What a simulated jambonz has to send, and when it leaves.

Texts go before audio, the first text before all others, and audio waits in jambonz's buffer while the server is slow;
each write takes all that waits there (protocol.md 2, 3.3). Faults come in here.
"""

from collections.abc import Callable

from listenctl.client.connection import Connection
from listenctl.client.faults import Troubles
from listenctl.protocol.fork import ForkBuffer


class Outlet:
    """
    Send the texts and the audio of one call.

    Args:
        first_text: what jambonz says about the call; it waits for the connection.
        elapsed: gives the seconds since the handshake was answered.
    """

    def __init__(self, fork: ForkBuffer, troubles: Troubles, first_text: bytes, elapsed: Callable[[], float]) -> None:
        self._fork = fork
        self._troubles = troubles
        self._first_text = troubles.first_text(first_text)
        self._waits_for_first_text = self._first_text is not None
        self._elapsed = elapsed
        self._texts: list[bytes] = []
        self._connection: Connection | None = None
        self.messages = 0
        """Binary messages that have left."""
        self.lost_samples = 0

    @property
    def waiting(self) -> int:
        """Bytes of audio that the server hasn't taken yet."""
        return self._fork.waiting + (self._connection.unsent if self._connection else 0)

    def open(self, connection: Connection) -> None:
        """Let out what waits, and from now on everything."""
        self._connection = connection
        self.flush()

    def close(self) -> None:
        """Let nothing out any more; what waits is gone."""
        self._connection = None

    def text(self, text: str) -> None:
        """Send a text as soon as one can leave."""
        self._texts.append(text.encode())
        self.flush()

    def audio(self, frame: bytes) -> int:
        """Send a frame, at once if the server takes it; return the samples per channel that got lost instead."""
        lost = self._fork.put(frame)
        self.lost_samples += lost
        self.flush()
        return lost

    def flush(self) -> None:
        """Send what can leave now."""
        if self._connection is None or not self._troubles.gate(self._elapsed()):
            return
        self._flush_texts(self._connection)
        self._flush_audio(self._connection)
        self._flush_texts(self._connection)

    def _flush_texts(self, connection: Connection) -> None:
        if self._waits_for_first_text:
            if not self._troubles.first_text_is_due(self._elapsed(), audio_sent=self.messages > 0):
                return
            self._waits_for_first_text = False
            self._texts.insert(0, self._first_text or b"")
        texts, self._texts = self._texts, []
        for text in self._troubles.together(texts):
            connection.send_text(text)

    def _flush_audio(self, connection: Connection) -> None:
        while connection.writable and (message := self._fork.take()):
            for chunk in self._troubles.cut(message):
                connection.send_audio(chunk)
            self.messages += 1
