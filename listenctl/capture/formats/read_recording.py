"""
Recordings as captures: what jambonz sent, from `NAME.json` and the audio beside it (`listenctl-recording(5)`).

A recording has no messages and no times of its own, but says where its gaps are, so that each sample's time follows
from its place. What the application sent isn't in it.
"""

from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from listenctl.capture.capture_events import (
    CapturedSession,
    CaptureEvent,
    FrameSeen,
    SessionClosed,
    SessionOpened,
)
from listenctl.capture.compressed_files import OpenFile
from listenctl.capture.formats.json_fields import Object, count_in, list_in, object_in, string_in, time_in
from listenctl.capture.formats.recorded_call import RecordedAudio, RecordedCall, open_audio
from listenctl.capture.packets.packet_batches import Notice
from listenctl.errors import UsageError
from listenctl.protocol import peer_json
from listenctl.protocol.audio import MIX_CHANNELS
from listenctl.protocol.call_metadata import CallMetadata
from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.protocol.listen_session import Sender

MAX_SIDECAR = 64 * 1024 * 1024

_TEXT, _CLOSE = 1, 8
# Of one channel of several, and of what `--extract` writes.
_SUFFIXES = ("-left", "-right", ".jambonz")
_CLOSE_CODES = frozenset(range(1000, 5000)) - {1005, 1006, 1015}
_CLOSED_BY = {"jambonz": Sender.JAMBONZ, "listenctl": Sender.APPLICATION, "application": Sender.APPLICATION}
_DEFAULT_RATE = 8000
_SUMMED = "both directions, summed"


def sidecar_of(path: str) -> Path | None:
    """Return the sidecar of a sound file, None if there is none."""
    sound = Path(path)
    stems = [sound.stem, *(sound.stem.removesuffix(suffix) for suffix in _SUFFIXES)]
    return next((found for stem in stems if (found := sound.with_name(f"{stem}.json")).is_file()), None)


def parse_sidecar(file: OpenFile) -> Object | None:
    """Return what a file says if it is the sidecar of a recording."""
    data = bytearray()
    for chunk in file.chunks:
        data += chunk
        if len(data) > MAX_SIDECAR:
            return None
    value, _ = peer_json.decode(data.decode("utf-8-sig", "replace").strip()) or (None, 0)
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
            yield FrameSeen(session.began, session, Sender.JAMBONZ, RawFrame(True, 0, _TEXT, True, metadata), None)
        told = CallMetadata.parse(_raw_metadata(sidecar)).sample_rate
        rate = told or count_in(object_in(sidecar, "audio"), "sample_rate") or _DEFAULT_RATE
        call = RecordedCall(session, sidecar, rate, audio)
        yield from call.events()
    yield from _end(session, sidecar, call.last)


def _session(name: str, number: int, sidecar: Object) -> CapturedSession:
    return CapturedSession(
        number,
        source=name,
        began=time_in(sidecar, "started") or 0.0,
        client=string_in(sidecar, "remote"),
        target=string_in(sidecar, "target") or None,
        subprotocol=string_in(sidecar, "subprotocol") or None,
        is_listen=True,
        without_application=True,
    )


def _audio(name: str, sidecar: Object, stack: ExitStack) -> RecordedAudio:
    described = object_in(sidecar, "audio")
    files = described.get("files")
    # Names only: a sidecar from elsewhere has no business in other folders.
    paths = [Path(name).with_name(Path(str(file)).name or "-") for file in files] if isinstance(files, list) else []
    raw = (count_in(described, "sample_rate"), count_in(described, "channels"))
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
    return _encoded(peer_json.encode(changed))


def _raw_metadata(sidecar: Object) -> bytes:
    try:
        return a2b_base64(string_in(sidecar, "metadata_raw_base64")) or _encoded(string_in(sidecar, "metadata_raw"))
    except (Base64Error, ValueError):
        return _encoded(string_in(sidecar, "metadata_raw"))


def _mix_type(sidecar: Object, channels: int) -> str:
    summed = _SUMMED in list_in(object_in(sidecar, "audio"), "channel_meanings")
    return "stereo" if channels > 1 else "mixed" if summed else "mono"


def _end(session: CapturedSession, sidecar: Object, last: float) -> Iterator[CaptureEvent]:
    ended, close = time_in(sidecar, "ended"), object_in(sidecar, "close")
    if ended is None:
        yield SessionClosed(last, session, None, "the recording has no end")
        return
    # Audio has its time by its length, which may be a moment longer than the call.
    ended = max(ended, last)
    sender, code = _CLOSED_BY.get(string_in(close, "by")), count_in(close, "code")
    if sender and code in _CLOSE_CODES:
        payload = code.to_bytes(2, "big") + string_in(close, "reason").encode(errors="replace")[:123]
        yield FrameSeen(ended, session, sender, RawFrame(True, 0, _CLOSE, sender is Sender.JAMBONZ, payload), None)
    yield SessionClosed(ended, session, None, "closed" if sender else "the connection broke")


def _encoded(text: str) -> bytes:
    return text.encode(errors="replace")
