"""
The link between a parent and a worker: a socket pair, over which objects go as their length and their pickle.

Both ends are the same program, started by the same user; nobody else has the socket.
"""

import asyncio
import pickle
import socket
import struct
from collections.abc import Callable

from listenctl.server.workers.link_messages import LinkMessage

MAX_UNSENT_BYTES = 64 * 1024 * 1024
"""What may wait for an end that doesn't read, such as a parent that is suspended; messages beyond that are lost."""
CLOSE_LIMIT = 2.0

_LENGTH = struct.Struct("=I")


class WorkerLink(asyncio.Protocol):
    def __init__(self, take: Callable[[LinkMessage], None], on_end: Callable[[], None]) -> None:
        self.lost_messages = 0
        self._take = take  # called with each message of the other end
        self._on_end = on_end  # called when the other end has gone
        self._loop = asyncio.get_running_loop()
        self._received = bytearray()
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self._ended = asyncio.Event()
        self._transport: asyncio.Transport

    @classmethod
    async def open(
        cls, connection: socket.socket, take: Callable[[LinkMessage], None], on_end: Callable[[], None] = lambda: None
    ) -> "WorkerLink":
        loop = asyncio.get_running_loop()
        _, link = await loop.create_unix_connection(lambda: cls(take, on_end), sock=connection)
        return link

    def send(self, message: LinkMessage) -> None:
        """Send a message with the others of this turn of the loop: each write wakes the other end, too."""
        if self._unsent_bytes + self._transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self.lost_messages += 1
            return
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(data := pack_message(message))
        self._unsent_bytes += len(data)

    async def close(self) -> None:
        """Close when the other end has taken everything, or does not read for a while."""
        self._on_end = lambda: None
        self._flush()
        self._transport.close()
        try:
            async with asyncio.timeout(CLOSE_LIMIT):
                await self._ended.wait()
        except TimeoutError:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        received = self._received
        received += data
        begin = 0
        while len(received) - begin >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(received, begin)
            end = begin + _LENGTH.size + length
            if end > len(received):
                break
            message = pickle.loads(received[begin + _LENGTH.size : end])
            begin = end
            self._take(message)
        del received[:begin]

    def _flush(self) -> None:
        unsent, self._unsent, self._unsent_bytes = self._unsent, [], 0
        if unsent and not self._transport.is_closing():
            self._transport.write(b"".join(unsent))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - either way it is the end
        self._ended.set()
        self._on_end()


def pack_message(message: LinkMessage) -> bytes:
    data = pickle.dumps(message)
    return _LENGTH.pack(len(data)) + data


def receive_message(connection: socket.socket) -> object:
    """Wait for one message; raises EOFError if the other end is gone."""
    (length,) = _LENGTH.unpack(_receive_bytes(connection, _LENGTH.size))
    return pickle.loads(_receive_bytes(connection, length))


def _receive_bytes(connection: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        more = connection.recv(length - len(data))
        if not more:
            raise EOFError
        data += more
    return data
