"""Seeds: small parts of the real calls in `tests/data/captures`."""

import base64
import gzip
import json
import struct
from collections.abc import Iterator
from functools import cache
from typing import Any

from listenctl.capture.capture_events import CapturedFrame
from listenctl.capture.formats.dump_line_format import (
    DumpEnd,
    DumpFault,
    DumpHeader,
    DumpLoss,
    event_line,
    frame_line,
    header_line,
)
from listenctl.capture.tls.key_log import KeyLog
from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.protocol.listen_session import Sender
from tests.fuzz.reader import Seed
from tests.helpers import capture
from tests.helpers.frames import BINARY, HANDSHAKE, TEXT, binary, close, text
from tests.helpers.inspected import capture_events
from tests.helpers.pcap import (
    ANSWER,
    COOKED,
    COOKED_2,
    ETHERNET,
    LOOPBACK,
    OPENBSD_LOOPBACK,
    RAW,
    Packet,
    Side,
    TcpDialog,
    interface,
    packets_of,
    pcap,
    pcapng,
    section,
)

CALLS = ("a_mono8k_sip", "c2_bidir_stream8k_marks_nominus1", "e_playaudio_featureserver", "f_pause_graceful")
ENCRYPTED = capture.FOLDER / "encrypted"
HEAD, TAIL = 30, 14
"""Packets from the start and the end of a call that represent it."""
MAX_PACKET = 1600
MAX_PAYLOAD = 12_000
LINKS = (LOOPBACK, OPENBSD_LOOPBACK, COOKED, COOKED_2, RAW)

_RECORD, _FILE = 16, 24
_HEADERS = (0, 4, 8, 12, _RECORD + 12, *(_RECORD + 14 + at for at in (0, 2, 6, 9, 12, 20, 22, 24, 28, 32, 33, 40)))


@cache
def key_log() -> KeyLog:
    return KeyLog((ENCRYPTED / "d_wss_mono16k.keylog").read_text() + "".join(one["keylog"] for one in _tls12()))


@cache
def _tls12() -> list[Any]:
    stored: list[Any] = json.loads((capture.FOLDER.parent / "tls12.json").read_text())
    return stored


def tls12_pieces() -> list[list[tuple[int, bytes]]]:
    """Return short TLS 1.2 sessions, one for each kind of cipher."""
    return [[(side, base64.b64decode(data)) for side, data in one["flights"]] for one in _tls12()]


def packets(name: str) -> list[Packet]:
    """Return the packets at the start and the end of a call, except very long ones."""
    folder = ENCRYPTED if name == "d_wss_mono16k" else capture.FOLDER
    found = packets_of(gzip.decompress((folder / f"{name}.pcap.gz").read_bytes()))
    short = [packet for packet in found if len(packet.data) <= MAX_PACKET]
    return short[:HEAD] + short[-TAIL:]


@cache
def packet_seeds() -> list[Seed]:
    """Return calls as packet captures in both formats and byte orders."""
    seeds = [pcap_seed(packets(name)) for name in CALLS]
    few = packets(CALLS[0])[:16]
    seeds += [pcap_seed(few, magic=magic) for magic in (b"\xa1\xb2\xc3\xd4", b"\x4d\x3c\xb2\xa1", b"\x34\xcd\xb2\xa1")]
    seeds += [pcapng_seed(few, order=order) for order in "<>"]
    return seeds + [pcap_seed(on(link).packets, link_type=link) for link in LINKS] + [pcap_seed(over_ipv6().packets)]


def on(link: int) -> TcpDialog:
    return _spoken(TcpDialog(link_type=link))


def over_ipv6() -> TcpDialog:
    return _spoken(TcpDialog(Side("2001:db8::1", 40_000), Side("2001:db8::2", 8080)))


def _spoken(talk: TcpDialog) -> TcpDialog:
    talk.open().client(HANDSHAKE).server(ANSWER).client(text('{"callSid":"CS-A","sampleRate":8000}'))
    return talk.client(binary(bytes(320))).client(close()).close()


def pcap_seed(made: list[Packet], *, magic: bytes = b"\xd4\xc3\xb2\xa1", link_type: int = ETHERNET) -> Seed:
    """Return a pcap file as a seed, with the offsets of all headers."""
    data, places, at = pcap(made, magic=magic, link_type=link_type), [0, 20], _FILE
    longer = 8 if magic[0] == 0x34 else 0
    for packet in made:
        places += [at + place + (longer if place >= _RECORD else 0) for place in _HEADERS]
        at += _RECORD + longer + len(packet.data)
    return Seed(data, places)


def pcapng_seed(made: list[Packet], *, order: str = "<") -> Seed:
    """Return a pcapng file with two sections as a seed, with the offsets of all block headers."""
    data = pcapng(made, order=order) + section(order=order) + interface(101, order=order)
    places, at = [0, 4, 8], 0
    while at < len(data):
        size = int(struct.unpack_from(f"{order}I", data, at + 4)[0])
        places += [at, at + 4, at + 8, at + 12, at + 16, at + 20, at + 24, at + 28 + 14, at + 28 + 34, at + size - 4]
        at += size
    return Seed(data, [place for place in places if place < len(data)])


