"""WebSocket messages in a HAR file, as browsers and proxies write them."""

import re
from binascii import Error as Base64Error
from binascii import a2b_base64
from dataclasses import dataclass

from websockets.frames import Opcode

from listenctl.capture.formats.dump_line_format import OPCODE_NAMES
from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.protocol.listen_session import Sender
from listenctl.protocol.peer_json import JsonFields, parse_number, string_in

_SENDERS = dict.fromkeys(("send", "sent", "out", "outgoing", "request", "client"), Sender.JAMBONZ) | dict.fromkeys(
    ("receive", "received", "in", "incoming", "response", "server"), Sender.APPLICATION
)
_OPCODES = {name: opcode for opcode, name in OPCODE_NAMES.items()}
_CLOSE_TEXT = re.compile(r"\s*(\d{4})\b[\s:,-]*(.*)", re.DOTALL)
_URL_SAFE = str.maketrans("-_", "+/")
_DATA_URL = re.compile(r"data:[^,]{0,100};base64,")
_LONGEST_REASON = 123


@dataclass(frozen=True, slots=True)
class HarMessage:
    """A message; the frame is None if its payload can't be decoded, ``fault`` says why."""

    time: object  # as in the file
    sender: Sender
    frame: RawFrame | None
    fault: str = ""
    is_audio: bool = False


@dataclass(frozen=True, slots=True)
class HarClose:
    """The end of a connection; ``sender`` is None if unknown, ``code`` None if there was no Close frame."""

    time: object
    sender: Sender | None
    code: int | None
    reason: str


def parse_har_message(value: object) -> HarMessage | HarClose | None:
    """Parse a member of ``_webSocketMessages``; None if not even its sender can be told."""
    if not isinstance(value, dict):
        return None
    kind = (string_in(value, "type") or string_in(value, "direction")).lower()
    time = value.get("time", value.get("timestamp"))
    if kind == "error":
        return HarClose(time, None, None, string_in(value, "data"))
    sender, opcode = _SENDERS.get(kind), _opcode(value.get("opcode", "text"))
    if sender is None:
        return None
    if opcode is None:
        return HarMessage(time, sender, None, "invalid opcode")
    if opcode == Opcode.CLOSE:
        return _close_message(value, time, sender)
    payload = _payload(value.get("data"), opcode)
    if payload is None:
        fault = "no text" if opcode == Opcode.TEXT else "not Base64"
        return HarMessage(time, sender, None, fault, is_audio=opcode == Opcode.BINARY)
    return HarMessage(time, sender, RawFrame(True, 0, opcode, sender is Sender.JAMBONZ, payload))


def parse_har_close(entry: JsonFields) -> HarClose | None:
    """Return the end of a connection that its entry describes, None if there is nothing."""
    value = next((entry[name] for name in ("_webSocketClose", "_webSocketClosed") if entry.get(name)), None)
    if isinstance(value, dict):
        sender = _SENDERS.get((string_in(value, "type") or string_in(value, "by")).lower())
        time = next((value[name] for name in ("timestamp", "time") if name in value), None)
        return HarClose(time, sender, _code(value.get("code")), string_in(value, "reason")[:_LONGEST_REASON])
    if isinstance(value, str):
        return HarClose(None, None, None, value)
    code = _code(value if value is not None else entry.get("_webSocketCloseCode"))
    return HarClose(None, None, code, "") if code is not None else None


def decode_base64(data: str) -> bytes | None:
    """Decode Base64 in the usual or the URL-safe alphabet, also without padding or in lines; None if it is neither."""
    if mark := _DATA_URL.match(data):
        data = data[mark.end() :]
    data = "".join(data.split()).rstrip("=").translate(_URL_SAFE)
    try:
        return a2b_base64(data + "=" * (-len(data) % 4), strict_mode=True) if data else b""
    except (Base64Error, ValueError):
        return None


def _opcode(value: object) -> int | None:
    if isinstance(value, str) and value.lower() in _OPCODES:
        return _OPCODES[value.lower()]
    number = parse_number(value)
    return int(number) if number is not None and number in range(16) else None


def _payload(data: object, opcode: int) -> bytes | None:
    if not isinstance(data, str):
        return b"" if data is None and opcode > Opcode.CLOSE else None
    if opcode == Opcode.TEXT:
        return data.encode(errors="replace")
    payload = decode_base64(data)
    if payload is None and opcode > Opcode.CLOSE:
        return data.encode(errors="replace")[:125]
    if payload is None and not data.isprintable() and max(data) <= "\xff":
        # Firefox writes one character for each byte.
        return data.encode("latin-1")
    return payload


def _close_message(message: JsonFields, time: object, sender: Sender) -> HarMessage | HarClose:
    """Return a Close frame, whose code is in its data or beside it; without a code it may have been left out."""
    data = string_in(message, "data")
    payload = decode_base64(data) or b""
    code, reason = _code(message.get("code")), string_in(message, "reason")
    if code is None and len(payload) >= 2:
        code, reason = _code(int.from_bytes(payload[:2], "big")), payload[2:].decode(errors="replace")
    if code is None and (written := _CLOSE_TEXT.match(data)):
        code, reason = _code(int(written[1])), written[2]
    if code is None:
        return HarClose(time, sender, None, "")
    payload = code.to_bytes(2, "big") + reason.encode(errors="replace")[:_LONGEST_REASON]
    return HarMessage(time, sender, RawFrame(True, 0, Opcode.CLOSE, sender is Sender.JAMBONZ, payload))


def _code(value: object) -> int | None:
    number = parse_number(value)
    return int(number) if number is not None and 1000 <= number < 5000 else None
