import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.utils import accept_key

from listenctl.client import caller
from listenctl.client.caller import Call, CallSummary, inbound_metadata, place_call
from listenctl.errors import RefusedError, UsageError
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.messages import Dtmf
from listenctl.protocol.metadata import CallMetadata
from tests.helpers.clock import FakeClock

MONO = AudioFormat(8000, 1)
METADATA = CallMetadata.from_fields({"sampleRate": 8000, "mixType": "mono", "callSid": "c"})
FRAME = bytes(range(256)) + bytes(64)
SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n"
)


class HeldClock(FakeClock):
    """Stands still from ``until`` on, as soon as it is to go beyond, until ``released``."""

    def __init__(self, until: float) -> None:
        super().__init__()
        self._until = until
        self.released = asyncio.Event()

    async def sleep(self, delay: float) -> None:
        if self.now() + delay > self._until:
            await self.released.wait()
        await super().sleep(delay)


@asynccontextmanager
async def listening(take: Callable[[ServerConnection], Awaitable[None]]) -> AsyncIterator[str]:
    async with asyncio.timeout(30), serve(take, "127.0.0.1", 0, subprotocols=None, ping_interval=None) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/calls?x=1"


@asynccontextmanager
async def answering(
    take: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """Serve without a library: ``take`` gets each connection, and is done with all of them before this ends."""
    connections = asyncio.Queue[asyncio.Task[None]]()

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take(reader, writer)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.put_nowait(asyncio.create_task(serve_one(reader, writer)))

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    async with asyncio.timeout(30), server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/calls?x=1"
        while not connections.empty():
            await connections.get_nowait()


async def ignore(connection: ServerConnection) -> None:
    async for _ in connection:
        pass


async def read_request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Return the request and its key."""
    request = await reader.readuntil(b"\r\n\r\n")
    key = re.search(rb"Sec-WebSocket-Key: (.*)\r\n", request)
    assert key
    return request, key[1]


def accept(key: bytes, *headers: bytes) -> bytes:
    return SWITCHING % accept_key(key.decode()).encode() + b"".join(header + b"\r\n" for header in headers) + b"\r\n"


async def switch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accept the handshake."""
    _, key = await read_request(reader)
    writer.write(accept(key))


def parse_frames(stream: bytes) -> list[Frame]:
    """Return the frames that a server gets; it fails on one that isn't masked."""
    protocol = ServerProtocol(state=State.OPEN)
    protocol.receive_data(stream)
    return [event for event in protocol.events_received() if isinstance(event, Frame)]


async def test_a_call_is_on_the_wire_what_jambonz_sends() -> None:
    requests: list[bytes] = []
    streams: list[bytes] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request, key = await read_request(reader)
        requests.append(request.replace(key, b"KEY"))
        writer.write(accept(key, b"Sec-WebSocket-Protocol: audio.jambonz.org"))
        streams.append(await reader.read())

    keys = [(0.03, Dtmf("1", "1600")), (0.0, Dtmf("#", "800"))]
    async with answering(take) as url:
        summary = await place_call(url, Call(METADATA, MONO, FRAME * 3, keys), FakeClock())

    assert requests == [
        b"GET /calls?x=1 HTTP/1.1\r\n"
        b"Pragma: no-cache\r\n"
        b"Cache-Control: no-cache\r\n"
        b"Host: 127.0.0.1\r\n"
        b"Origin: http://127.0.0.1\r\n"
        b"Upgrade: websocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Sec-WebSocket-Key: KEY\r\n"
        b"Sec-WebSocket-Protocol: audio.jambonz.org\r\n"
        b"Sec-WebSocket-Version: 13\r\n"
        b"\r\n"
    ]
    assert parse_frames(streams[0]) == [
        Frame(Opcode.TEXT, b'{"sampleRate":8000,"mixType":"mono","callSid":"c"}'),
        Frame(Opcode.TEXT, b'{"event":"dtmf","dtmf":"#","duration":"800"}'),
        Frame(Opcode.BINARY, FRAME),
        Frame(Opcode.BINARY, FRAME),
        Frame(Opcode.TEXT, b'{"event":"dtmf","dtmf":"1","duration":"1600"}'),
        Frame(Opcode.BINARY, FRAME),
        Frame(Opcode.CLOSE, b"\x03\xe8"),
    ]
    # The stream had an end, though nobody had answered the Close: FIN came at once.
    assert summary == CallSummary(frames=3, samples=480, max_lateness=0.0, ended_by_server=False)


async def test_each_call_has_a_fresh_key() -> None:
    keys: list[bytes] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, key = await read_request(reader)
        keys.append(key)
        writer.write(accept(key))
        await reader.read()

    async with answering(take) as url:
        await place_call(url, Call(METADATA, MONO, FRAME), FakeClock())
        await place_call(url, Call(METADATA, MONO, FRAME), FakeClock())

    assert len(set(keys)) == 2


@pytest.mark.parametrize(
    ("audio_format", "sizes"),
    [
        (AudioFormat(8000, 2), [640, 640, 640]),
        (AudioFormat(48000, 2), [3840, 3840, 3840]),
        (AudioFormat(11025, 1), [440, 442, 440]),
        (AudioFormat(8000, 1), [320, 320, 320, 2]),
    ],
)
async def test_frames_last_20_ms_and_lose_nothing(audio_format: AudioFormat, sizes: list[int]) -> None:
    audio = bytes(index % 251 for index in range(sum(sizes)))
    messages: list[str | bytes] = []
    closes: list[tuple[int | None, str | None]] = []

    async def take(connection: ServerConnection) -> None:
        messages.extend([message async for message in connection])
        closes.append((connection.close_code, connection.close_reason))

    async with listening(take) as url:
        summary = await place_call(url, Call(METADATA, audio_format, audio), FakeClock())

    assert [len(message) for message in messages[1:]] == sizes
    assert b"".join(message for message in messages if isinstance(message, bytes)) == audio
    assert closes == [(1000, "")]
    assert (summary.frames, summary.samples) == (len(sizes), audio_format.samples(len(audio)))


async def test_the_call_lasts_as_long_as_its_audio() -> None:
    clock = FakeClock()

    async with listening(ignore) as url:
        await place_call(url, Call(METADATA, MONO, FRAME * 500), clock)

    assert clock.now() == 10.0


async def test_lateness_is_measured() -> None:
    class SlowClock(FakeClock):
        async def sleep(self, delay: float) -> None:
            await super().sleep(delay + (0.25 if delay else 0))

    async with listening(ignore) as url:
        summary = await place_call(url, Call(METADATA, MONO, FRAME * 50), SlowClock())

    assert summary.max_lateness == pytest.approx(0.25)
    assert summary.frames == 50


async def test_pings_are_answered_and_what_else_the_server_sends_is_ignored() -> None:
    clock = HeldClock(until=0.03)
    payloads: list[str | bytes] = []

    async def take(connection: ServerConnection) -> None:
        await connection.send('{"type":"killAudio"}')
        await connection.send(bytes(300_000))
        await (await connection.ping("hi"))
        clock.released.set()
        payloads.extend([message async for message in connection])

    async with listening(take) as url:
        await place_call(url, Call(METADATA, MONO, FRAME * 4), clock)

    assert payloads[1:] == [FRAME] * 4


async def test_a_server_that_closes_ends_the_call_and_gets_its_code_back() -> None:
    clock = HeldClock(until=0.03)
    closes: list[int] = []

    async def take(connection: ServerConnection) -> None:
        for _ in range(3):
            await connection.recv()
        await connection.close(1001, "bye")
        clock.released.set()
        assert connection.protocol.close_rcvd
        closes.append(connection.protocol.close_rcvd.code)

    async with listening(take) as url:
        summary = await place_call(url, Call(METADATA, MONO, FRAME * 500), clock)

    assert closes == [1001]
    assert summary == CallSummary(frames=2, samples=320, max_lateness=0.0, ended_by_server=True)


async def test_a_close_right_behind_the_handshake_is_answered() -> None:
    streams: list[bytes] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, key = await read_request(reader)
        writer.write(accept(key) + b"\x88\x02\x03\xe9")
        streams.append(await reader.read())

    async with answering(take) as url:
        summary = await place_call(url, Call(METADATA, MONO, FRAME), FakeClock())

    assert parse_frames(streams[0]) == [Frame(Opcode.CLOSE, b"\x03\xe9")]
    assert summary == CallSummary(frames=0, samples=0, max_lateness=0.0, ended_by_server=True)


async def test_a_server_that_vanishes_ends_the_call() -> None:
    class YieldingClock(FakeClock):
        async def sleep(self, delay: float) -> None:
            await super().sleep(delay)
            await asyncio.sleep(0)

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await switch(reader, writer)
        await reader.readexactly(100)
        writer.transport.abort()

    async with answering(take) as url:
        summary = await place_call(url, Call(METADATA, MONO, FRAME * 100_000), YieldingClock())

    assert summary.ended_by_server
    assert summary.frames < 100_000


async def test_a_server_that_never_closes_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller, "FAREWELL_DEADLINE", 0)
    left = asyncio.Event()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await switch(reader, writer)
        await left.wait()

    async with answering(take) as url:
        summary = await place_call(url, Call(METADATA, MONO, FRAME), FakeClock())
        left.set()

    assert summary.frames == 1


