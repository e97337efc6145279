"""Dumps as captures: the frames of each call, at the times that follow from its header (`listenctl-dump(5)`)."""

import io
from collections import Counter
from collections.abc import Generator, Iterator
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from listenctl.capture.capture_events import (
    CapturedFrame,
    CapturedSession,
    CaptureEvent,
    FramesLost,
    SessionClosed,
    SessionOpened,
)
from listenctl.capture.compressed_files import CaptureFile
from listenctl.capture.formats.read_dump import DumpItem, UnreadableLine, read_dump
from listenctl.capture.formats.write_dump import DumpEnd, DumpFault, DumpHeader, DumpLoss
from listenctl.capture.packets.packet_batches import CaptureNotice
from listenctl.capture.packets.tcp_events import StreamEnding
from listenctl.capture.websocket.is_listen_call import ListenCallDetector
from listenctl.protocol.listen_session import Sender
from listenctl.protocol.timeline import TimedFrame

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_CLOSED_BY = {"jambonz": Sender.JAMBONZ, "listenctl": Sender.APPLICATION, "application": Sender.APPLICATION}


def read_dump_sessions(file: CaptureFile, numbers: Iterator[int]) -> Iterator[CaptureEvent]:
    """Yield the sessions of a dump, and once each what can't be read of it."""
    reader = DumpSessionReader(file.name, numbers)
    for line, item in read_dump(io.BufferedReader(ChunkReader(file.chunks))):
        yield from reader.take(line, item)
    yield from reader.finish()
    yield from file.notices


class DumpSessionReader:
    """Make sessions of the lines of a dump."""

    def __init__(self, source: str, numbers: Iterator[int]) -> None:
        self._source = source
        self._numbers = numbers
        self._session: CapturedSession | None = None
        self._judge: ListenCallDetector | None = None
        self._at = 0.0
        self._unreadable: Counter[str] = Counter()

    def take(self, line: int, item: DumpItem) -> Iterator[CaptureEvent]:
        """Yield what a line means."""
        match item:
            case TimedFrame(at, sender, frame):
                # Nearly every line is one.
                session = self._session or (yield from self._began(None))
                self._at = at = session.began + at
                if self._judge:
                    self._judge.add_frame(sender, frame)
                    self._judge = None if self._judge.is_decided else self._judge
                yield CapturedFrame(at, session, sender, frame, None)
            case DumpHeader():
                yield from self._close(StreamEnding.CAPTURE)
                yield from self._began(item)
            case UnreadableLine(reason):
                yield from self._unread(line, reason)
            case _:
                yield from self._told(item)

    def _told(self, item: DumpFault | DumpLoss | DumpEnd) -> Iterator[CaptureEvent]:
        session = self._session or (yield from self._began(None))
        self._at = at = session.began + item.at
        match item:
            case DumpFault(_, sender, detail):
                yield FramesLost(at, session, sender, None, detail)
            case DumpLoss(_, frames):
                detail = f"{frames} frames of both sides together couldn't be written to the dump"
                for sender in Sender:
                    yield FramesLost(at, session, sender, None, detail)
            case DumpEnd(_, closed_by, _, _):
                if closer := _CLOSED_BY.get(closed_by or ""):
                    yield SessionClosed(at, session, closer, _ending(item))
                yield from self._close(_ending(item))

    def finish(self) -> Iterator[CaptureEvent]:
        """Yield what the end of the file means."""
        yield from self._close(StreamEnding.CAPTURE)
        for reason, more in self._unreadable.items():
            if more > 1:
                yield CaptureNotice("the whole dump", f"{more - 1} more lines are left out: {reason}")

    def _began(self, header: DumpHeader | None) -> Generator[SessionOpened, None, CapturedSession]:
        session = CapturedSession(next(self._numbers), self._source, 0.0, started_midway=header is None)
        if header:
            session.began = _time(header.created)
            session.client = header.remote or ""
            session.target, session.subprotocol = header.target, header.subprotocol
            session.server, session.encrypted = _server(header.server or "")
        self._session, self._judge, self._at = session, ListenCallDetector(session), session.began
        yield SessionOpened(session.began, session)
        return session

    def _close(self, how: StreamEnding | str) -> Iterator[SessionClosed]:
        if self._session:
            yield SessionClosed(self._at, self._session, None, how)
        self._session = None

    def _unread(self, line: int, reason: str) -> Iterator[CaptureNotice]:
        self._unreadable[reason] += 1
        if self._unreadable[reason] == 1:
            yield CaptureNotice(f"line {line}", f"{reason}; it is left out")


class ChunkReader(io.RawIOBase):
    """A file over what is read elsewhere; what is there is given out without waiting for more."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Fill a buffer as far as there is something; 0 at the end."""
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        target = memoryview(buffer).cast("B")
        size = min(len(target), len(self._rest))
        target[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def _ending(end: DumpEnd) -> str:
    if end.closed_by in _CLOSED_BY:
        return "closed"
    return "never was a call" if end.closed_by is None else "the connection broke"


def _time(created: str) -> float:
    try:
        return datetime.fromisoformat(created).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0


def _server(url: str) -> tuple[str, bool]:
    """Return the address in a URL, and whether TLS is used."""
    try:
        parts = urlsplit(url)
        return parts.netloc.rpartition("@")[2], parts.scheme in ("wss", "https")
    except ValueError:
        return "", False
