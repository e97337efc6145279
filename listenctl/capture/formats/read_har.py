"""
Read HAR files of browsers and their drivers: the WebSocket messages of each page, in ``_webSocketMessages``.
The browser has the role of jambonz. There are no frames, pings or Close; an incomplete file is read to its end.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby

from websockets.frames import Opcode

from listenctl.capture.capture_events import (
    CapturedFrame,
    CapturedSession,
    CaptureEvent,
    FramesLost,
    SessionClosed,
    SessionOpened,
)
from listenctl.capture.compressed_files import OpenedCapture
from listenctl.capture.formats.har_messages import HarClose, HarMessage, parse_har_close, parse_har_message
from listenctl.capture.formats.har_times import HarTimes, TimedAudio
from listenctl.capture.packets.packet_batches import CaptureNotice
from listenctl.capture.packets.time_order import sort_by_time
from listenctl.capture.websocket.http_heads import HttpHead
from listenctl.capture.websocket.is_listen_call import ListenCallDetector
from listenctl.json_lines import parse_timestamp
from listenctl.protocol import peer_json
from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.protocol.listen_session import Sender
from listenctl.protocol.peer_json import UNBOUNDED, JsonFields, list_in, number_in, object_in, string_in
from listenctl.protocol.privacy.hide_secrets import shown_subprotocols, shown_target

MAX_HAR = 256 * 1024 * 1024
"""Bytes that are read; HAR files also have everything that the pages loaded."""
MAX_VALUES = 1 << 24
"""JSON values that are read: each takes up to 64 bytes of memory, far more than in the file."""
END = "the HAR file ends"

_ENTRIES = re.compile(r'"entries"\s*:\s*\[')
_MESSAGES = re.compile(r'"_webSocketMessages"\s*:\s*\[')
_BETWEEN = re.compile(r"[\s,]*")
# Client frames of this size have headers of 8 bytes, shorter ones of 6.
_LONG_PAYLOAD = 126
_BYTES_PER_SECOND = 16_000  # of 8000 Hz mono


def decode_har(data: bytes | bytearray) -> str:
    """Return the text of a HAR file in UTF-8 or UTF-16, with or without a byte order mark."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    if 0 in data[:2]:
        # The first character is a brace or a space.
        return data.decode("utf-16-le" if data[1:2] == b"\0" else "utf-16-be", "replace")
    return data.decode("utf-8-sig", "replace")


def read_har(file: OpenedCapture, numbers: Iterator[int]) -> Iterator[CaptureEvent]:
    """Yield the events of the WebSocket sessions in a HAR file, one session after another."""
    data, whole = file.read_up_to(MAX_HAR)
    text = decode_har(data)
    del data
    yield from file.notices
    if not whole:
        yield CaptureNotice(f"byte {MAX_HAR}", "the HAR file is too long; the rest is not read", unread=True)
    if sum(map(text.count, ",[{")) > MAX_VALUES:
        yield CaptureNotice("the whole file", f"it has more than {MAX_VALUES} JSON values; not read", unread=True)
        return
    start = _ENTRIES.search(text)
    at = start.end() if start else len(text)
    while found := peer_json.decode(text, at := _skip_separators(text, at), max_items=UNBOUNDED):
        entry, at = found
        if isinstance(entry, dict) and isinstance(messages := entry.get("_webSocketMessages"), list):
            yield from _session(file.name, next(numbers), entry, messages)
    if at < len(text) and text[at] == "]":
        return
    what = "the HAR file is damaged or ends here; using the data before it"
    yield CaptureNotice(f"character {at}", what, unread=True)
    # The incomplete entry can have complete messages.
    if begun := _MESSAGES.search(text, at):
        messages = list(_elements(text, begun.end()))
        yield from _session(file.name, next(numbers), _members(text, at), messages, is_cut=True)


def _elements(text: str, at: int) -> Iterator[object]:
    """Yield the complete values of an array."""
    while found := peer_json.decode(text, _skip_separators(text, at), max_items=UNBOUNDED):
        value, at = found
        yield value


def _members(text: str, at: int) -> JsonFields:
    """Return the complete members of an incomplete object."""
    members: JsonFields = {}
    at += 1
    while (key := peer_json.decode(text, _skip_separators(text, at), max_items=UNBOUNDED)) and isinstance(key[0], str):
        colon = re.compile(r"\s*:\s*").match(text, key[1])
        value = peer_json.decode(text, colon.end(), max_items=UNBOUNDED) if colon else None
        if value is None:
            break
        members[key[0]], at = value
    return members


def _skip_separators(text: str, at: int) -> int:
    between = _BETWEEN.match(text, at)
    return between.end() if between else at


