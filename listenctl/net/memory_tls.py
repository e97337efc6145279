"""TLS between a socket and us, as bytes in and bytes out: no asyncio transport can end one direction at once."""

import ssl
from contextlib import suppress

_RECORD_BYTES = 16 * 1024


class TlsStream:
    """
    One TLS connection as its client; what ``pending`` returns is to be sent after every call.

    Args:
        host: the name that the certificate must be for; it is sent as SNI.
    """

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self.ended = False
        """Whether the peer has ended the stream, by close_notify or by something that is no TLS."""

    def pending(self) -> bytes:
        """Return what is to be sent now."""
        return self._outgoing.read()

    def shake(self, data: bytes) -> bool:
        """
        Take what has arrived, and return whether the handshake is done.

        Raises:
            ssl.SSLError: The peers don't agree, or the certificate isn't trusted.
        """
        self._incoming.write(data)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def decrypt(self, data: bytes) -> bytes:
        """Return what ``data`` brings in the clear; a fault ends the stream."""
        self._incoming.write(data)
        pieces: list[bytes] = []
        try:
            while piece := self._tls.read(_RECORD_BYTES):
                pieces.append(piece)
            self.ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            self.ended = True
        return b"".join(pieces)

    def encrypt(self, data: bytes) -> bytes:
        """Return ``data`` as one record, and what else is to be sent."""
        # A peer that failed can't be written to; its end shows in reading.
        with suppress(ssl.SSLError):
            self._tls.write(data)
        return self._outgoing.read()

    def end_writing(self) -> bytes:
        """Return the close_notify."""
        # The peer's own has not come yet, which the library calls an error; ours is written nevertheless.
        with suppress(ssl.SSLError):
            self._tls.unwrap()
        return self._outgoing.read()
