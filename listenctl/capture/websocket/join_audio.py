"""Join consecutive audio frames of a session into one event: twenty at once are processed faster than one by one."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from struct import Struct

from websockets.frames import Opcode

from listenctl.capture.capture_events import CapturedAudio, CapturedFrame, CapturedSession, CaptureEvent
from listenctl.capture.packets.tcp_events import TcpData
from listenctl.protocol.frames.frame_format import apply_mask, client_audio_bytes
from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.protocol.listen_session import Sender

_BEFORE_PAYLOAD = 8


def join_audio_data(session: CapturedSession, pieces: Sequence[TcpData]) -> CapturedAudio | None:
    """Return the frames of ``pieces`` if each is exactly one audio frame, all of one size; else None."""
    times, _, parts, packets = zip(*pieces, strict=True)
    head, size = parts[0][:4], client_audio_bytes(parts[0])
    if not size or set(map(len, parts)) != {size + _BEFORE_PAYLOAD}:
        return None
    heads, masks, payloads = zip(*_audio_frames_of(size).iter_unpack(b"".join(parts)), strict=True)
    if heads.count(head) != len(heads):
        return None
    return CapturedAudio(session, times, packets, size, b"".join(map(apply_mask, payloads, masks)))


def join_audio_frames(events: Iterable[CaptureEvent]) -> list[CaptureEvent]:
    joined: list[CaptureEvent] = []
    for size, alike in groupby(events, _size_of):
        run = list(alike)
        frames = [event for event in run if type(event) is CapturedFrame]
        if not size or len(frames) < 2:
            joined += run
            continue
        times, sessions, _, raw, packets = zip(*frames, strict=True)
        data = b"".join(map(itemgetter(_PAYLOAD), raw))
        joined.append(CapturedAudio(sessions[0], times, packets, size, data))
    return joined


_PAYLOAD = RawFrame._fields.index("payload")


def _size_of(event: CaptureEvent) -> int:
    if type(event) is not CapturedFrame or event.sender is not Sender.JAMBONZ:
        return 0
    fin, rsv, opcode, masked, payload = event.frame
    return len(payload) if opcode == Opcode.BINARY and fin and masked and not rsv else 0


@lru_cache(maxsize=64)
def _audio_frames_of(size: int) -> Struct:
    return Struct(f"4s4s{size}s")
