"""
A TCP connection that is read on request and written without waiting, in the clear or through TLS.

Both sides use it instead of asyncio's transports. Those read as soon as a byte arrives (fifty times a second per call);
after a failed write they drop what the kernel still holds, which may be the peer's Close; and their TLS can't end only
one direction.
"""

import asyncio
import socket
import ssl
import struct
import sys
from collections.abc import Callable
from contextlib import suppress

from listenctl.protocol.proxy_protocol import ProxyHeader, parse_proxy_header

READ_BYTES = 256 * 1024
_TLS_RECORD_BYTES = 16 * 1024


class NonblockingSocket:
    """
    A write never fails: the end of the connection shows in reading, after all data that the kernel has received. Once
    more than ``max_unsent`` bytes wait for a peer that doesn't read, nothing is sent any more. With ``check_proxy`` the
    connection begins with a PROXY header, which is given to it; a ConnectionError that it raises ends the connection.
    """

    # One buffer for all connections: a read is complete, and copied, before the next one begins.
    _buffer = bytearray(READ_BYTES)
    _view = memoryview(_buffer)

    def __init__(
        self,
        connection: socket.socket,
        loop: asyncio.AbstractEventLoop,
        *,
        write_size: int = sys.maxsize,
        max_unsent: int = sys.maxsize,
        check_proxy: Callable[[ProxyHeader], None] | None = None,
    ) -> None:
        connection.setblocking(False)
        self.on_drained: Callable[[], None] = lambda: None  # called when nothing waits to be sent any more
        self.error: OSError | None = None
        """What broke the connection; a failed TLS handshake is an ``ssl.SSLError``."""
        self.proxy_header: ProxyHeader | None = None  # once it has arrived
        self.stream_ended = False  # whether there is nothing more to read
        self._socket = connection
        self._loop = loop
        self._write_size = write_size  # the most bytes of one write
        self._max_unsent = max_unsent
        self._unsent = bytearray()
        self._check_proxy = check_proxy
        self._proxy_head: bytes | None = None if check_proxy is None else b""  # what has arrived of the header
        self._proxy_failed = False
        self._ends_writing = False
        self._broken = False
        self._closed = False
        # What the event loop watches the socket for: asked to stop what it doesn't do, it formats an error message with
        # the addresses of both sides, which took a tenth of the time of a short call.
        self._has_reader = self._has_writer = False

    @property
    def unsent(self) -> int:
        return len(self._unsent)

    def call_when_readable(self, callback: Callable[[], object] | None) -> None:
        """Call ``callback`` whenever there is something to read; None stops that."""
        if callback is not None:
            self._has_reader = True
            self._loop.add_reader(self._socket, callback)
        elif self._has_reader:
            self._has_reader = False
            self._loop.remove_reader(self._socket)

    def read(self) -> bytes | None:
        """Return what has arrived, ``b""`` at the end of the stream, None if there is nothing at the moment."""
        try:
            count = self._socket.recv_into(self._buffer)
        except BlockingIOError:
            return None
        except OSError as exc:
            # After a reset the kernel returns what it had received first, and only then the error.
            count, self.error = 0, exc
        if not count:
            self.stream_ended = True
        data = bytes(self._view[:count])
        return data if self._proxy_head is None else self._take_proxy_header(self._proxy_head + data)

    def _take_proxy_header(self, data: bytes) -> bytes | None:
        """Return what follows the PROXY header, None if there is nothing yet."""
        try:
            self.proxy_header = parse_proxy_header(data)
            if self.proxy_header is not None and self._check_proxy is not None:
                self._check_proxy(self.proxy_header)
        except ConnectionError as exc:
            self.error, self.stream_ended, self._proxy_head, self._proxy_failed = exc, True, None, True
            return b""
        if self.proxy_header is None:
            self._proxy_head = data
            return b"" if self.stream_ended else None
        self._proxy_head = None
        return data[self.proxy_header.size :] or (b"" if self.stream_ended else None)

    def write(self, data: bytes) -> None:
        """Send, and keep what the kernel doesn't take yet."""
        if self._broken or self._ends_writing or self._closed:
            return
        if len(data) <= self._write_size:
            self._write_piece(data)
            return
        for at in range(0, len(data), self._write_size):
            self._write_piece(data[at : at + self._write_size])

    def write_unless_blocked(self, data: bytes) -> int | None:
        """Write unless something waits already; return how many bytes wait now, None if nothing was written."""
        if self._unsent:
            return None
        self.write(data)
        return len(self._unsent)

    def end_writing(self) -> None:
        """Send FIN as soon as everything else is sent."""
        if self._ends_writing or self._broken or self._closed:
            return
        self._ends_writing = True
        if not self._unsent:
            self._shut_down()

    def close(self) -> None:
        """Close both directions at once; what has not been sent is dropped."""
        if not self._closed:
            self.call_when_readable(None)
            self._drop_unsent()
            self._closed = True
            self._socket.close()

    def reset(self) -> None:
        if not self._closed:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close()

    def _write_piece(self, data: bytes) -> None:
        self._send(data)

    def _send(self, data: bytes) -> None:
        if self._unsent:
            self._unsent += data
            if len(self._unsent) > self._max_unsent:
                self._broken = True
                self._drop_unsent()
            return
        sent = self._try_send(data)
        if sent < len(data) and not self._broken:
            self._unsent += data[sent:]
            self._has_writer = True
            self._loop.add_writer(self._socket, self._send_unsent)

    def _try_send(self, data: bytes | memoryview) -> int:
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0
        except OSError as exc:
            # The kernel reports a reset only once: if a write gets it, a read sees an ordinary end.
            self._broken, self.error = True, exc
            return 0

    def _send_unsent(self) -> None:
        total = 0
        with memoryview(self._unsent) as unsent:
            while total < len(unsent) and (sent := self._try_send(unsent[total : total + self._write_size])):
                total += sent
        del self._unsent[:total]
        if self._unsent and not self._broken:
            return
        self._drop_unsent()
        if self._ends_writing and not self._broken:
            self._shut_down()
        self.on_drained()

    def _drop_unsent(self) -> None:
        if self._has_writer:
            self._has_writer = False
            self._loop.remove_writer(self._socket)
        self._unsent.clear()

    def _shut_down(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self._broken = True


class TlsStream:
    """TLS without a socket: encrypted bytes in, clear bytes out, and back; without ``server_hostname`` a server."""

    def __init__(self, context: ssl.SSLContext, *, server_hostname: str | None = None) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_hostname is None, server_hostname=server_hostname
        )
        self.handshake_done = False
        self.failure: ssl.SSLError | None = None
        """What the peer objected to after the handshake, such as a missing certificate; it ended the stream."""
        self.stream_ended = False
        """Whether the peer has ended the stream, by close_notify or by something that isn't TLS."""

    def take_outgoing(self) -> bytes:
        return self._outgoing.read()

    def receive_data(self, data: bytes) -> None:
        """Keep what has arrived for the handshake and for decrypting; ``b""`` is the end of the connection."""
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
            self.stream_ended = True

    def do_handshake(self) -> bool:
        """Continue the handshake, and return whether it is done; raises ssl.SSLError if it fails."""
        if not self.handshake_done:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                return False
            self.handshake_done = True
        return True

    def decrypt(self) -> bytes:
        """Return what has arrived, in the clear; a fault ends the stream."""
        # OpenSSL returns one record a call, which takes it most of the time. Reading into one buffer, or no more than a
        # record, makes no difference.
        pieces: list[bytes] = []
        try:
            while piece := self._tls.read(_TLS_RECORD_BYTES):
                pieces.append(piece)
            self.stream_ended = True  # By close_notify; otherwise reading raises.
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as exc:
            self.stream_ended = True
            self.failure = None if isinstance(exc, ssl.SSLEOFError) else exc
        return b"".join(pieces)

    def encrypt(self, data: bytes) -> bytes:
        """Return ``data`` as one record, and what else is to be sent."""
        # A peer that failed can't be written to; its end shows in reading.
        with suppress(ssl.SSLError):
            self._tls.write(data)
        return self._outgoing.read()

    def end_writing(self) -> bytes:
        """Return the close_notify."""
        # The library raises an error until the peer's close_notify has arrived, but ours is written anyway.
        with suppress(ssl.SSLError):
            self._tls.unwrap()
        return self._outgoing.read()


