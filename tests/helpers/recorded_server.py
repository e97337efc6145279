"""A server that says what the server of a capture said, each segment in its time."""

import asyncio
from contextlib import suppress

from tests.helpers.capture import client_stream, server_stream
from tests.helpers.scripted_server import accept, read_request
from tests.helpers.wire_frames import FrameCutter, WireFrame

CLOSED = b"\x88\x02\x03\xe8"


class RecordedServer:
    """
    The server of a capture, for one call.

    Its Close, the answer to that of the client, comes when the client is through, or it would end the call if that is a
    moment longer than the real one.

    Attributes:
        request: what the client said before the first frame.
        frames: what it sent; times count from the first data after the handshake, here and in the capture.
        lateness: by how much a segment went out too late, in seconds.
        silent: all has been said.
    """

    def __init__(self, name: str) -> None:
        answer, *self._segments, (_, last) = server_stream(name)
        assert answer[1].startswith(b"HTTP/1.1 101 ")
        assert last == CLOSED
        self._began_at = client_stream(name)[1][0]
        self.request = b""
        self.frames: list[WireFrame] = []
        self.lateness = 0.0
        self.silent = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take the call."""
        self.request, key = await read_request(reader)
        # As on a real network; with simulated time a frame and a segment would otherwise come at the same moment.
        await asyncio.sleep(0.005)
        writer.write(accept(key))
        loop = asyncio.get_running_loop()
        data = await reader.read(65_536)
        origin = loop.time()
        speaking = asyncio.create_task(self._speak(writer, origin))
        cutter = FrameCutter()
        while data:
            self.frames += cutter.feed(data, loop.time() - origin)
            data = await reader.read(65_536)
        assert cutter.rest == b""
        speaking.cancel()
        with suppress(asyncio.CancelledError):
            await speaking
        writer.write(CLOSED)

    async def _speak(self, writer: asyncio.StreamWriter, origin: float) -> None:
        loop = asyncio.get_running_loop()
        for time, data in self._segments:
            due = origin + time - self._began_at
            await asyncio.sleep(max(0.0, due - loop.time()))
            writer.write(data)
            self.lateness = max(self.lateness, loop.time() - due)
        self.silent = True


def recorded_request(name: str) -> bytes:
    """Return what the client of a capture asked for."""
    return client_stream(name)[0][1]


def recorded_frames(name: str) -> list[WireFrame]:
    """Return what the client of a capture sent, with seconds from the first of it."""
    _, *stream = client_stream(name)
    began_at = stream[0][0]
    cutter = FrameCutter()
    frames = [frame for time, data in stream for frame in cutter.feed(data, time - began_at)]
    assert cutter.rest == b""
    return frames
