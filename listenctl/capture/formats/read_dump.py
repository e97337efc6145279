"""
Parse the lines of a dump (`listenctl-dump(5)`); an invalid line is reported, and the lines around it are read.

Nearly every line is a binary frame as listenctl writes it. Those are found by one regular expression in blocks of many
lines, in a tenth of the time; every other line, whatever its fields, spaces and escapes, is parsed as JSON.
"""

import re
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BufferedIOBase
from itertools import groupby

from websockets.frames import Opcode

from listenctl.capture.formats.dump_line_format import (
    OPCODE_NAMES,
    VERSION,
    DumpAudio,
    DumpEnd,
    DumpFault,
    DumpHeader,
    DumpLoss,
)
from listenctl.protocol.frames.raw_frame_reader import MAX_FRAME_BYTES, RawFrame
from listenctl.protocol.listen_session import Sender
from listenctl.protocol.peer_json import UNBOUNDED, decode
from listenctl.protocol.timeline import TimedFrame

MAX_LINE_BYTES = MAX_FRAME_BYTES // 2 * 3
"""Enough for the longest frame in Base64, which needs a third more."""
MAX_TIME = 1e9

_OPCODES = {name: int(opcode) for opcode, name in OPCODE_NAMES.items()}
_SENDERS = {str(sender): sender for sender in Sender}
_BINARY_SENDERS = {str(sender).encode(): sender for sender in Sender}
_BLOCK_BYTES = 256 * 1024
_LINE = re.compile(
    rb'\{"at":((?:0|[1-9]\d{0,8})\.\d{6}),"from":"(jambonz|application)","opcode":"binary",'
    rb'"data":"([A-Za-z0-9+/]+={0,2})"\}\n|[^\n]*\n'
)
"""Any line; the groups are those of a binary frame as listenctl writes it."""


@dataclass(frozen=True, slots=True)
class UnreadableLine:
    """An invalid line, and the reason."""

    reason: str


DumpItem = DumpHeader | TimedFrame | DumpAudio | DumpFault | DumpLoss | DumpEnd | UnreadableLine


class _BadLine(Exception):
    """Has the reason; never leaves this file."""


def read_dump(file: BufferedIOBase, *, max_line: int = MAX_LINE_BYTES) -> Iterator[tuple[int, DumpItem]]:
    """
    Yield each line of dumps, with its number from 1; an incomplete last line, as after a crash, is skipped.

    Audio of jambonz in a row is one item, with the number of its first line.
    """
    number = 1
    for block in _read_blocks(file, max_line):
        for kind, alike in groupby(_LINE.finditer(block), lambda line: _kind_of(line, max_line)):
            lines = list(alike)
            items = (_binary_items(kind, lines) if kind else ()) or _other_items(lines, max_line)
            yield from ((number + index, item) for index, item in items)
            number += len(lines)


def parse_dump_line(line: bytes) -> DumpItem:
    try:
        return _parse_fields(_object_in(line))
    except _BadLine as exc:
        return UnreadableLine(str(exc))


def _read_blocks(file: BufferedIOBase, max_line: int) -> Iterator[bytes]:
    """Yield whole lines, as many as are there; of a line with more than ``max_line`` bytes, some may be left out."""
    begun = bytearray()
    while data := file.read1(_BLOCK_BYTES):
        end = data.rfind(b"\n") + 1
        if end:
            yield bytes(begun) + data[:end]
            begun.clear()
        begun += data[end:]
        del begun[max_line + 1 :]


def _kind_of(line: re.Match[bytes], max_line: int) -> tuple[Sender, int] | None:
    """Return the sender and the size of a binary frame as listenctl writes it; None for any other line."""
    begin, end = line.span(3)
    if begin < 0 or line.end() - line.start() > max_line:
        return None
    return _BINARY_SENDERS[line[2]], (end - begin) // 4 * 3 - line[3].count(b"=", -2)


