"""A server under test that dumps its calls, and what stands in the dumps."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from listenctl.capture.formats.dump_line_format import DumpEnd, DumpFault, DumpHeader, DumpLoss
from listenctl.capture.formats.read_dump import DumpItem, UnreadableLine, read_dump
from listenctl.protocol.listen_session import Sender
from listenctl.protocol.timeline import TimedFrame
from listenctl.server.dump.call_dumper import CallDumper, dumping
from listenctl.server.settings import ServerSettings
from tests.helpers.frames import WireFrame
from tests.helpers.server import FAST, Event, Running, running, wait_for_writer


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
        """Return what stood in the frames of one side."""
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


def load(path: str | Path) -> Dump:
    """Read a dump."""
    with Path(path).open("rb") as file:
        header, *items = (item for _, item in read_dump(file))
    assert isinstance(header, DumpHeader)
    assert not [item for item in items if isinstance(item, UnreadableLine)]
    return Dump(header, items)


@dataclass(frozen=True, slots=True)
class Dumping:
    """A server that dumps."""

    run: Running
    dumper: CallDumper

    async def saved(self, number: int = 1) -> tuple[Event, Dump]:
        """Return the event about dump ``number``, and the dump."""
        event = await self.run.events.wait_for("dump-saved", number)
        return event, load(event["path"])


@asynccontextmanager
async def dumping_server(folder: Path, settings: ServerSettings = FAST) -> AsyncIterator[Dumping]:
    """Run a server that dumps to ``folder``."""
    async with running(settings) as run, dumping(run.server, folder) as dumper:
        assert dumper is not None
        wait_for_writer(dumper._writer)
        yield Dumping(run, dumper)
        for peer in run.peers:
            await peer.close()
        # Calls that last to the end are dumped to their end as well.
        run.server.shutdown.begin()
        await run.ended
