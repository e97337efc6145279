"""
A minimal jambonz for the demo: one call that talks, presses keys and hangs up, and plays nothing of what it is sent.

Handshake, messages and closing are jambonz's, but for one thing: jambonz closes its socket right after FIN (protocol.md
13), while this caller reads on for a moment, since a reset could cost the server the end of the call.
"""

import asyncio
import contextlib
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Self

from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.exceptions import InvalidHandshake, InvalidMessage, InvalidStatus, InvalidURI
from websockets.http11 import Request
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI, parse_uri

from listenctl.errors import RefusedError, UsageError
from listenctl.media.pacing import Clock, Pacer
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.messages import Dtmf
from listenctl.protocol.metadata import CallMetadata

SUBPROTOCOL = Subprotocol("audio.jambonz.org")
FRAMES_PER_SECOND = 50
HANDSHAKE_DEADLINE = 10.0
FAREWELL_DEADLINE = 5.0
_READ_BYTES = 64 * 1024
_REASON_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Call:
    """
    A call to place.

    Attributes:
        metadata: the first text; it should say what ``audio_format`` is.
        audio: what is heard; the call lasts as long.
        keys: keys pressed, each with its time in seconds after the start of the audio.
    """

    metadata: CallMetadata
    audio_format: AudioFormat
    audio: bytes
    keys: Sequence[tuple[float, Dtmf]] = ()


@dataclass(frozen=True, slots=True)
class CallSummary:
    """How a call went: ``samples`` per channel, and by how many seconds the latest frame missed its deadline."""

    frames: int
    samples: int
    max_lateness: float
    ended_by_server: bool


def inbound_metadata(audio_format: AudioFormat, *, caller: str, callee: str) -> CallMetadata:
    """Return what jambonz says of a new inbound call that it has answered, in its order (protocol.md 2.2)."""
    return CallMetadata.from_fields(
        {
            "sampleRate": audio_format.sample_rate,
            "mixType": "stereo" if audio_format.channels == 2 else "mono",
            "callSid": str(uuid.uuid4()),
            "direction": "inbound",
            "from": caller,
            "to": callee,
            "callId": str(uuid.uuid4()),
            "sbcCallid": str(uuid.uuid4()),
            "sipStatus": 200,
            "sipReason": "OK",
            "callStatus": "in-progress",
            "accountSid": str(uuid.uuid4()),
            "traceId": uuid.uuid4().hex,
            "applicationSid": str(uuid.uuid4()),
            "fsSipAddress": "192.0.2.10:5060",
            "originatingSipIp": "192.0.2.20",
            "fsPublicIp": "192.0.2.10",
        }
    )


async def place_call(url: str, call: Call, clock: Clock) -> CallSummary:
    """
    Call the listen server at ``url``; return when the audio is over or the server has ended the call.

    Raises:
        UsageError: ``url`` can't be called.
        RefusedError: Nobody answers, or not as a listen server does.
    """
    connection = await _connect(url)
    try:
        async with asyncio.TaskGroup() as group:
            receiving = group.create_task(connection.receive())
            summary = await _talk(connection, call, Pacer(call.audio_format.sample_rate, clock))
            connection.hang_up()
            await asyncio.wait([receiving], timeout=FAREWELL_DEADLINE)
            receiving.cancel()
        return summary
    finally:
        await connection.close()


async def _talk(connection: "_Connection", call: Call, pacer: Pacer) -> CallSummary:
    frames = samples = 0
    max_lateness = 0.0
    for message in _messages(call):
        length = call.audio_format.samples(len(message)) if isinstance(message, bytes) else 0
        max_lateness = max(max_lateness, await pacer.wait(length))
        if not connection.is_open:
            break
        await connection.send(message)
        frames += isinstance(message, bytes)
        samples += length
    else:
        await pacer.wait(0)
    return CallSummary(frames, samples, max_lateness, ended_by_server=not connection.is_open)


def _messages(call: Call) -> Iterator[str | bytes]:
    """Return everything that the caller sends; a key goes in front of the first frame that begins after it."""
    yield call.metadata.serialize()
    keys = deque(sorted(call.keys, key=lambda key: key[0]))
    samples = 0
    for frame in _frames(call):
        while keys and keys[0][0] <= call.audio_format.duration(samples):
            yield keys.popleft()[1].serialize()
        yield frame
        samples += call.audio_format.samples(len(frame))


def _frames(call: Call) -> Iterator[bytes]:
    """Cut the audio into frames of 20 ms; at 11025 Hz their lengths alternate (protocol.md 13)."""
    start = 0
    for number in count(1):
        if start >= len(call.audio):
            return
        end = number * call.audio_format.sample_rate // FRAMES_PER_SECOND * call.audio_format.frame_bytes
        yield call.audio[start:end]
        start = end


