"""
Read a recording (`listenctl-recording(5)`) as a captured session of what jambonz sent.
It has no arrival times, but its sidecar has the gaps, so the time of each sample follows from its position.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Any

from listenctl.capture.capture_events import (
    CLOSED_BY,
    CapturedFrame,
    CapturedSession,
    CaptureEvent,
    FramesLost,
    SessionClosed,
    SessionOpened,
)
from listenctl.capture.compressed_files import OpenedCapture
from listenctl.capture.packets.packet_batches import CaptureNotice
from listenctl.errors import UsageError
from listenctl.media.files.convert_recording import CODECS
from listenctl.media.files.libsndfile import disable_seeking, error_reason, read_int16
from listenctl.media.files.sidecar import MAX_SIDECAR_BYTES, MIXED, Sidecar
from listenctl.protocol import peer_json
from listenctl.protocol.audio import MIX_CHANNELS, SAMPLE_BYTES
from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.protocol.jambonz_messages import Dtmf, Mark, PlayDone
from listenctl.protocol.listen_session import Sender
from listenctl.protocol.peer_json import JsonFields, count_in
from listenctl.protocol.privacy.hide_secrets import shown_subprotocols, shown_target

BLOCK = 16_384
MAX_SECONDS = 1e9
CHUNKS_A_SECOND = 50
"""jambonz sends one every 20 ms (listenctl-protocol(7) 3.1)."""

_TEXT, _BINARY, _CLOSE = 1, 2, 8
_FILLED = frozenset({"hole", "pause"})
# Suffixes of files with one channel, and of those that `--extract` writes.
_SUFFIXES = ("-left", "-right", ".jambonz")
_CLOSE_CODES = frozenset(range(1000, 5000)) - {1005, 1006, 1015}
_DEFAULT_RATE = 8000


def find_sidecar(path: str) -> Path | None:
    sound = Path(path)
    stems = [sound.stem, *(sound.stem.removesuffix(suffix) for suffix in _SUFFIXES)]
    return next((found for stem in stems if (found := sound.with_name(f"{stem}.json")).is_file()), None)


def read_sidecar(file: OpenedCapture) -> Sidecar | None:
    data, whole = file.read_up_to(MAX_SIDECAR_BYTES)
    return Sidecar.parse(bytes(data)) if whole else None


def read_recording(name: str, sidecar: Sidecar, numbers: Iterator[int]) -> Iterator[CaptureEvent]:
    """Yield the events of the one session of a recording; ``name`` is the path of its sidecar."""
    session = _session(name, next(numbers), sidecar)
    yield SessionOpened(session.began, session)
    with ExitStack() as stack:
        try:
            audio: RecordedAudio | None = _audio(name, sidecar, stack)
        except UsageError as exc:
            audio = None
            yield CaptureNotice(f"session {session.number}", f"{exc}; its events are still read")
        if metadata := _metadata(sidecar, audio):
            yield CapturedFrame(session.began, session, Sender.JAMBONZ, RawFrame(True, 0, _TEXT, True, metadata), None)
        call = RecordedCall(session, sidecar, _call_rate(sidecar), audio)
        yield from call.read_events()
    yield from _end(session, sidecar, call.last)


def _call_rate(sidecar: Sidecar) -> int:
    """Return the sample rate of the call, at which positions count."""
    described = sidecar.audio
    of_audio = described and (described.resampled_from or described.sample_rate)
    return sidecar.metadata.sample_rate or of_audio or _DEFAULT_RATE


@dataclass(slots=True)
class RecordedAudio:
    """The audio of one file, or of several with one channel each: 16-bit samples, interleaved."""

    sample_rate: int
    channels: int
    _files: Sequence[Any]
    samples: int = 0  # samples per channel read so far

    def read_blocks(self) -> Iterator[bytes]:
        """Yield the audio up to the end of the shortest file, or the first that can't be decoded."""
        import numpy as np
        import soundfile

        while True:
            try:
                parts = [read_int16(file, BLOCK) for file in self._files]
            except soundfile.SoundFileError:
                return
            shortest = min(len(part) for part in parts)
            if not shortest:
                return
            yield np.hstack([part[:shortest] for part in parts]).astype("<i2").tobytes()


def open_recorded_audio(paths: Sequence[Path], stack: ExitStack, raw: tuple[int, int] | None = None) -> RecordedAudio:
    """
    Open the files of a recording, with sample rate and channels in ``raw`` if they have no header; ``stack`` closes
    them. Raises UsageError if a file can't be read.
    """
    import soundfile

    try:
        files = [stack.enter_context(_open(path, raw)) for path in paths]
    except (soundfile.SoundFileError, OSError, TypeError, ValueError, OverflowError) as exc:
        # A sidecar can have any numbers, and any file can be named .raw.
        raise UsageError(f"can't read the audio of the recording: {error_reason(exc)}") from exc
    if not files:
        raise UsageError("the sidecar names no audio")
    return RecordedAudio(files[0].samplerate, sum(file.channels for file in files), files)


