"""Sockets that are read on request and written without waiting, both ends in one process."""

import asyncio
import socket
import ssl
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from listenctl.net.nonblocking_socket import NonblockingSocket, TlsSocket, TlsStream

pytestmark = pytest.mark.simulated_time

MEBIBYTE = 1024 * 1024


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    far.setblocking(False)
    with near, far:
        yield near, far


class TlsPair:
    """A TLS server and its client; ``exchange`` lets both read until nothing is under way."""

    def __init__(self, certificate: Path, server: socket.socket, client: socket.socket, *, trusts: bool = True) -> None:
        serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        serving.load_cert_chain(certificate)
        trusting = ssl.create_default_context(cafile=certificate if trusts else None)
        loop = asyncio.get_running_loop()
        self.server = TlsSocket(server, loop, TlsStream(serving))
        self.client = TlsSocket(client, loop, TlsStream(trusting, server_hostname="127.0.0.1"))
        self.received: dict[TlsSocket, list[bytes]] = {self.server: [], self.client: []}

    def exchange(self) -> None:
        for _ in range(10):
            for one, received in self.received.items():
                # The handshake begins with a client that has read nothing yet.
                data = b"" if one.stream_ended else one.read()
                received.extend([data] if data else [])
                if data is None and one is self.client:
                    self._begin_handshake()

    def _begin_handshake(self) -> None:
        if not self.client._tls.handshake_done and self.client.error is None:
            self.client._decrypt()
            self.client._send(self.client._tls.take_outgoing())


async def test_a_slow_reader_gets_everything_in_order(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    drained = asyncio.Event()
    one = NonblockingSocket(near, asyncio.get_running_loop())
    one.on_drained = drained.set
    reader, writer = await asyncio.open_connection(sock=far)
    pieces = [bytes([number % 256]) * 50_000 for number in range(100)]

    for piece in pieces:
        one.write(piece)
    one.end_writing()
    one.write(b"behind the end")
    received = await reader.read()

    assert received == b"".join(pieces)
    assert drained.is_set()
    # Nothing is left to watch.
    assert not asyncio.get_running_loop().remove_writer(near)
    one.close()
    writer.close()


async def test_what_waits_for_a_peer_that_reads_nothing_is_bounded(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    one = NonblockingSocket(near, asyncio.get_running_loop(), max_unsent=4 * MEBIBYTE)

    for _ in range(8):
        one.write(bytes(MEBIBYTE))
        assert one.unsent <= 4 * MEBIBYTE
    far.send(b"still heard")

    assert one.unsent == 0
    assert one.read() == b"still heard"
    assert one.read() is None
    one.close()


async def test_nothing_is_written_behind_what_waits_unless_it_may_wait_too(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    near, _ = pair
    one = NonblockingSocket(near, asyncio.get_running_loop())

    written = [one.write_unless_blocked(bytes(MEBIBYTE)) for _ in range(8)]
    waiting = one.unsent

    blocked = next(number for number, unsent in enumerate(written) if unsent)
    assert written == [0] * blocked + [waiting] + [None] * (7 - blocked)
    assert 0 < waiting <= MEBIBYTE
    one.close()


async def test_writes_are_cut_to_their_size() -> None:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    one = NonblockingSocket(near, asyncio.get_running_loop(), write_size=1044)

    one.write(bytes(1288))
    one.write(bytes(328))

    assert [len(far.recv(65536)) for _ in range(3)] == [1044, 244, 328]
    one.close()
    far.close()


async def test_a_reset_loses_nothing_that_had_arrived_and_is_reported_after_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        far = socket.create_connection(server.getsockname())
        near, _ = server.accept()
    one = NonblockingSocket(near, asyncio.get_running_loop())
    readable = asyncio.Event()
    one.call_when_readable(readable.set)

    far.send(b"last words")
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    far.close()
    await readable.wait()
    one.call_when_readable(None)

    for _ in range(3):
        one.write(b"x")
    assert one.read() in (b"last words", b"")
    assert one.read() == b""
    assert one.stream_ended
    assert isinstance(one.error, ConnectionError)
    one.close()
    one.close()


async def test_tls_carries_both_directions_and_ends_each_with_close_notify(
    pair: tuple[socket.socket, socket.socket], certificate: Path
) -> None:
    ends = TlsPair(certificate, *pair)
    ends.server.write(b"before the handshake nothing can be sent")

    ends.exchange()
    ends.client.write(bytes(100_000))
    ends.server.write(b"hello")
    ends.exchange()
    ends.client.end_writing()
    ends.exchange()

    assert b"".join(ends.received[ends.server]) == bytes(100_000)
    assert b"".join(ends.received[ends.client]) == b"hello"
    assert (ends.server.stream_ended, ends.server.error) == (True, None)
    assert ends.server.unsent == ends.client.unsent == 0
    ends.server.close()
    ends.client.close()


async def test_a_tls_handshake_that_fails_ends_the_stream_with_its_cause(
    pair: tuple[socket.socket, socket.socket], certificate: Path
) -> None:
    ends = TlsPair(certificate, *pair, trusts=False)

    ends.exchange()

    assert isinstance(ends.client.error, ssl.SSLCertVerificationError)
    assert isinstance(ends.server.error, ssl.SSLError)
    assert "UNKNOWN_CA" in str(ends.server.error.reason)
    assert ends.server.read() == ends.client.read() == b""
    ends.server.close()
    ends.client.close()


async def test_the_end_of_the_connection_without_close_notify_loses_nothing(
    pair: tuple[socket.socket, socket.socket], certificate: Path
) -> None:
    ends = TlsPair(certificate, *pair)
    ends.exchange()

    ends.client.write(b"last words")
    pair[1].shutdown(socket.SHUT_WR)
    ends.exchange()

    assert ends.received[ends.server] == [b"last words"]
    assert ends.server.stream_ended
    ends.server.close()
    ends.client.close()


async def test_the_loop_is_asked_to_stop_only_what_it_does(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    near, far = pair
    loop = asyncio.get_running_loop()
    far_fd = far.fileno()
    unwatched = NonblockingSocket(near, loop)
    watched = NonblockingSocket(far, loop)
    watched.call_when_readable(lambda: None)
    stopped: list[object] = []
    monkeypatch.setattr(loop, "remove_reader", stopped.append)
    monkeypatch.setattr(loop, "remove_writer", stopped.append)
    unwatched.write(b"small")
    unwatched.close()
    assert stopped == []
    watched.close()
    assert stopped == [far]
    monkeypatch.undo()
    loop.remove_reader(far_fd)