def pieces_of(name: str) -> list[tuple[int, bytes]]:
    """Return the data of each packet, with 0 for the client and 1 for the server."""
    segments = list(capture._segments(pcap(packets(name))))
    return [(int(one.ports != segments[0].ports), one.payload) for one in segments if one.payload]


def frames_of(name: str) -> Iterator[tuple[float, Sender, RawFrame]]:
    """Yield the first frames of a call and all later texts, with their times and senders."""
    count = 0
    for event in capture_events(name):
        if isinstance(event, CapturedFrame) and (count < HEAD or event.frame.opcode != BINARY):
            count += 1
            yield event.at, event.sender, event.frame._replace(payload=event.frame.payload[:MAX_PAYLOAD])


def json_places(data: bytes) -> list[int]:
    return [at for at, byte in enumerate(data) if byte in b":,{["]


def dump_seed(name: str) -> Seed:
    lines = [header_line(DumpHeader("2026-11-20T10:00:00.000000Z", name, name, "10.0.0.5:1", "/x", None, "ws://h:1/"))]
    began, last = None, 0.0
    for at, sender, frame in frames_of(name):
        began = at if began is None else began
        last = at - began
        lines.append(frame_line(last, sender, frame))
    lines += [event_line(DumpLoss(last, 3)), event_line(DumpFault(last, Sender.APPLICATION, "too long"))]
    return text_seed(b"".join([*lines, event_line(DumpEnd(last, "jambonz", 1000, "bye"))]))


def commands_seed() -> Seed:
    """Return a dump of a call with all commands of the application, and their answers."""
    wav = base64.b64encode(wav_file(bytes(1600), 8000)).decode()
    raw = {"audioContentType": "raw", "sampleRate": 16_000, "audioContent": base64.b64encode(bytes(640)).decode()}
    said = [
        (Sender.JAMBONZ, '{"callSid":"CS-A","sampleRate":8000,"mixType":"mono"}'),
        (Sender.APPLICATION, json.dumps({"type": "playAudio", "data": {"id": "1", **raw}})),
        (
            Sender.APPLICATION,
            json.dumps({"type": "playAudio", "data": {"audioContentType": "wav", "audioContent": wav}}),
        ),
        (Sender.APPLICATION, '{"type":"mark","data":{"name":"m"}}'),
        (Sender.JAMBONZ, '{"type":"playDone","data":{"id":"1","reason":"finished","playback_milliseconds":20}}'),
        (Sender.JAMBONZ, '{"type":"mark","data":{"name":"m","event":"playout"}}'),
        (Sender.JAMBONZ, '{"event":"dtmf","dtmf":"1","duration":"1600"}'),
        *((Sender.APPLICATION, json.dumps({"type": kind})) for kind in ("killAudio", "clearMarks", "disconnect")),
        (Sender.JAMBONZ, '{"type":"session:summary","data":{}}'),
    ]
    frames = [(sender, RawFrame(True, 0, TEXT, sender is Sender.JAMBONZ, text.encode())) for sender, text in said]
    lines = [frame_line(0.1 * number, sender, frame) for number, (sender, frame) in enumerate(frames)]
    header = header_line(DumpHeader("2026-11-20T10:00:00.000000Z"))
    return text_seed(b"".join([header, *lines, event_line(DumpEnd(2.0, "application", 1000, ""))]))


def wav_file(samples: bytes, sample_rate: int, channels: int = 1) -> bytes:
    form = struct.pack("<HHIIHH", 1, channels, sample_rate, 2 * channels * sample_rate, 2 * channels, 16)
    chunks = b"fmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", len(samples)) + samples
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def har_seed(name: str) -> Seed:
    """Return a call as a HAR file."""
    messages = [
        {
            "type": "send" if sender is Sender.JAMBONZ else "receive",
            "time": at,
            "opcode": frame.opcode,
            "data": _har_data(frame),
        }
        for at, sender, frame in frames_of(name)
    ]
    entry = {
        "startedDateTime": "2026-11-20T11:43:20.000Z",
        "request": {"method": "GET", "url": "wss://example.com/x?y=1", "headers": [{"name": "Host", "value": "h"}]},
        "response": {"status": 101, "statusText": "Switching Protocols", "headers": []},
        "_webSocketMessages": messages,
    }
    return text_seed(json.dumps({"log": {"version": "1.2", "entries": [{"request": {}}, entry]}}).encode())


def _har_data(frame: RawFrame) -> str:
    return frame.payload.decode(errors="replace") if frame.opcode == TEXT else base64.b64encode(frame.payload).decode()


def text_seed(data: bytes) -> Seed:
    """Return JSON as a seed, with the offsets of its members."""
    return Seed(data, json_places(data))
