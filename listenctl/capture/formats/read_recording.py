"""
Recordings as captures: what jambonz sent, from `NAME.json` and the audio beside it (`listenctl-recording(5)`).

A recording has no messages and no times of its own, but says where its gaps are, so that each sample's time follows
from its place. What the application sent isn't in it.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from listenctl.capture.capture_events import (
    CapturedFrame,
    CapturedSession,
    CaptureEvent,
    SessionClosed,
    SessionOpened,
)
from listenctl.capture.compressed_files import CaptureFile
from listenctl.capture.formats.recorded_call import RecordedAudio, RecordedCall, open_recorded_audio
from listenctl.capture.packets.packet_batches import CaptureNotice
from listenctl.errors import UsageError
from listenctl.media.files.sidecar import MAX_SIDECAR_BYTES, MIXED, Sidecar
from listenctl.protocol import peer_json
from listenctl.protocol.audio import MIX_CHANNELS
from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.protocol.listen_session import Sender

_TEXT, _CLOSE = 1, 8
# Of one channel of several, and of what `--extract` writes.
_SUFFIXES = ("-left", "-right", ".jambonz")
_CLOSE_CODES = frozenset(range(1000, 5000)) - {1005, 1006, 1015}
_CLOSED_BY = {"jambonz": Sender.JAMBONZ, "listenctl": Sender.APPLICATION, "application": Sender.APPLICATION}
_DEFAULT_RATE = 8000


def sidecar_of(path: str) -> Path | None:
    """Return the sidecar of a sound file, None if there is none."""
    sound = Path(path)
    stems = [sound.stem, *(sound.stem.removesuffix(suffix) for suffix in _SUFFIXES)]
    return next((found for stem in stems if (found := sound.with_name(f"{stem}.json")).is_file()), None)


def parse_sidecar(file: CaptureFile) -> Sidecar | None:
    """Return what a file says if it is the sidecar of a recording."""
    data = bytearray()
    for chunk in file.chunks:
        data += chunk
        if len(data) > MAX_SIDECAR_BYTES:
            return None
    return Sidecar.parse(bytes(data))


def read_recording(name: str, sidecar: Sidecar, numbers: Iterator[int]) -> Iterator[CaptureEvent]:
    """Yield the one session of a recording; ``name`` is that of its sidecar."""
    session = _session(name, next(numbers), sidecar)
    yield SessionOpened(session.began, session)
    with ExitStack() as stack:
        try:
            audio: RecordedAudio | None = _audio(name, sidecar, stack)
        except UsageError as exc:
            audio = None
            yield CaptureNotice(f"session {session.number}", f"{exc}; its events are read all the same")
        if metadata := _metadata(sidecar, audio):
            yield CapturedFrame(session.began, session, Sender.JAMBONZ, RawFrame(True, 0, _TEXT, True, metadata), None)
        rate = sidecar.metadata.sample_rate or (sidecar.audio and sidecar.audio.sample_rate) or _DEFAULT_RATE
        call = RecordedCall(session, sidecar, rate, audio)
        yield from call.events()
    yield from _end(session, sidecar, call.last)


def _session(name: str, number: int, sidecar: Sidecar) -> CapturedSession:
    return CapturedSession(
        number,
        source=name,
        began=sidecar.started,
        client=sidecar.remote,
        target=sidecar.target or None,
        subprotocol=sidecar.subprotocol,
        is_listen=True,
        without_application=True,
    )


def _audio(name: str, sidecar: Sidecar, stack: ExitStack) -> RecordedAudio:
    described = sidecar.audio
    if described is None:
        raise UsageError("the sidecar describes no audio")
    # Names only: a sidecar from elsewhere has no business in other folders.
    paths = [Path(name).with_name(Path(file).name or "-") for file in described.files]
    if described.format != "raw":
        return open_recorded_audio(paths, stack)
    if not described.sample_rate or not described.channels:
        raise UsageError("the sidecar doesn't say what the raw audio is")
    return open_recorded_audio(paths, stack, (described.sample_rate, described.channels))


def _metadata(sidecar: Sidecar, audio: RecordedAudio | None) -> bytes:
    """Return the metadata as they came; those of another format than the audio is kept in are changed to that."""
    metadata = sidecar.metadata
    channels = MIX_CHANNELS[metadata.mix_type or "mono"]
    if audio is None or (channels == audio.channels and (metadata.sample_rate or _DEFAULT_RATE) == audio.sample_rate):
        return metadata.raw
    changed = dict(metadata.fields) | {"sampleRate": audio.sample_rate}
    if channels != audio.channels:
        changed["mixType"] = _mix_type(sidecar, audio.channels)
    return peer_json.encode(changed).encode(errors="replace")


def _mix_type(sidecar: Sidecar, channels: int) -> str:
    mixed = sidecar.audio is not None and MIXED in (sidecar.audio.channel_meanings or ())
    return "stereo" if channels > 1 else "mixed" if mixed else "mono"


def _end(session: CapturedSession, sidecar: Sidecar, last: float) -> Iterator[CaptureEvent]:
    if sidecar.ended is None:
        yield SessionClosed(last, session, None, "the recording has no end")
        return
    # Audio has its time by its length, which may be a moment longer than the call.
    ended, close = max(sidecar.ended, last), sidecar.close
    sender = _CLOSED_BY.get(close.by) if close else None
    if close and sender and close.code in _CLOSE_CODES:
        payload = close.code.to_bytes(2, "big") + close.reason.encode(errors="replace")[:123]
        yield CapturedFrame(ended, session, sender, RawFrame(True, 0, _CLOSE, sender is Sender.JAMBONZ, payload), None)
    yield SessionClosed(ended, session, None, "closed" if sender else "the connection broke")