def _open(path: Path, raw: tuple[int, int] | None) -> Any:
    import soundfile

    layout = CODECS["raw"].layout if raw else {}
    return disable_seeking(soundfile.SoundFile(path, "r", *(raw or ()), **layout))


@dataclass(frozen=True, slots=True)
class RecordingGap:
    """A gap between the audio that was received and that in the file."""

    position: int  # samples before it
    skipped: int = 0  # samples of silence in the file that were not on the wire
    shift: float = 0.0
    """Seconds by which later samples arrived after the time of their position, including earlier gaps."""
    not_before: float = 0.0  # earliest time of later samples
    unrecorded: int = 0  # received samples that are not in the file


class RecordedTimes:
    """The arrival times of samples, in seconds since the start of the call."""

    def __init__(self, gaps: Iterable[JsonFields], sample_rate: int, *, filled: bool) -> None:
        self._rate = sample_rate
        self.gaps: list[RecordingGap] = []
        shift = not_before = 0.0
        for gap in sorted(gaps, key=lambda gap: _count(gap, "position")):
            kind, position = str(gap.get("kind")), _count(gap, "position")
            missing, length = _number(gap, "missing"), _number(gap, "length")
            # Time never goes back, whatever the sidecar says.
            not_before = max(not_before, position / sample_rate + shift)
            is_filled = filled and kind in _FILLED and missing > 0
            if kind == "late-start":
                shift += max(0.0, length)
            elif not is_filled:
                shift += missing / sample_rate
            if kind == "burst":
                not_before = max(not_before, position / sample_rate + shift + length)
            self.gaps.append(
                RecordingGap(
                    position,
                    skipped=int(missing) if is_filled else 0,
                    shift=shift,
                    not_before=not_before,
                    unrecorded=int(missing) if kind == "unrecorded" else 0,
                )
            )

    def time_at(self, position: int) -> float:
        """Return the arrival time of the sample before ``position``."""
        time = position / self._rate
        last = self._last_before(position)
        return max(time + last.shift, last.not_before, 0.0) if last else time

    def is_filled(self, position: int) -> bool:
        """Return whether the sample before ``position`` replaces a missing one."""
        last = self._last_before(position)
        return last is not None and position <= last.position + last.skipped

    def _last_before(self, position: int) -> RecordingGap | None:
        index = bisect_right(self.gaps, position - 1, key=attrgetter("position"))
        return self.gaps[index - 1] if index else None


def _number(gap: JsonFields, name: str) -> float:
    value = peer_json.parse_number(gap.get(name)) or 0.0
    return value if abs(value) < MAX_SECONDS else 0.0


def _count(gap: JsonFields, name: str) -> int:
    return max(0, int(_number(gap, name)))


