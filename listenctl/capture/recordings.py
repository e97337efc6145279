"""
Recordings as captures: what jambonz sent, from `NAME.json` and the audio beside it (`listenctl-recording(5)`).

A recording has no messages and no times of its own, but says where its gaps are, so that each sample's time follows
from its place. What the application sent isn't in it.
"""

from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from itertools import chain
from pathlib import Path

from listenctl.capture.captured import (
    CapturedSession,
    CaptureEvent,
    FrameSeen,
    FramesLost,
    SessionClosed,
    SessionOpened,
)
from listenctl.capture.files import OpenFile
from listenctl.capture.packets import Notice
from listenctl.capture.recorded_audio import RecordedAudio, open_audio
from listenctl.capture.recorded_times import Break, RecordedTimes
from listenctl.errors import UsageError
from listenctl.protocol import wire_json
from listenctl.protocol.audio import MIX_CHANNELS, SAMPLE_BYTES
from listenctl.protocol.frame_reader import RawFrame
from listenctl.protocol.messages import Dtmf, Mark, PlayDone
from listenctl.protocol.metadata import CallMetadata
from listenctl.protocol.session import Sender

MAX_SIDECAR = 64 * 1024 * 1024
CHUNKS_A_SECOND = 50
"""jambonz sends one for every 20 ms (protocol.md 3.1)."""

_TEXT, _BINARY, _CLOSE = 1, 2, 8
_SIDES = ("-left", "-right")
_CLOSE_CODES = frozenset(range(1000, 5000)) - {1005, 1006, 1015}
_CLOSED_BY = {"jambonz": Sender.JAMBONZ, "listenctl": Sender.APPLICATION, "application": Sender.APPLICATION}
_DEFAULT_RATE = 8000
_SUMMED = "both directions, summed"

Object = dict[str, object]


def sidecar_of(path: str) -> Path | None:
    """Return the sidecar of a sound file, None if there is none."""
    sound = Path(path)
    stems = [sound.stem, *(sound.stem.removesuffix(side) for side in _SIDES)]
    return next((found for stem in stems if (found := sound.with_name(f"{stem}.json")).is_file()), None)


def parse_sidecar(file: OpenFile) -> Object | None:
    """Return what a file says if it is the sidecar of a recording."""
    data = bytearray()
    for chunk in file.chunks:
        data += chunk
        if len(data) > MAX_SIDECAR:
            return None
    value, _ = wire_json.decode(data.decode("utf-8-sig", "replace").strip()) or (None, 0)
    return value if isinstance(value, dict) and isinstance(value.get("audio"), dict) and "started" in value else None


def read_recording(name: str, sidecar: Object, numbers: Iterator[int]) -> Iterator[CaptureEvent]:
    """Yield the one session of a recording; ``name`` is that of its sidecar."""
    session = _session(name, next(numbers), sidecar)
    yield SessionOpened(session.began, session)
    with ExitStack() as stack:
        try:
            audio: RecordedAudio | None = _audio(name, sidecar, stack)
        except UsageError as exc:
            audio = None
            yield Notice(f"session {session.number}", f"{exc}; its events are read all the same")
        if metadata := _metadata(sidecar, audio):
            yield FrameSeen(session.began, session, Sender.JAMBONZ, _frame(_TEXT, metadata), None)
        yield from _Call(session, sidecar, audio).events()
    yield from _end(session, sidecar)


def _session(name: str, number: int, sidecar: Object) -> CapturedSession:
    return CapturedSession(
        number,
        source=name,
        began=_time(sidecar, "started") or 0.0,
        client=_string(sidecar, "remote"),
        target=_string(sidecar, "target") or None,
        subprotocol=_string(sidecar, "subprotocol") or None,
        is_listen=True,
    )


def _audio(name: str, sidecar: Object, stack: ExitStack) -> RecordedAudio:
    described = _object(sidecar, "audio")
    files = described.get("files")
    # Names only: a sidecar from elsewhere has no business in other folders.
    paths = [Path(name).with_name(Path(str(file)).name or "-") for file in files] if isinstance(files, list) else []
    raw = (_count(described, "sample_rate"), _count(described, "channels"))
    if described.get("format") == "raw" and not all(raw):
        raise UsageError("the sidecar doesn't say what the raw audio is")
    return open_audio(paths, stack, raw if described.get("format") == "raw" else None)


def _metadata(sidecar: Object, audio: RecordedAudio | None) -> bytes:
    """Return the metadata as they came; those of another format than the audio is kept in are changed to that."""
    raw = _raw_metadata(sidecar)
    told = CallMetadata.parse(raw)
    channels = MIX_CHANNELS[told.mix_type or "mono"]
    if audio is None or (channels == audio.channels and (told.sample_rate or _DEFAULT_RATE) == audio.sample_rate):
        return raw
    changed = dict(told.fields) | {"sampleRate": audio.sample_rate}
    if channels != audio.channels:
        changed["mixType"] = _mix_type(sidecar, audio.channels)
    return _encoded(wire_json.encode(changed))


def _raw_metadata(sidecar: Object) -> bytes:
    try:
        return a2b_base64(_string(sidecar, "metadata_raw_base64")) or _encoded(_string(sidecar, "metadata_raw"))
    except (Base64Error, ValueError):
        return _encoded(_string(sidecar, "metadata_raw"))


def _mix_type(sidecar: Object, channels: int) -> str:
    summed = _SUMMED in _list(_object(sidecar, "audio"), "channel_meanings")
    return "stereo" if channels > 1 else "mixed" if summed else "mono"


