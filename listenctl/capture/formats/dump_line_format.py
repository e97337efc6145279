"""Write the lines of a dump (`listenctl-dump(5)`)."""

from binascii import b2a_base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from websockets.frames import Opcode

from listenctl.json_lines import json_line
from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.protocol.listen_session import Sender
from listenctl.protocol.peer_json import encode
from listenctl.protocol.timeline import TimedFrame

VERSION = 1
OPCODE_NAMES: dict[int, str] = {
    Opcode.CONT: "continuation",
    Opcode.TEXT: "text",
    Opcode.BINARY: "binary",
    Opcode.CLOSE: "close",
    Opcode.PING: "ping",
    Opcode.PONG: "pong",
}


@dataclass(frozen=True, slots=True)
class DumpHeader:
    """The first line of a call; unknown values are None."""

    created: str  # time of the handshake, 0 in ``at``, as RFC 3339 in UTC
    call: str | None = None  # id of the connection
    call_sid: str | None = None
    remote: str | None = None
    target: str | None = None
    subprotocol: str | None = None
    server: str | None = None  # the URL of the server


@dataclass(frozen=True, slots=True)
class DumpEnd:
    """The last line of a call; ``closed_by`` is ``nobody`` if the connection broke, None if it never was a call."""

    at: float
    closed_by: str | None
    code: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class DumpFault:
    """From here on, the data of one side is not valid frames, and not in the dump."""

    at: float
    sender: Sender
    detail: str


@dataclass(frozen=True, slots=True)
class DumpLoss:
    """Frames before this line that could not be written."""

    at: float
    frames: int


class DumpAudio(NamedTuple):
    """Binary messages of jambonz in a row, each one frame of ``size`` bytes; ``data`` has all payloads."""

    times: Sequence[float]
    size: int
    data: bytes

    @property
    def at(self) -> float:
        return self.times[0]

    def frames(self) -> Iterator[TimedFrame]:
        for number, at in enumerate(self.times):
            payload = self.data[number * self.size : (number + 1) * self.size]
            yield TimedFrame(at, Sender.JAMBONZ, RawFrame(True, 0, int(Opcode.BINARY), True, payload))


def header_line(header: DumpHeader) -> bytes:
    fields = {name: getattr(header, name) for name in DumpHeader.__slots__}
    return _line({"listenctl_dump": VERSION, **fields})


def frame_line(at: float, sender: Sender, frame: RawFrame) -> bytes:
    """Return the line of a frame; formatted by hand for speed: calls have fifty a second each."""
    return _FRAME_LINE % (at, _kind(sender, frame), _payload(frame))


def audio_lines(audio: DumpAudio) -> bytes:
    """Return the lines of its frames as ``frame_line`` does, in a third of the time."""
    starts = range(0, len(audio.data), audio.size)
    payloads = [b2a_base64(audio.data[start : start + audio.size], newline=False) for start in starts]
    return _AUDIO_LINE * len(payloads) % tuple(chain.from_iterable(zip(audio.times, payloads, strict=True)))


def event_line(event: DumpFault | DumpLoss | DumpEnd) -> bytes:
    fields: dict[str, object]
    match event:
        case DumpFault(_, sender, detail):
            fields = {"from": sender, "fault": detail}
        case DumpLoss(_, frames):
            fields = {"lost": {"frames": frames}}
        case DumpEnd(_, closed_by, code, reason):
            fields = {"end": {"closed_by": closed_by, "code": code, "reason": reason}}
    return _line({"at": round(event.at, 6), **fields})


def _kind(sender: Sender, frame: RawFrame) -> bytes:
    """Return the fields of a frame between its time and its payload."""
    name = OPCODE_NAMES.get(frame.opcode)
    opcode = frame.opcode if name is None else f'"{name}"'
    odd = "" if frame.fin else ',"fin":false'
    if frame.rsv:
        odd += f',"rsv":{frame.rsv}'
    if frame.masked is not (sender is Sender.JAMBONZ):
        odd += f',"masked":{"true" if frame.masked else "false"}'
    return f'"from":"{sender}","opcode":{opcode}{odd}'.encode()


def _payload(frame: RawFrame) -> bytes:
    payload = frame.payload
    if frame.opcode == Opcode.TEXT:
        try:
            return f'"text":{json_line(payload.decode())}'.encode()
        except UnicodeDecodeError:
            pass  # jambonz's texts are not always UTF-8 (listenctl-protocol(7) 2.6).
    data = b'"data":"%b"' % b2a_base64(payload, newline=False)
    if frame.opcode == Opcode.CLOSE and len(payload) >= 2:
        reason = json_line(payload[2:].decode(errors="replace"))
        data += f',"code":{int.from_bytes(payload[:2], "big")},"reason":{reason}'.encode()
    return data


_FRAME_LINE = b'{"at":%.6f,%b,%b}\n'
_AUDIO_LINE = b'{"at":%%.6f,%b,"data":"%%b"}\n' % _kind(Sender.JAMBONZ, RawFrame(True, 0, Opcode.BINARY, True, b""))


def _line(fields: dict[str, object]) -> bytes:
    # Ids from the wire can have lone surrogates, which have no UTF-8.
    return encode(fields).encode(errors="replace") + b"\n"