def _binary_items(kind: tuple[Sender, int], lines: list[re.Match[bytes]]) -> Sequence[tuple[int, DumpItem]]:
    """Return binary frames of one sender and size with the index of their line; none if one is not Base64."""
    sender, size = kind
    try:
        payloads = [a2b_base64(line[3], strict_mode=True) for line in lines]
    except Base64Error:
        return ()
    if any(len(payload) != size for payload in payloads):  # Python accepts some padding that is too long.
        return ()
    times = [float(line[1]) for line in lines]
    if sender is Sender.JAMBONZ:
        return [(0, DumpAudio(times, size, b"".join(payloads)))]
    frames = [RawFrame(True, 0, int(Opcode.BINARY), False, payload) for payload in payloads]
    return [(index, TimedFrame(at, sender, frame)) for index, (at, frame) in enumerate(zip(times, frames, strict=True))]


def _other_items(lines: list[re.Match[bytes]], max_line: int) -> Iterator[tuple[int, DumpItem]]:
    """Yield any lines with their index."""
    for index, line in enumerate(lines):
        if len(line[0]) > max_line:
            yield index, UnreadableLine(f"the line has more than {max_line} bytes")
        elif not line[0].isspace():
            yield index, parse_dump_line(line[0])


def _object_in(line: bytes) -> dict[str, object]:
    try:
        text = line.decode().strip()
    except UnicodeDecodeError:
        raise _BadLine("not UTF-8") from None
    value, end = decode(text, strict=True, max_items=UNBOUNDED) or (None, 0)
    if not isinstance(value, dict) or end != len(text):
        raise _BadLine("not a JSON object")
    return value


def _parse_fields(fields: dict[str, object]) -> DumpItem:
    if "listenctl_dump" in fields:
        return _header(fields)
    at = _time(fields)
    match fields:
        case {"opcode": opcode}:
            return TimedFrame(at, _sender(fields), _frame(opcode, fields))
        case {"fault": str(detail)}:
            return DumpFault(at, _sender(fields), detail)
        case {"lost": {"frames": int(frames)}}:
            return DumpLoss(at, frames)
        case {"end": dict(how)}:
            return _end(at, how)
    raise _BadLine("not a line of a dump")


def _header(fields: dict[str, object]) -> DumpHeader:
    if fields["listenctl_dump"] != VERSION:
        raise _BadLine(f"a dump version other than {VERSION}")
    created, *others = (_text(fields, name) for name in DumpHeader.__slots__)
    return DumpHeader(created or "", *others)


def _text(fields: dict[str, object], name: str) -> str | None:
    value = fields.get(name)
    return value if isinstance(value, str) else None


def _time(fields: dict[str, object]) -> float:
    match fields.get("at"):
        case bool():
            pass
        case int() | float() as at if 0 <= at <= MAX_TIME:
            return float(at)
    raise _BadLine("no valid time")


def _sender(fields: dict[str, object]) -> Sender:
    sender = _SENDERS.get(_text(fields, "from") or "")
    if sender is None:
        raise _BadLine("no valid sender")
    return sender


def _frame(opcode: object, fields: dict[str, object]) -> RawFrame:
    match opcode:
        case str() if opcode in _OPCODES:
            number = _OPCODES[opcode]
        case int() if 0 <= opcode < 16 and not isinstance(opcode, bool):
            number = opcode
        case _:
            raise _BadLine("no valid opcode")
    rsv = fields.get("rsv", 0)
    if not isinstance(rsv, int) or not 0 <= rsv < 8:
        raise _BadLine("invalid reserved bits")
    masked = fields.get("masked", fields.get("from") == Sender.JAMBONZ)
    return RawFrame(fields.get("fin", True) is not False, int(rsv), number, masked is True, _payload(fields))


def _payload(fields: dict[str, object]) -> bytes:
    try:
        match fields:
            case {"text": str(text)}:
                return text.encode()
            case {"data": str(data)}:
                return a2b_base64(data, strict_mode=True)
    except UnicodeEncodeError:
        raise _BadLine("its text is not Unicode") from None
    except (Base64Error, ValueError):
        raise _BadLine("its data is not Base64") from None
    raise _BadLine("no payload")


def _end(at: float, how: dict[str, object]) -> DumpEnd:
    code = how.get("code")
    return DumpEnd(at, _text(how, "closed_by"), code if isinstance(code, int) else None, _text(how, "reason") or "")