class RecordedCall:
    """The frames of a recorded call; ``sample_rate`` is that of positions; the stored audio can have another."""

    def __init__(
        self, session: CapturedSession, sidecar: Sidecar, sample_rate: int, audio: RecordedAudio | None
    ) -> None:
        self._session = session
        self._audio = audio
        self._described = sidecar.audio
        self._scale = audio.sample_rate / sample_rate if audio else 1.0
        filled = sidecar.audio is not None and sidecar.audio.gaps_filled is True
        self._times = RecordedTimes(sidecar.gaps, sample_rate, filled=filled)
        texts = ((count_in(event, "position"), text) for event in sidecar.events if (text := _text_of(event)))
        self._texts = deque(sorted(texts, key=lambda one: one[0]))
        self.last = session.began  # time of the last frame

    def read_events(self) -> Iterator[CaptureEvent]:
        gaps = deque(self._times.gaps)
        for chunk, position in self._chunks():
            while gaps and gaps[0].position < position:
                yield from self._unrecorded(gaps.popleft())
            yield from self._texts_before(position)
            if not self._times.is_filled(position):
                yield self._frame_at(position, RawFrame(True, 0, _BINARY, True, chunk))
        yield from chain.from_iterable(map(self._unrecorded, gaps))
        yield from self._texts_before(None)
        yield from self._ends_early()

    def _chunks(self) -> Iterator[tuple[bytes, int]]:
        """Yield the audio in chunks of 20 ms, with the position where each ends; no chunk spans a gap."""
        if self._audio is None:
            return
        frame, usual = self._audio.channels * SAMPLE_BYTES, max(1, self._audio.sample_rate // CHUNKS_A_SECOND)
        positions = {at for gap in self._times.gaps for at in (gap.position, gap.position + gap.skipped)}
        cuts = deque(sorted(round(at * self._scale) for at in positions))
        rest = b""
        for block in chain(self._audio.read_blocks(), [b""]):
            rest, at = rest + block, 0
            while at < len(rest):
                done = self._audio.samples
                while cuts and cuts[0] <= done:
                    cuts.popleft()
                size = frame * (min(usual, cuts[0] - done) if cuts else usual)
                if at + size > len(rest) and block:
                    break
                chunk = rest[at : at + size]
                at += len(chunk)
                self._audio.samples += len(chunk) // frame
                yield chunk, round(self._audio.samples / self._scale)
            rest = rest[at:]

    def _texts_before(self, position: int | None) -> Iterator[CapturedFrame]:
        """Yield the texts before a position, or all remaining ones."""
        while self._texts and (position is None or self._texts[0][0] < position):
            at, text = self._texts.popleft()
            yield self._frame_at(at, RawFrame(True, 0, _TEXT, True, text))

    def _unrecorded(self, gap: RecordingGap) -> Iterator[FramesLost]:
        if gap.unrecorded:
            size = gap.unrecorded * SAMPLE_BYTES * (self._audio.channels if self._audio else 1)
            at = self._session.began + self._times.time_at(gap.position)
            yield FramesLost(at, self._session, Sender.JAMBONZ, size, "received but not written to the recording")

    def _ends_early(self) -> Iterator[CaptureNotice]:
        """Report a file that is shorter than the sidecar says."""
        if self._audio is None or self._described is None:
            return
        samples, expected = self._audio.samples, self._described.samples
        if samples < expected:
            where, what = f"session {self._session.number}", f"the audio ends after {samples} of {expected} samples"
            yield CaptureNotice(where, f"{what}; using those")

    def _frame_at(self, position: int, frame: RawFrame) -> CapturedFrame:
        self.last = at = self._session.began + self._times.time_at(position)
        return CapturedFrame(at, self._session, Sender.JAMBONZ, frame, None)


def _text_of(event: JsonFields) -> bytes | None:
    """Return the text message of an event, None for other events."""
    match event:
        case {"event": "dtmf", "digit": str(digit)}:
            duration = event.get("duration")
            text = Dtmf(digit, duration if isinstance(duration, str | int | float) else None).serialize()
        case {"event": "mark", "name": str(name), "result": str(result)}:
            text = Mark(name, result).serialize()
        case {"event": "play-done"}:
            text = _play_done(event).serialize()
        case {"event": "message", "type": "session:summary", "data": data}:
            text = peer_json.encode({"type": "session:summary", "data": data})
        case {"event": "message", "text": str(text)}:
            pass
        case _:
            return None
    return text.encode(errors="replace")


def _play_done(event: JsonFields) -> PlayDone:
    reason, played = event.get("reason"), event.get("played_ms")
    return PlayDone(
        id=event.get("id"),
        reason=reason if isinstance(reason, str) else None,
        playback_milliseconds=played if isinstance(played, int | float) else None,
    )


def _session(name: str, number: int, sidecar: Sidecar) -> CapturedSession:
    return CapturedSession(
        number,
        source=name,
        began=sidecar.started,
        client=sidecar.remote,
        target=shown_target(sidecar.target) or None,
        subprotocol=shown_subprotocols(sidecar.subprotocol),
        is_listen=True,
        without_application=True,
    )


def _audio(name: str, sidecar: Sidecar, stack: ExitStack) -> RecordedAudio:
    described = sidecar.audio
    if described is None:
        raise UsageError("the sidecar describes no audio")
    # Only names: a hostile sidecar must not read files in other folders.
    paths = [Path(name).with_name(Path(file).name or "-") for file in described.files]
    if described.format != "raw":
        return open_recorded_audio(paths, stack)
    if not described.sample_rate or not described.channels:
        raise UsageError("the sidecar lacks the sample rate or the channels of the raw audio")
    return open_recorded_audio(paths, stack, (described.sample_rate, described.channels))


def _metadata(sidecar: Sidecar, audio: RecordedAudio | None) -> bytes:
    """Return the metadata as received, with sample rate and mix type changed to those of the stored audio."""
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
    # By its length, the audio may end slightly after the call.
    ended, close = max(sidecar.ended, last), sidecar.close
    sender = CLOSED_BY.get(close.by) if close else None
    if close and sender and close.code in _CLOSE_CODES:
        payload = close.code.to_bytes(2, "big") + close.reason.encode(errors="replace")[:123]
        yield CapturedFrame(ended, session, sender, RawFrame(True, 0, _CLOSE, sender is Sender.JAMBONZ, payload), None)
    yield SessionClosed(ended, session, None, "closed" if sender else "the connection broke")
