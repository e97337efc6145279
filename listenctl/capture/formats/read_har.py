"""
Read HAR files of browsers and their drivers: the WebSocket messages of each page, in ``_webSocketMessages``.
The browser has the role of jambonz. There are no frames, pings or Close; an incomplete file is read to its end.
"""

import re
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Iterator

from listenctl.capture.capture_events import CapturedFrame, CapturedSession, CaptureEvent, SessionClosed, SessionOpened
from listenctl.capture.compressed_files import OpenedCapture
from listenctl.capture.packets.packet_batches import CaptureNotice
from listenctl.capture.websocket.http_heads import HttpHead
from listenctl.capture.websocket.is_listen_call import ListenCallDetector
from listenctl.json_lines import parse_timestamp
from listenctl.protocol import peer_json
from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.protocol.listen_session import Sender
from listenctl.protocol.peer_json import UNBOUNDED, JsonFields, list_in, object_in, string_in

MAX_HAR = 256 * 1024 * 1024
"""Bytes that are read; HAR files also have everything that the pages loaded."""
MAX_SKEW = 86_400.0
"""Seconds. A larger difference between an entry and its messages means another clock, one between two messages a wrong
time."""
END = "the HAR file ends"

_ENTRIES = re.compile(r'"entries"\s*:\s*\[')
_MESSAGES = re.compile(r'"_webSocketMessages"\s*:\s*\[')
_BETWEEN = re.compile(r"[\s,]*")
_TEXT, _BINARY, _CONTROL = 1, 2, 8
_OPCODES = range(16)
_SENDERS = {"send": Sender.JAMBONZ, "receive": Sender.APPLICATION}
# The end of the year 2261; later times have another unit, or are damaged.
_LATEST = 9_214_646_400.0
# Unix times in microseconds and milliseconds, as some exporters write them.
_UNITS = ((1e14, 1e6), (1e11, 1e3))


def read_har(file: OpenedCapture, numbers: Iterator[int]) -> Iterator[CaptureEvent]:
    """Yield the events of the WebSocket sessions in a HAR file, one session after another."""
    data, whole = file.read_up_to(MAX_HAR)
    text = data.decode("utf-8-sig", "replace")
    yield from file.notices
    if not whole:
        yield CaptureNotice(f"byte {MAX_HAR}", "the HAR file is too long; the rest is not read")
    start = _ENTRIES.search(text)
    at = start.end() if start else len(text)
    while found := peer_json.decode(text, at := _skip_separators(text, at), max_items=UNBOUNDED):
        entry, at = found
        if isinstance(entry, dict) and isinstance(messages := entry.get("_webSocketMessages"), list):
            yield from _session(file.name, next(numbers), entry, messages)
    if at < len(text) and text[at] == "]":
        return
    yield CaptureNotice(f"character {at}", "the HAR file is damaged or ends here; using the data before it")
    # The incomplete entry can have complete messages.
    if begun := _MESSAGES.search(text, at):
        yield from _session(file.name, next(numbers), _members(text, at), list(_elements(text, begun.end())))


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


def _session(source: str, number: int, entry: JsonFields, messages: list[object]) -> Iterator[CaptureEvent]:
    began = parse_timestamp(string_in(entry, "startedDateTime")) or _first_time(messages)
    times = _HarTimes(began)
    frames = [timed for message in messages if isinstance(message, dict) and (timed := _frame(message, times))]
    session = _fill_handshake(CapturedSession(number, source, began), entry)
    session.without_control = not any(frame.opcode >= _CONTROL for _, _, frame in frames)
    detector = ListenCallDetector(session)
    skipped = len(messages) - len(frames)
    yield SessionOpened(began, session)
    at = began
    for at, sender, frame in frames:
        detector.add_frame(sender, frame)
        yield CapturedFrame(at, session, sender, frame, None)
    if skipped:
        yield CaptureNotice(f"session {number}", f"{skipped} messages are invalid; skipped")
    if times.wrong:
        what = f"{times.wrong} messages have impossible times; each gets the time of the message before"
        yield CaptureNotice(f"session {number}", what)
    yield SessionClosed(at, session, None, END)


def _first_time(messages: list[object]) -> float:
    """Return the time of the first message, for an entry without a time; 0 if there is none."""
    first = next((one for one in messages if isinstance(one, dict)), {})
    return max(0.0, _HarTimes(0.0).parse_time(first.get("time")))


class _HarTimes:
    """Unix times of messages, from any unit and any origin."""

    def __init__(self, began: float) -> None:
        self._began = self._last = began
        self.wrong = 0  # number of impossible times
        self._shift: float | None = None

    def parse_time(self, value: object) -> float:
        """Return the Unix time of a value, that of the message before if it is invalid."""
        time = peer_json.parse_number(value) if isinstance(value, int | float) else None
        if time is None:
            return self._last
        at = next((time / unit for least, unit in _UNITS if time > least), float(time))
        if self._shift is None:
            # Some count from the start of the browser.
            self._shift = 0.0 if not self._began or abs(at - self._began) < MAX_SKEW else self._began - at
        at += self._shift
        if not 0 <= at < _LATEST or (self._last and abs(at - self._last) > MAX_SKEW):
            self.wrong += 1
        else:
            self._last = at
        return self._last


def _frame(message: JsonFields, times: _HarTimes) -> tuple[float, Sender, RawFrame] | None:
    sender = _SENDERS.get(str(message.get("type")))
    data, opcode = message.get("data"), message.get("opcode", _TEXT)
    if sender is None or not isinstance(data, str) or not isinstance(opcode, int) or opcode not in _OPCODES:
        return None
    try:
        payload = data.encode(errors="replace") if opcode == _TEXT else a2b_base64(data, strict_mode=True)
    except (Base64Error, ValueError):
        return None
    return (
        times.parse_time(message.get("time")),
        sender,
        RawFrame(True, 0, int(opcode), sender is Sender.JAMBONZ, payload),
    )


def _fill_handshake(session: CapturedSession, entry: JsonFields) -> CapturedSession:
    request, response = object_in(entry, "request"), object_in(entry, "response")
    url = string_in(request, "url")
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    session.encrypted = scheme in ("wss", "https")
    session.target = slash + path or "/"
    session.server = string_in(entry, "serverIPAddress") or host
    session.request = _head(f"{string_in(request, 'method') or 'GET'} {session.target} HTTP/1.1", request)
    if isinstance(status := response.get("status"), int) and status > 0:
        session.response = _head(f"HTTP/1.1 {status} {string_in(response, 'statusText')}".rstrip(), response)
        session.subprotocol = session.response.header("sec-websocket-protocol") or None
    return session


def _head(first_line: str, fields: JsonFields) -> HttpHead:
    pairs = [header for header in list_in(fields, "headers") if isinstance(header, dict)]
    return HttpHead(first_line, tuple((string_in(pair, "name"), string_in(pair, "value")) for pair in pairs), b"")