def _session(
    source: str, number: int, entry: JsonFields, values: list[object], *, is_cut: bool = False
) -> Iterator[CaptureEvent]:
    """Yield the events of one entry; ``is_cut`` if its last messages are missing."""
    items = [parse_har_message(value) for value in values]
    close = parse_har_close(entry)
    began = parse_timestamp(string_in(entry, "startedDateTime")) or 0.0
    times = HarTimes(
        began,
        max(0.0, number_in(entry, "time") or 0.0) / 1000,
        [item.time for item in items if item],
        _audio_of(items),
    )
    timed = [(times.parse_time(item.time if item else None), item) for item in items]
    began = began or min((at for at, _ in timed), default=0.0)
    session = _fill_handshake(CapturedSession(number, source, began), entry)
    frames = [item.frame for item in items if isinstance(item, HarMessage) and item.frame]
    session.without_control = not any(frame.opcode >= Opcode.CLOSE for frame in frames)
    detector = ListenCallDetector(session)
    usual = Counter(len(frame.payload) for frame in frames if frame.opcode == Opcode.BINARY and frame.masked)
    yield SessionOpened(began, session)
    at = began
    for (at, item), same in _runs(timed):
        if isinstance(item, HarMessage) and item.frame:
            detector.add_frame(item.sender, item.frame)
            yield CapturedFrame(at, session, item.sender, item.frame, None)
        elif isinstance(item, HarClose):
            close = close or item
        else:
            yield from _lost(session, at, item, same, usual)
    if times.wrong:
        what = f"{times.wrong} messages have impossible times; each gets the time of the message before"
        yield CaptureNotice(f"session {number}", what)
    if is_cut:
        yield from (FramesLost(at, session, sender, None, "the HAR file ends") for sender in Sender)
    yield from _end(session, at, close, times, string_in(object_in(entry, "response"), "_error"))


def _audio_of(items: Iterable[HarMessage | HarClose | None]) -> list[TimedAudio]:
    """Return the audio of the client; only its pace matters, which formats change by a factor of 24 at most."""
    return [
        (item.time, len(item.frame.payload) / _BYTES_PER_SECOND)
        for item in items
        if isinstance(item, HarMessage)
        and item.sender is Sender.JAMBONZ
        and item.frame
        and item.frame.opcode == Opcode.BINARY
    ]


_Timed = tuple[float, HarMessage | HarClose | None]


def _runs(timed: list[_Timed]) -> Iterator[tuple[_Timed, int]]:
    """Yield messages in order of time, each with its number: those that can't be decoded for one reason are joined."""
    for lost, run in groupby(sort_by_time(timed, lambda one: (one[0], _sender(one[1]))), lambda one: _fault(one[1])):
        same = list(run)
        if lost:
            yield same[0], len(same)
        else:
            yield from ((one, 1) for one in same)


def _sender(item: HarMessage | HarClose | None) -> Sender | None:
    return item.sender if item else None


def _fault(item: HarMessage | HarClose | None) -> tuple[Sender | None, str] | None:
    if item is None:
        return None, "of no known kind"
    return (item.sender, item.fault) if isinstance(item, HarMessage) and item.fault else None


def _lost(
    session: CapturedSession, at: float, item: HarMessage | None, count: int, usual: Counter[int]
) -> Iterator[CaptureEvent]:
    """Yield the loss of messages: of either side if they don't say whose they are."""
    messages = "a message" if count == 1 else f"{count} messages"
    fault = item.fault if item else "of no known kind"
    yield CaptureNotice(f"session {session.number}", f"{messages} can't be read ({fault}); counted as missing")
    # Audio is nearly always cut into messages of one size.
    payload = max(usual, key=lambda size: usual[size], default=0)
    size = count * (payload + (8 if payload >= _LONG_PAYLOAD else 6)) if payload else None
    for sender in (item.sender,) if item else Sender:
        known = size if item and item.is_audio and sender is Sender.JAMBONZ else None
        yield FramesLost(at, session, sender, known, f"{messages} can't be read: {fault}")


def _end(
    session: CapturedSession, at: float, close: HarClose | None, times: HarTimes, error: str
) -> Iterator[CaptureEvent]:
    if close is None:
        yield SessionClosed(at, session, None, f"the connection broke: {error}" if error else END)
        return
    at = max(at, times.parse_close_time(close.time))
    if close.sender and close.code:
        payload = close.code.to_bytes(2, "big") + close.reason.encode(errors="replace")
        frame = RawFrame(True, 0, Opcode.CLOSE, close.sender is Sender.JAMBONZ, payload)
        yield CapturedFrame(at, session, close.sender, frame, None)
    how = "closed" if close.code or close.sender else f"the connection broke: {close.reason}"
    yield SessionClosed(at, session, None, how, close.code, close.reason)


def _fill_handshake(session: CapturedSession, entry: JsonFields) -> CapturedSession:
    request, response = object_in(entry, "request"), object_in(entry, "response")
    url = string_in(request, "url")
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    session.encrypted = scheme in ("wss", "https")
    target = slash + path or "/"
    session.target = shown_target(target)
    session.server = string_in(entry, "serverIPAddress") or host
    session.request = _head(f"{string_in(request, 'method') or 'GET'} {target} HTTP/1.1", request)
    if isinstance(status := response.get("status"), int) and status > 0:
        session.response = _head(f"HTTP/1.1 {status} {string_in(response, 'statusText')}".rstrip(), response)
        session.subprotocol = shown_subprotocols(session.response.header("sec-websocket-protocol") or None)
    return session


def _head(first_line: str, fields: JsonFields) -> HttpHead:
    pairs = [header for header in list_in(fields, "headers") if isinstance(header, dict)]
    return HttpHead(first_line, tuple((string_in(pair, "name"), string_in(pair, "value")) for pair in pairs), b"")