class TlsSocket(NonblockingSocket):
    """The handshake, unless it is done already, continues with what is read; ``read`` returns None until it is done."""

    def __init__(
        self,
        connection: socket.socket,
        loop: asyncio.AbstractEventLoop,
        tls: TlsStream,
        *,
        write_size: int = sys.maxsize,
        max_unsent: int = sys.maxsize,
        check_proxy: Callable[[ProxyHeader], None] | None = None,
    ) -> None:
        super().__init__(connection, loop, write_size=write_size, max_unsent=max_unsent, check_proxy=check_proxy)
        self._tls = tls

    def read(self) -> bytes | None:
        if self.stream_ended:
            return b""
        data = super().read()
        if data is None or self._proxy_failed:
            return data
        self._tls.receive_data(data)
        clear = self._decrypt()
        if (answer := self._tls.take_outgoing()) and not (self._broken or self._ends_writing):
            self._send(answer)
        self.stream_ended |= self._tls.stream_ended
        return clear or (b"" if self.stream_ended else None)

    def end_writing(self) -> None:
        """Send close_notify and then FIN as soon as everything else is sent."""
        if self._tls.handshake_done and not (self._ends_writing or self._broken or self._closed):
            self._send(self._tls.end_writing())
        super().end_writing()

    def _decrypt(self) -> bytes:
        try:
            return self._tls.decrypt() if self._tls.do_handshake() else b""
        except ssl.SSLError as exc:
            self.error, self.stream_ended = exc, True
            return b""

    def _write_piece(self, data: bytes) -> None:
        if self._tls.handshake_done:
            self._send(self._tls.encrypt(data))