async def test_a_cancelled_call_closes_its_connection() -> None:
    clock = HeldClock(until=0.03)
    streams: list[bytes] = []
    ended = asyncio.Event()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await switch(reader, writer)
        await reader.readexactly(100)
        call.cancel()
        streams.append(await reader.read())
        ended.set()

    async with answering(take) as url:
        call = asyncio.create_task(place_call(url, Call(METADATA, MONO, FRAME * 500), clock))
        await asyncio.wait([call])
        await ended.wait()

    assert call.cancelled()
    assert len(streams[0]) < len(FRAME) * 500


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (
            b"HTTP/1.1 403 Forbidden\r\nContent-Length: 22\r\n\r\nonly /calls\r\nis served\n",
            "refused with 403 Forbidden: only /calls$",
        ),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "refused with 404 Not Found$"),
        (b"HTTP/1.1 500 Oops\r\n\r\n" + b"x" * 5000, "refused with 500 Oops: x{177}$"),
        (b"HTTP/1.1 503 Full\r\n\r\n\xff\x1b", "refused with 503 Full: \ufffd\x1b$"),
        (accept(b"another key"), "is no listen server: invalid Sec-WebSocket-Accept header"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "is no listen server: missing Connection header"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "answered with something that is no HTTP, or not at all"),
        (b"x" * 10_000, "is no listen server: "),
        (b"", "answered with something that is no HTTP, or not at all"),
    ],
    ids=["403", "empty body", "long body", "odd body", "accept", "upgrade", "other protocol", "no line", "nothing"],
)
async def test_a_refusal_says_why(answer: bytes, problem: str) -> None:
    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer)

    async with answering(take) as url:
        with pytest.raises(RefusedError, match=rf"^ws://127\.0\.0\.1:\d+/calls\?x=1: {problem}"):
            await place_call(url, Call(METADATA, MONO, FRAME), FakeClock())