class _Call:
    """The frames of a recorded call, in order of time."""

    def __init__(self, session: CapturedSession, sidecar: Object, audio: RecordedAudio | None) -> None:
        described = _object(sidecar, "audio")
        self._session = session
        self._audio = audio
        # Places in a sidecar are counted at the rate of the call, which the kept audio may not have.
        told = CallMetadata.parse(_raw_metadata(sidecar)).sample_rate
        self._rate = told or _count(described, "sample_rate") or _DEFAULT_RATE
        filled = described.get("gaps_filled") is True
        self._times = RecordedTimes(_list(sidecar, "gaps"), self._rate, filled=filled)
        self._scale = audio.sample_rate / self._rate if audio else 1.0
        texts = ((_count(event, "position"), text) for event in _list(sidecar, "events") if (text := _text_of(event)))
        self._texts = sorted(texts, key=lambda one: one[0])
        self._next_text = 0

    def events(self) -> Iterator[CaptureEvent]:
        """Yield what the sidecar and the audio tell."""
        position = 0
        breaks = iter([*self._times.breaks, None])
        coming = next(breaks)
        # A chunk is left out where most of it is.
        half = self._rate // CHUNKS_A_SECOND // 2
        for chunk, position in self._chunks():
            while coming and coming.position < position:
                yield from self._broken(coming)
                coming = next(breaks)
            yield from self._said(position)
            if not self._times.filling(position - half):
                yield self._seen(position, _frame(_BINARY, chunk))
        yield from chain.from_iterable(self._broken(one) for one in (coming, *breaks) if one)
        yield from self._said(None)

    def _chunks(self) -> Iterator[tuple[bytes, int]]:
        """Yield the audio as jambonz sent it, and the place at which each chunk ends."""
        audio = self._audio
        if audio is None:
            return
        frame = audio.channels * SAMPLE_BYTES
        size = max(1, audio.sample_rate // CHUNKS_A_SECOND) * frame
        rest = b""
        done = 0
        for block in chain(audio.blocks(), [b""]):
            rest += block
            end = len(rest) - len(rest) % size if block else len(rest)
            for at in range(0, end, size):
                chunk = rest[at : at + size]
                done += len(chunk) // frame
                yield chunk, round(done / self._scale)
            rest = rest[end:]

    def _said(self, position: int | None) -> Iterator[FrameSeen]:
        """Yield the texts that came up to a place."""
        while self._next_text < len(self._texts):
            place, text = self._texts[self._next_text]
            if position is not None and place >= position:
                return
            self._next_text += 1
            yield self._seen(place, _frame(_TEXT, text))

    def _broken(self, one: Break) -> Iterator[FramesLost]:
        if one.unrecorded:
            size = one.unrecorded * SAMPLE_BYTES * (self._audio.channels if self._audio else 1)
            at = self._session.began + self._times.at(one.position)
            yield FramesLost(at, self._session, Sender.JAMBONZ, size, "received but not written to the recording")

    def _seen(self, position: int, frame: RawFrame) -> FrameSeen:
        return FrameSeen(self._session.began + self._times.at(position), self._session, Sender.JAMBONZ, frame, None)


def _text_of(event: object) -> bytes | None:
    """Return the text that became an event; None for one that never was any."""
    if not isinstance(event, dict):
        return None
    match event:
        case {"event": "dtmf", "digit": str(digit)}:
            duration = event.get("duration")
            return _encoded(Dtmf(digit, duration if isinstance(duration, str | int | float) else None).serialize())
        case {"event": "mark", "name": str(name), "result": str(result)}:
            return _encoded(Mark(name, result).serialize())
        case {"event": "play-done"}:
            return _encoded(_play_done(event).serialize())
        case {"event": "message", "type": "session:summary", "data": data}:
            return _encoded(wire_json.encode({"type": "session:summary", "data": data}))
        case {"event": "message", "text": str(text)}:
            return _encoded(text)
    return None


def _play_done(event: Object) -> PlayDone:
    reason, played = event.get("reason"), event.get("played_ms")
    return PlayDone(
        id=event.get("id"),
        reason=reason if isinstance(reason, str) else None,
        playback_milliseconds=played if isinstance(played, int | float) else None,
    )


def _end(session: CapturedSession, sidecar: Object) -> Iterator[CaptureEvent]:
    ended, close = _time(sidecar, "ended"), _object(sidecar, "close")
    if ended is None:
        yield SessionClosed(session.began, session, None, "the recording has no end")
        return
    sender, code = _CLOSED_BY.get(_string(close, "by")), _count(close, "code")
    if sender and code in _CLOSE_CODES:
        payload = code.to_bytes(2, "big") + _string(close, "reason").encode(errors="replace")[:123]
        yield FrameSeen(ended, session, sender, RawFrame(True, 0, _CLOSE, sender is Sender.JAMBONZ, payload), None)
    yield SessionClosed(ended, session, None, "closed" if sender else "the connection broke")


def _frame(opcode: int, payload: bytes) -> RawFrame:
    return RawFrame(True, 0, opcode, True, payload)


def _encoded(text: str) -> bytes:
    return text.encode(errors="replace")


def _time(fields: Object, name: str) -> float | None:
    try:
        return datetime.fromisoformat(_string(fields, name)).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def _object(fields: Object, name: str) -> Object:
    value = fields.get(name)
    return value if isinstance(value, dict) else {}


def _list(fields: Object, name: str) -> list[object]:
    value = fields.get(name)
    return value if isinstance(value, list) else []


def _string(fields: Object, name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def _count(fields: object, name: str) -> int:
    value = fields.get(name) if isinstance(fields, dict) else None
    return min(max(0, int(value)), 1 << 48) if isinstance(value, int | float) and not isinstance(value, bool) else 0
