"""Read a dump as captured sessions: one per call, with times relative to its header (`listenctl-dump(5)`)."""

from collections import Counter
from collections.abc import Generator, Iterator
from datetime import datetime
from urllib.parse import urlsplit

from listenctl.capture.capture_events import (
    CLOSED_BY,
    CapturedAudio,
    CapturedFrame,
    CapturedSession,
    CaptureEvent,
    FramesLost,
    SessionClosed,
    SessionOpened,
)
from listenctl.capture.compressed_files import OpenedCapture
from listenctl.capture.formats.dump_line_format import DumpAudio, DumpEnd, DumpFault, DumpHeader, DumpLoss
from listenctl.capture.formats.read_dump import DumpItem, UnreadableLine, read_dump
from listenctl.capture.packets.packet_batches import CaptureNotice
from listenctl.capture.packets.tcp_events import StreamEnding
from listenctl.capture.websocket.is_listen_call import ListenCallDetector
from listenctl.protocol.listen_session import Sender
from listenctl.protocol.privacy.hide_secrets import shown_subprotocols, shown_target
from listenctl.protocol.timeline import TimedFrame


def read_dump_sessions(
    file: OpenedCapture, numbers: Iterator[int], *, join_audio: bool = False
) -> Iterator[CaptureEvent]:
    """
    Yield the events of the sessions in a dump; report each kind of unreadable line once.

    Args:
        join_audio: join consecutive audio.
    """
    reader = DumpSessionReader(file.name, numbers, join_audio=join_audio)
    for line, item in read_dump(file.open_stream()):
        yield from reader.add_line(line, item)
    yield from reader.end_file()
    yield from file.notices


class DumpSessionReader:
    def __init__(self, source: str, numbers: Iterator[int], *, join_audio: bool = False) -> None:
        self._source = source
        self._numbers = numbers
        self._join_audio = join_audio
        self._session: CapturedSession | None = None
        self._detector: ListenCallDetector | None = None
        self._at = 0.0
        self._unreadable: Counter[str] = Counter()

    def add_line(self, line: int, item: DumpItem) -> Iterator[CaptureEvent]:
        match item:
            case DumpAudio(times, size, data):
                # Nearly every line is in one of these.
                session = self._session or (yield from self._open_session(None))
                times = [session.began + at for at in times]
                audio = CapturedAudio(session, times, [None] * len(times), size, data)
                yield from self._add_audio(audio)
            case TimedFrame(at, sender, frame):
                session = self._session or (yield from self._open_session(None))
                yield self._add_frame(CapturedFrame(session.began + at, session, sender, frame, None))
            case DumpHeader():
                yield from self._close(StreamEnding.CAPTURE)
                yield from self._open_session(item)
            case UnreadableLine(reason):
                self._unreadable[reason] += 1
                if self._unreadable[reason] == 1:
                    yield CaptureNotice(f"line {line}", f"{reason}; skipped")
            case _:
                yield from self._add_other(item)

    def _add_audio(self, audio: CapturedAudio) -> Iterator[CapturedAudio | CapturedFrame]:
        if self._join_audio and not self._detector:
            self._at = audio.times[-1]
            yield audio
        else:
            for number in range(len(audio.times)):
                yield self._add_frame(audio.frame(number))

    def _add_frame(self, event: CapturedFrame) -> CapturedFrame:
        self._at = event.at
        if self._detector:
            self._detector.add_frame(event.sender, event.frame)
            self._detector = None if self._detector.is_decided else self._detector
        return event

    def _add_other(self, item: DumpFault | DumpLoss | DumpEnd) -> Iterator[CaptureEvent]:
        session = self._session or (yield from self._open_session(None))
        self._at = at = session.began + item.at
        match item:
            case DumpFault(_, sender, detail):
                yield FramesLost(at, session, sender, None, detail)
            case DumpLoss(_, frames):
                detail = f"{frames} frames of both sides together were not written to the dump"
                for sender in Sender:
                    yield FramesLost(at, session, sender, None, detail)
            case DumpEnd(_, closed_by, _, _):
                if closer := CLOSED_BY.get(closed_by or ""):
                    yield SessionClosed(at, session, closer, _ending(item))
                yield from self._close(_ending(item))

    def end_file(self) -> Iterator[CaptureEvent]:
        yield from self._close(StreamEnding.CAPTURE)
        for reason, more in self._unreadable.items():
            if more > 1:
                yield CaptureNotice("the whole dump", f"{more - 1} more lines skipped: {reason}")

    def _open_session(self, header: DumpHeader | None) -> Generator[SessionOpened, None, CapturedSession]:
        session = CapturedSession(next(self._numbers), self._source, 0.0, started_midway=header is None)
        if header:
            session.began = _time(header.created)
            session.client = header.remote or ""
            session.target = None if header.target is None else shown_target(header.target)
            session.subprotocol = shown_subprotocols(header.subprotocol)
            session.server, session.encrypted = _server(header.server or "")
        self._session, self._detector, self._at = session, ListenCallDetector(session), session.began
        yield SessionOpened(session.began, session)
        return session

    def _close(self, how: StreamEnding | str) -> Iterator[SessionClosed]:
        if self._session:
            yield SessionClosed(self._at, self._session, None, how)
        self._session = None


def _ending(end: DumpEnd) -> str:
    if end.closed_by in CLOSED_BY:
        return "closed"
    return "never was a call" if end.closed_by is None else "the connection broke"


def _time(created: str) -> float:
    try:
        return datetime.fromisoformat(created).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0


def _server(url: str) -> tuple[str, bool]:
    """Return the address in a URL, and whether it uses TLS."""
    try:
        parts = urlsplit(url)
        return parts.netloc.rpartition("@")[2], parts.scheme in ("wss", "https")
    except ValueError:
        return "", False