async def test_another_subprotocol_in_the_answer_is_refused() -> None:
    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, key = await read_request(reader)
        writer.write(accept(key, b"Sec-WebSocket-Protocol: audio.drachtio.org"))

    async with answering(take) as url:
        with pytest.raises(RefusedError, match=r"unsupported subprotocol: audio\.drachtio\.org"):
            await place_call(url, Call(METADATA, MONO, FRAME), FakeClock())


async def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller, "HANDSHAKE_DEADLINE", 0)

    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"ws://127.0.0.1:{server.getsockname()[1]}/"
        with pytest.raises(RefusedError, match=r"no answer within 0 s; see whether it is a listen server"):
            await place_call(url, Call(METADATA, MONO, FRAME), FakeClock())


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "a..b"])
async def test_a_server_that_is_not_there_is_said(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        free_port = server.getsockname()[1]

    with pytest.raises(RefusedError, match=r"can't connect: .*; see whether a server is running there"):
        await place_call(f"ws://{host}:{free_port}", Call(METADATA, MONO, FRAME), FakeClock())


@pytest.mark.parametrize(
    "url", ["", "localhost:3000", "http://h/", "ws://", "ws://h:99999/", "ws://h:x/", "wss://h/", "ws://user:pw@h/"]
)
async def test_what_cannot_be_called_is_wrong_usage(url: str) -> None:
    with pytest.raises(UsageError, match=r"; give ws://HOST:PORT/PATH$"):
        await place_call(url, Call(METADATA, MONO, FRAME), FakeClock())


def test_inbound_metadata_has_the_fields_of_jambonz_in_its_order() -> None:
    metadata = inbound_metadata(AudioFormat(16000, 2), caller="15550100", callee="15550199")

    assert list(json.loads(metadata.serialize())) == [
        "sampleRate", "mixType", "callSid", "direction", "from", "to", "callId", "sbcCallid", "sipStatus", "sipReason",
        "callStatus", "accountSid", "traceId", "applicationSid", "fsSipAddress", "originatingSipIp", "fsPublicIp",
    ]  # fmt: skip
    assert (metadata.sample_rate, metadata.mix_type, metadata.repairs) == (16000, "stereo", ())
    assert (metadata.caller, metadata.callee, metadata.direction) == ("15550100", "15550199", "inbound")


def test_mono_metadata_names_a_call_of_its_own() -> None:
    one, two = (inbound_metadata(MONO, caller="1", callee="2") for _ in range(2))

    assert (one.sample_rate, one.mix_type) == (8000, "mono")
    assert one.call_sid != two.call_sid
