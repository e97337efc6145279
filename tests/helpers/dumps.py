"""Calls in dumps: written by a test, replayed to servers that keep what they receive, and read back."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from io import BufferedIOBase
from pathlib import Path

from listenctl.capture.formats.dump_line_format import (
    DumpAudio,
    DumpEnd,
    DumpFault,
    DumpHeader,
    DumpLoss,
    event_line,
    frame_line,
    header_line,
)
from listenctl.capture.formats.read_dump import MAX_LINE_BYTES, DumpItem, UnreadableLine, read_dump
from listenctl.net.server_address import CallTarget
from listenctl.net.websocket_url import parse_websocket_url
from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.protocol.listen_session import Sender
from listenctl.protocol.timeline import TimedFrame
from listenctl.replay.compare_answers import CompareSettings
from listenctl.replay.find_captured_calls import find_captured_calls
from listenctl.replay.plan import ApplicationPlan, ReplayPlan
from listenctl.replay.replay_results import ApplicationResult, ReplayResult
from listenctl.replay.replay_script import CaptureFile
from listenctl.replay.replay_server import ReplayServer
from listenctl.replay.replayed_call import ReplayedCall
from tests.helpers.frames import FrameCutter, WireFrame
from tests.helpers.scripted_server import shake_hands
from tests.helpers.server import LIMIT


@dataclass(frozen=True, slots=True)
class Dump:
    """All of one dump; nothing in it may be unreadable."""

    header: DumpHeader
    items: list[DumpItem]

    @property
    def frames(self) -> list[TimedFrame]:
        return [item for item in self.items if isinstance(item, TimedFrame)]

    @property
    def end(self) -> DumpEnd | None:
        last = self.items[-1]
        return last if isinstance(last, DumpEnd) else None

    @property
    def faults(self) -> list[DumpFault]:
        return [item for item in self.items if isinstance(item, DumpFault)]

    @property
    def lost(self) -> int:
        return sum(item.frames for item in self.items if isinstance(item, DumpLoss))

    def payloads(self, sender: Sender) -> list[bytes]:
        return [timed.frame.payload for timed in self.frames if timed.sender is sender]

    def shapes(self, sender: Sender) -> list[tuple[int, bool, bytes]]:
        """Return the frames of one side as ``shapes_of`` does those of the wire."""
        return [
            (one.fin << 7 | one.rsv << 4 | one.opcode, one.masked, one.payload)
            for timed in self.frames
            if timed.sender is sender
            for one in [timed.frame]
        ]


def shapes_of(frames: list[WireFrame]) -> list[tuple[int, bool, bytes]]:
    """Return frames of the wire without their times."""
    return [(one.first, one.masked, one.payload) for one in frames]


def read_lines(file: BufferedIOBase, *, max_line: int = MAX_LINE_BYTES) -> Iterator[tuple[int, DumpItem]]:
    """Read a dump, with each frame as an item of its own."""
    for number, item in read_dump(file, max_line=max_line):
        yield from enumerate(item.frames(), number) if isinstance(item, DumpAudio) else [(number, item)]


def load(path: str | Path) -> Dump:
    with Path(path).open("rb") as file:
        header, *items = (item for _, item in read_lines(file))
    assert isinstance(header, DumpHeader)
    assert not [item for item in items if isinstance(item, UnreadableLine)]
    return Dump(header, items)


TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
METADATA = b'{"sampleRate":8000,"mixType":"mono","callSid":"old-sid","nested":{"callSid":"other"}}'
CREATED = "2026-11-21T10:00:00.000000Z"

Timed = tuple[float, Sender, RawFrame]


def jambonz(at: float, opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> Timed:
    return at, Sender.JAMBONZ, RawFrame(fin, rsv, opcode, True, payload)


def application(at: float, opcode: int, payload: bytes = b"", *, fin: bool = True) -> Timed:
    return at, Sender.APPLICATION, RawFrame(fin, 0, opcode, False, payload)


def write_dump(
    path: Path,
    frames: Iterable[Timed],
    *,
    created: str = CREATED,
    end: DumpEnd | None = None,
) -> Path:
    """Append a call to a dump."""
    header = DumpHeader(created, "c1", "old-sid", "10.0.0.1:5000", "/", "audio.jambonz.org", "ws://h:3000/")
    lines = [header_line(header), *(frame_line(at, sender, frame) for at, sender, frame in frames)]
    with path.open("ab") as file:
        file.writelines([*lines, *([event_line(end)] if end else [])])
    return path


@dataclass(slots=True)
class KeepingServer:
    """
    A server for one call after another that keeps the frames it receives, and answers by ``says``.

    Attributes:
        says: called with the writer when a call begins.
        calls: the frames of each call, with seconds from its handshake.
    """

    says: Callable[[asyncio.StreamWriter], Coroutine[None, None, None]] | None = None
    calls: list[list[WireFrame]] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await shake_hands(reader, writer)
        loop = asyncio.get_running_loop()
        began = loop.time()
        frames: list[WireFrame] = []
        self.calls.append(frames)
        speaking = asyncio.create_task(self.says(writer)) if self.says else None
        cutter = FrameCutter()
        try:
            while data := await reader.read(65_536):
                frames += cutter.feed(data, loop.time() - began)
            self.ends.append("fin")
        except ConnectionResetError:
            self.ends.append("rst")
        if speaking is not None:
            await speaking


def plan(
    path: Path, port: int, *, speed: float | None = None, compare: CompareSettings | None = None, same_sid: bool = False
) -> ReplayPlan:
    """Return the plan to play a capture to a port of this machine."""
    return ReplayPlan(
        capture=CaptureFile(str(path), path.name),
        target=CallTarget(address=parse_websocket_url(f"ws://127.0.0.1:{port}/")),
        speed=speed,
        compare=compare,
        same_sid=same_sid,
    )


async def play(plan: ReplayPlan, *, sid: str | None = "new-sid") -> ReplayResult:
    (call,) = find_captured_calls(plan.capture)
    return await ReplayedCall(plan, call, ReplayResult(call=call.number, copy=1, round=1), sid=sid).run()


class PlayingServer:
    """A server that plays an application, and what it reports."""

    def __init__(self, capture: CaptureFile, **options: object) -> None:
        limit = options.pop("limit", 1)
        assert limit is None or isinstance(limit, int)
        self.results: list[ApplicationResult] = []
        self.refused: list[str] = []
        self.port = 0
        playing = ApplicationPlan(capture=capture, **options)  # type: ignore[arg-type]
        calls = find_captured_calls(capture, every=True)
        on_result, on_refused = self.results.append, self.refused.append
        self.server = ReplayServer(playing, calls, limit=limit, on_result=on_result, on_refused=on_refused)


@asynccontextmanager
async def playing(path: Path, **options: object) -> AsyncIterator[PlayingServer]:
    """Play an application until its clients have ended all calls."""
    found = PlayingServer(CaptureFile(str(path), path.name), **options)
    async with asyncio.timeout(LIMIT):
        found.port = await found.server.start("127.0.0.1", 0)
        try:
            yield found
        except BaseException:
            found.server.stop()
            raise
        finally:
            await found.server.wait()
