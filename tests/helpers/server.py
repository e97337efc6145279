"""A server under test, what it reports, and a peer on a real socket that says just what a test wants."""

import asyncio
import contextlib
import fcntl
import json
import socket
import ssl
import struct
import termios
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Self

from listenctl.background_task import background_task
from listenctl.background_writer import BackgroundWriter, Job
from listenctl.events import Reporter
from listenctl.media.files.recording_names import RecordingDestination
from listenctl.media.files.wav_header import HEADER_BYTES
from listenctl.protocol.audio import MIX_CHANNELS, AudioFormat
from listenctl.protocol.call_metadata import CallMetadata
from listenctl.protocol.gaps.gap_ledger import GapLedger
from listenctl.server.access.server_tls import ServerTls
from listenctl.server.calls.live_call_log import LiveCallLog
from listenctl.server.limits.server_limits import ServerLimits
from listenctl.server.recording.call_recorder import CallRecorder, FileRecorder
from listenctl.server.recording.recording_writer import RecordSettings
from listenctl.server.server import ListenServer
from listenctl.server.settings import ServerSettings
from tests.helpers.capture import END_OF_HEAD
from tests.helpers.frames import HANDSHAKE, binary
from tests.helpers.simulated_time import SimulatedTimeLoop

LIMIT = 100
"""Seconds after which a test has failed."""
FAST = ServerSettings(port=0, read_interval=0.02)

Event = dict[str, Any]


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what nobody tells us of, such as a file of another process; it must come within ``LIMIT``."""
    async with asyncio.timeout(LIMIT):
        for _ in count():
            if condition():
                return
            await asyncio.sleep(0.01)


class Events:
    """A sink for a reporter that can be waited on."""

    def __init__(self) -> None:
        self.all: list[Event] = []
        self._changed = asyncio.Event()

    def __call__(self, report: Event) -> None:
        self.all.append(report)
        self._changed.set()

    def of(self, kind: str) -> list[Event]:
        return [report for report in self.all if report["event"] == kind]

    async def wait_for(self, kind: str, number: int = 1) -> Event:
        """Return the event of a kind that is number ``number``, as soon as it is there."""
        while len(self.of(kind)) < number:
            self._changed.clear()
            await self._changed.wait()
        return self.of(kind)[number - 1]

    async def wait_for_one(self, kind: str, **fields: object) -> Event:
        """Return the first event of a kind that has these fields."""
        number = 1
        while not fields.items() <= (event := await self.wait_for(kind, number)).items():
            number += 1
        return event

    async def wait_for_warning(self, rule: str) -> Event:
        return await self.wait_for_one("warning", rule=rule)


async def send_until(peer: "Peer", block: bytes, wanted: Coroutine[None, None, Event]) -> int:
    """Send audio until an event is there; return the number of messages."""
    event = asyncio.create_task(wanted)
    sent = 0
    while not event.done():
        await peer.send(binary(block))
        sent += 1
        await asyncio.wait({event}, timeout=0.02)
    return sent


def reset_connection(writer: asyncio.StreamWriter) -> None:
    """Send RST instead of what still waits."""
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Peer:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int, *, tls: ssl.SSLContext | None = None) -> Self:
        """Connect, and say nothing yet."""
        return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=tls))

    async def send(self, *pieces: bytes) -> None:
        """Send all pieces, each in a write of its own."""
        for piece in pieces:
            self._writer.write(piece)
            await self._writer.drain()

    async def read_head(self) -> bytes:
        return await self._reader.readuntil(END_OF_HEAD)

    async def read_frame(self) -> bytes:
        """Return the next frame of the server, which are all short."""
        head = await self._reader.readexactly(2)
        return head + await self._reader.readexactly(head[1])

    async def read_bytes(self, number: int) -> bytes:
        return await self._reader.readexactly(number)

    async def read_to_end(self) -> bytes:
        """Return all that the server still says."""
        with contextlib.suppress(ConnectionError):
            return await self._reader.read()
        return b""

    async def delivered(self) -> None:
        """Wait until the server's kernel has all that was sent; what it hasn't is lost by a reset."""
        connection: socket.socket = self._writer.get_extra_info("socket")
        await until(lambda: not any(fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4))))

    def end_writing(self) -> None:
        self._writer.write_eof()

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def reset(self) -> None:
        """Send RST when all that was said has arrived."""
        await self.delivered()
        reset_connection(self._writer)
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


@dataclass(frozen=True, slots=True)
class Running:
    """A server that takes calls, and the peers that talk to it."""

    server: ListenServer
    events: Events
    ended: asyncio.Task[None]
    """Done when the server has ended."""
    peers: list[Peer] = field(default_factory=list)

    @property
    def port(self) -> int:
        return self.server.port

    async def open(self, *pieces: bytes, tls: ssl.SSLContext | None = None) -> Peer:
        """Connect and send ``pieces``; the connection is closed at the end, if need be."""
        peer = await Peer.open(self.port, tls=tls)
        self.peers.append(peer)
        await peer.send(*pieces)
        return peer

    async def call(self, *messages: bytes, tls: ssl.SSLContext | None = None) -> Peer:
        """Connect, shake hands and send ``messages``."""
        peer = await self.open(HANDSHAKE, tls=tls)
        assert (await peer.read_head()).startswith(b"HTTP/1.1 101 ")
        await peer.send(*messages)
        return peer

    async def ask(self, request: bytes) -> bytes:
        """Return everything that the server answers to ``request``, until it closes."""
        peer = await self.open(request)
        return await peer.read_to_end()


def wait_for_writer(writer: BackgroundWriter) -> None:
    """Let no simulated time pass while a writer thread has jobs."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop, SimulatedTimeLoop):
        return
    waiting: list[None] = []

    def counted(add_jobs: Callable[..., None], *jobs: Job) -> None:
        waiting.append(None)
        add_jobs(*jobs, waiting.pop)

    setattr(writer, "add_jobs", partial(counted, writer.add_jobs))  # noqa: B010 - mypy forbids the assignment
    loop.wait_while(lambda: bool(waiting or writer._low_priority))