async def _connect(url: str) -> "_Connection":
    uri = _parse(url)
    try:
        async with asyncio.timeout(HANDSHAKE_DEADLINE):
            return await _Connection.open(uri)
    except (OSError, UnicodeError, InvalidHandshake) as exc:
        raise RefusedError(f"{url}: {_reason(exc)[:_REASON_LENGTH]}") from exc


def _parse(url: str) -> WebSocketURI:
    try:
        uri = parse_uri(url)
    except (InvalidURI, ValueError) as exc:
        raise UsageError(f"{url}: is no URL to call; give ws://HOST:PORT/PATH") from exc
    if uri.secure or uri.user_info:
        raise UsageError(f"{url}: this caller knows neither TLS nor credentials; give ws://HOST:PORT/PATH")
    return uri


def _reason(exc: Exception) -> str:
    match exc:
        case TimeoutError():
            return f"no answer within {HANDSHAKE_DEADLINE:g} s; see whether it is a listen server"
        case InvalidStatus(response=response):
            line = bytes(response.body).decode(errors="replace").partition("\n")[0].strip()
            status = f"refused with {response.status_code} {response.reason_phrase}"
            return f"{status}: {line}" if line else status
        case InvalidMessage():
            return "answered with something that is no HTTP, or not at all; see whether it is a listen server"
        case InvalidHandshake():
            return f"is no listen server: {exc}"
        case OSError(strerror=str(problem)):
            return f"can't connect: {problem}; see whether a server is running there"
    return f"can't connect: {exc}; see whether a server is running there"


class _Connection:
    """The library's protocol on a TCP connection; of what the server sends, pings and Close are obeyed."""

    def __init__(self, protocol: ClientProtocol, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._protocol = protocol
        self._reader = reader
        self._writer = writer
        self._hung_up = False

    @classmethod
    async def open(cls, uri: WebSocketURI) -> Self:
        """Connect and shake hands."""
        reader, writer = await asyncio.open_connection(uri.host, uri.port)
        connection = cls(ClientProtocol(uri, subprotocols=[SUBPROTOCOL]), reader, writer)
        try:
            await connection._shake_hands()
        except BaseException:
            await connection.close()
            raise
        return connection

    @property
    def is_open(self) -> bool:
        """Whether neither side has begun to close."""
        return self._protocol.state is State.OPEN

    async def send(self, message: str | bytes) -> None:
        """Send a text or audio, and wait while the server is slow."""
        if isinstance(message, str):
            self._protocol.send_text(message.encode())
        else:
            self._protocol.send_binary(message)
        self._write()
        # That the server is gone shows in reading.
        with contextlib.suppress(OSError):
            await self._writer.drain()

    async def receive(self) -> None:
        """Answer pings and Close until the server ends the connection."""
        with contextlib.suppress(OSError):
            while data := await self._reader.read(_READ_BYTES):
                self._protocol.receive_data(data)
                self._protocol.events_received()
                self._write()
                if not self.is_open:
                    self.hang_up()
        self._protocol.receive_eof()

    def hang_up(self) -> None:
        """Send Close, unless that has been done, and FIN without waiting for an answer (protocol.md 13)."""
        if self.is_open:
            self._protocol.send_close(1000)
        self._write()
        self._hung_up = True
        with contextlib.suppress(OSError):
            self._writer.write_eof()

    async def close(self) -> None:
        """Close the connection at once; what the server has not taken by now is dropped."""
        self._writer.transport.abort()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def _shake_hands(self) -> None:
        self._protocol.send_request(_request(self._protocol))
        self._write()
        while self._protocol.state is State.CONNECTING and self._protocol.handshake_exc is None:
            if data := await self._reader.read(_READ_BYTES):
                self._protocol.receive_data(data)
            else:
                self._protocol.receive_eof()
        if self._protocol.handshake_exc is not None:
            raise self._protocol.handshake_exc

    def _write(self) -> None:
        data = b"".join(self._protocol.data_to_send())
        if data and not self._hung_up:
            self._writer.write(data)


def _request(protocol: ClientProtocol) -> Request:
    """Return the request with the headers and in the order of protocol.md 1.1: Host and Origin have no port."""
    uri = protocol.uri
    headers = Headers(
        [
            ("Pragma", "no-cache"),
            ("Cache-Control", "no-cache"),
            ("Host", uri.host),
            ("Origin", f"http://{uri.host}"),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", protocol.key),
            ("Sec-WebSocket-Protocol", SUBPROTOCOL),
            ("Sec-WebSocket-Version", "13"),
        ]
    )
    return Request(uri.resource_name, headers)
