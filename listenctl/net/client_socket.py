"""
One connection to a server, in the clear or through TLS: written without waiting, half-closed at once, read to its end.

asyncio's transports are no use here: after a failed write they drop what the kernel still holds, which may be the
server's Close; their TLS can't end one direction; and jambonz's writes have a size (protocol.md 13).
"""

import asyncio
import socket
import struct
from typing import Protocol

from listenctl.net.memory_tls import TlsStream

WRITE_BYTES = 1044
"""jambonz writes no more at once, so that longer frames arrive in parts (protocol.md 13)."""
READ_BYTES = 256 * 1024


class Receiver(Protocol):
    """Who is told what happens on a wire."""

    def on_bytes(self, data: bytes) -> None:
        """Data has arrived."""

    def on_stream_end(self, error: OSError | None) -> None:
        """Nothing more will arrive, by the server's FIN or because of ``error``."""

    def on_drained(self) -> None:
        """Nothing waits to be sent any more."""


class Wire:
    """
    A connected socket, and TLS over it when that is given, its handshake done.

    Nothing is read before ``start`` and ``resume_reading``.
    """

    # One buffer for all connections: a read is complete, and copied, before the next one begins.
    _buffer = bytearray(READ_BYTES)
    _view = memoryview(_buffer)

    def __init__(self, connection: socket.socket, tls: TlsStream | None, loop: asyncio.AbstractEventLoop) -> None:
        connection.setblocking(False)
        self._socket = connection
        self._tls = tls
        self._loop = loop
        self._receiver: Receiver | None = None
        self._unsent = bytearray()
        self._reading = False
        self._stream_ended = False
        self._ends_writing = False
        self._broken = False
        self._write_error: OSError | None = None
        self._closed = False

    @property
    def unsent(self) -> int:
        """Bytes that the kernel hasn't taken."""
        return len(self._unsent)

    def start(self, receiver: Receiver) -> None:
        """Tell ``receiver`` from now on."""
        self._receiver = receiver

    def pause_reading(self) -> None:
        """Leave in the kernel what arrives."""
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._socket)

    def resume_reading(self) -> None:
        """Read what arrives."""
        if self._receiver is not None and not (self._reading or self._stream_ended or self._closed):
            self._reading = True
            self._loop.add_reader(self._socket, self._on_readable)

    def write(self, data: bytes) -> None:
        """Send, keeping what can't be sent yet. Never fails: that the server is gone is read, not written."""
        if self._broken or self._ends_writing or self._closed:
            return
        if len(data) <= WRITE_BYTES:
            self._write(data)
            return
        for at in range(0, len(data), WRITE_BYTES):
            self._write(data[at : at + WRITE_BYTES])

    def end_writing(self) -> None:
        """Send FIN, after close_notify and as soon as all else is sent."""
        if self._ends_writing or self._broken or self._closed:
            return
        if self._tls is not None:
            self._send(self._tls.end_writing())
        self._ends_writing = True
        if not self._unsent:
            self._shut_down()

    def close(self) -> None:
        """Close at once, both directions; what waits is dropped."""
        if self._closed:
            return
        self.pause_reading()
        self._forget_unsent()
        self._closed = True
        self._socket.close()

    def reset(self) -> None:
        """Close with RST, as when the media server dies."""
        if not self._closed:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close()

    def _write(self, data: bytes) -> None:
        self._send(data if self._tls is None else self._tls.encrypt(data))

    def _send(self, data: bytes) -> None:
        if self._unsent:
            self._unsent += data
            return
        sent = self._try_send(data)
        if sent < len(data) and not self._broken:
            self._unsent += data[sent:]
            self._loop.add_writer(self._socket, self._on_writable)

    def _try_send(self, data: bytes | bytearray | memoryview) -> int:
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0
        except OSError as exc:
            # A reset is told once: reading will only say that there is no more.
            self._broken, self._write_error = True, exc
            return 0

    def _on_writable(self) -> None:
        sent = total = 0
        with memoryview(self._unsent) as waiting:
            while total < len(waiting) and (sent := self._try_send(waiting[total : total + WRITE_BYTES])):
                total += sent
        del self._unsent[:total]
        if self._unsent and not self._broken:
            return
        self._forget_unsent()
        if self._ends_writing and not self._broken:
            self._shut_down()
        if self._receiver is not None:
            self._receiver.on_drained()

    def _forget_unsent(self) -> None:
        self._loop.remove_writer(self._socket)
        self._unsent.clear()

    def _shut_down(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self._broken = True

    def _on_readable(self) -> None:
        error: OSError | None = None
        try:
            count = self._socket.recv_into(self._buffer)
        except BlockingIOError:
            return
        except OSError as exc:
            # After a reset the kernel gives what it had received first, and only then the error.
            count, error = 0, exc
        assert self._receiver is not None
        if count:
            self._take(bytes(self._view[:count]))
        if not count or (self._tls is not None and self._tls.ended):
            self._end_stream(error or self._write_error)

    def _take(self, data: bytes) -> None:
        assert self._receiver is not None
        if self._tls is not None:
            data = self._tls.decrypt(data)
            if answer := self._tls.pending():
                self._send_unless_over(answer)
        if data:
            self._receiver.on_bytes(data)

    def _send_unless_over(self, data: bytes) -> None:
        if not (self._broken or self._ends_writing):
            self._send(data)

    def _end_stream(self, error: OSError | None) -> None:
        self.pause_reading()
        # Whoever was told of the last bytes may have closed the connection.
        if not (self._stream_ended or self._closed):
            self._stream_ended = True
            assert self._receiver is not None
            self._receiver.on_stream_end(error)