@asynccontextmanager
async def running(
    settings: ServerSettings = FAST,
    *,
    record: Path | RecordSettings | None = None,
    stop_after: int | None = None,
    unix_clock: Callable[[], float] = time.time,
) -> AsyncIterator[Running]:
    """Run a server, to the end of its recordings; an exception in a callback of the event loop fails the test."""
    surprises: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: surprises.append(context))
    events = Events()
    reporter = Reporter(events)
    recording = RecordSettings(RecordingDestination.parse(f"{record}/")) if isinstance(record, Path) else record
    recorder: CallRecorder | None = None if recording is None else FileRecorder(recording, reporter)
    server = ListenServer(settings, reporter, recorder=recorder, stop_after=stop_after, unix_clock=unix_clock)
    if isinstance(recorder, FileRecorder):
        wait_for_writer(recorder._writer)
        if isinstance(loop := asyncio.get_running_loop(), SimulatedTimeLoop):
            # Those that the disk didn't take wait for a timer.
            loop.wait_while(lambda: not (server.live or recorder._waiting or recorder._unfinished == recorder._delayed))
            loop.wait_while(lambda: server.resources._looking is not None and not server.resources._looking.done())
    server.start()
    async with asyncio.timeout(LIMIT), background_task(server.run()) as ended:
        run = Running(server, events, ended)
        try:
            yield run
        finally:
            for peer in run.peers:
                await peer.close()
            server.shutdown.begin()
            await ended
    assert surprises == []


def faster(**changes: Any) -> ServerSettings:
    """Return fast settings with these changes, limits and the context of TLS among them."""
    limits = {field.name: changes.pop(field.name) for field in fields(ServerLimits) if field.name in changes}
    if isinstance(context := changes.get("tls"), ssl.SSLContext):
        changes["tls"] = ServerTls(lambda: context)
    return replace(FAST, limits=ServerLimits(**limits), **changes)


def recorded_file(saved: Event) -> bytes:
    return Path(saved["path"]).read_bytes()


def recorded_audio(saved: Event) -> bytes:
    return recorded_file(saved)[HEADER_BYTES:]


def mode_of(path: str | Path) -> int:
    """Return who may do what with a file."""
    return Path(path).stat().st_mode & 0o777


def read_sidecar(saved: Event) -> Event:
    sidecar: Event = json.loads(Path(saved["sidecar"]).read_text())
    return sidecar


STARTED_AT = 1_795_000_000.5  # 2026-11-18T11:06:40.500Z


def call_log(metadata: str | bytes = b"{}") -> LiveCallLog:
    """Return the log of a call that has just begun with this first text."""
    parsed = CallMetadata.parse(metadata.encode() if isinstance(metadata, str) else metadata)
    audio_format = AudioFormat(parsed.sample_rate or 8000, MIX_CHANNELS[parsed.mix_type or "mono"])
    return LiveCallLog(
        id=parsed.call_sid or "unknown-1",
        remote="127.0.0.1:1",
        target="/",
        subprotocol="audio.jambonz.org",
        started_at=STARTED_AT,
        metadata=parsed,
        audio_format=audio_format,
        ledger=GapLedger(audio_format, 0.0),
    )
