"""
One TCP connection, read when we choose and written without waiting; in the clear or through TLS.

asyncio's transports are no use here: they read as soon as one byte is there (fifty times a second and call), and after
a failed write they drop what the kernel still holds, which is the end of the call. A ``Link`` is read when its turn
comes, and a failed write never keeps it from being read to its end.
"""

import asyncio
import socket
import ssl
from contextlib import suppress
from typing import Protocol

READ_BYTES = 256 * 1024
MAX_UNSENT_BYTES = 64 * 1024 * 1024
"""What may wait for a peer that doesn't read, such as the longest of clips; it gets nothing more beyond that."""
TLS_RECORD_BYTES = 16 * 1024


class Link(Protocol):
    """What a connection needs of its transport."""

    error: str | None
    """Why the transport failed before anything could be said over it."""

    @property
    def unsent(self) -> int:
        """Bytes that the peer hasn't taken yet, beyond what the kernel keeps for it."""

    def read(self) -> bytes | None:
        """Return what has arrived, ``b""`` at the end of the stream, None when there is nothing at the moment."""

    def write(self, data: bytes) -> None:
        """Send, keeping what the peer doesn't take yet. Never fails: that the peer is gone is read, not written."""

    def end_writing(self) -> None:
        """Tell the peer that nothing more will come, once all is sent."""

    def close(self) -> None:
        """Close the connection at once."""

    def fileno(self) -> int:
        """Return the descriptor, to wait on."""


class PlainLink:
    """A TCP connection in the clear."""

    # One buffer for all connections: a read is complete, and copied, before the next one begins.
    _buffer = bytearray(READ_BYTES)
    _view = memoryview(_buffer)

    def __init__(self, connection: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        connection.setblocking(False)
        self._socket = connection
        self._loop = loop
        self._unsent = bytearray()
        self._ends_writing = False
        self._broken = False
        self.error: str | None = None

    @property
    def unsent(self) -> int:
        """Bytes that wait."""
        return len(self._unsent)

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._socket.fileno()

    def read(self) -> bytes | None:
        """Return what has arrived."""
        try:
            count = self._socket.recv_into(self._buffer)
        except BlockingIOError:
            return None
        except OSError:
            # After a reset the kernel gives what it had received first, and only then the error.
            return b""
        return bytes(self._view[:count])

    def write(self, data: bytes) -> None:
        """Send, keeping what can't be sent yet."""
        if self._broken:
            return
        if self._unsent:
            self._unsent += data
            if len(self._unsent) > MAX_UNSENT_BYTES:
                self._broken = True
                self._forget_unsent()
            return
        sent = self._send(data)
        if sent < len(data) and not self._broken:
            self._unsent += data[sent:]
            self._loop.add_writer(self._socket, self._flush)

    def end_writing(self) -> None:
        """End our side."""
        self._ends_writing = True
        if not self._unsent and not self._broken:
            self._shut_down()

    def close(self) -> None:
        """Close at once."""
        self._forget_unsent()
        self._socket.close()

    def _send(self, data: bytes | bytearray) -> int:
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            self._broken = True
            return 0

    def _flush(self) -> None:
        del self._unsent[: self._send(self._unsent)]
        if self._broken or not self._unsent:
            self._forget_unsent()
            if self._ends_writing and not self._broken:
                self._shut_down()

    def _forget_unsent(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.remove_writer(self._socket)
        self._unsent.clear()

    def _shut_down(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self._broken = True


class TlsLink:
    """
    A TCP connection through TLS, decrypted in batches too.

    The handshake runs by itself as data comes in; ``read`` returns None until it is done.
    """

    def __init__(self, link: Link, context: ssl.SSLContext) -> None:
        self._link = link
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._shaken = False
        self._ended = False
        self.error: str | None = None

    @property
    def unsent(self) -> int:
        """Bytes that wait, encrypted."""
        return self._link.unsent

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._link.fileno()

    def read(self) -> bytes | None:
        """Return what has arrived."""
        if self._ended:
            return b""
        data = self._link.read()
        if data is None:
            return None
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
            self._ended = True
        clear = self._decrypt()
        self._send_encrypted()
        return clear or (b"" if self._ended else None)

    def write(self, data: bytes) -> None:
        """Send, keeping what can't be sent yet."""
        if self._shaken and not self._ended:
            self._tls.write(data)
            self._send_encrypted()

    def end_writing(self) -> None:
        """End our side."""
        if self._shaken and not self._ended:
            # The peer's own close_notify has not come, which is an error; ours is on its way, and that is all we want.
            with suppress(ssl.SSLError):
                self._tls.unwrap()
            self._send_encrypted()
        self._link.end_writing()

    def close(self) -> None:
        """Close at once."""
        self._link.close()

    def _decrypt(self) -> bytes:
        pieces: list[bytes] = []
        try:
            if not self._shaken:
                self._tls.do_handshake()
                self._shaken = True
            while piece := self._tls.read(TLS_RECORD_BYTES):
                pieces.append(piece)
            self._ended = True  # By close_notify; whoever only has nothing at the moment raises.
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as exc:
            self._ended = True
            reason = "the client speaks ws://, this port wss://" if exc.reason == "HTTP_REQUEST" else exc.reason or exc
            self.error = f"TLS failed: {reason}"
        return b"".join(pieces)

    def _send_encrypted(self) -> None:
        if self._outgoing.pending:
            self._link.write(self._outgoing.read())
