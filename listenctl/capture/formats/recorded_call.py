"""What jambonz said in a recorded call, in order of time: the audio as it sends it, and the texts of the sidecar."""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from listenctl.capture.capture_events import CapturedFrame, CapturedSession, CaptureEvent, FramesLost
from listenctl.capture.formats.recorded_times import RecordedTimes, RecordingGap
from listenctl.capture.packets.packet_batches import CaptureNotice
from listenctl.errors import UsageError
from listenctl.media.files.convert_recording import CODECS
from listenctl.media.files.sidecar import Sidecar
from listenctl.media.resampling import to_pcm
from listenctl.protocol import peer_json
from listenctl.protocol.audio import SAMPLE_BYTES
from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.protocol.jambonz_messages import Dtmf, Mark, PlayDone
from listenctl.protocol.listen_session import Sender
from listenctl.protocol.peer_json import JsonFields, count_in

BLOCK = 16_384
# libsndfile scales integers of other widths, and floats not at all.
_INTEGERS = ("PCM_", "ULAW", "ALAW")


@dataclass(slots=True)
class RecordedAudio:
    """Audio of one or several files with a channel each, together: 16-bit samples, interleaved."""

    sample_rate: int
    channels: int
    _files: Sequence[Any]
    samples: int = 0
    """So many per channel were taken."""

    def blocks(self) -> Iterator[bytes]:
        """Yield all of it; it ends where the first file does or can't be decoded."""
        import numpy as np
        import soundfile

        while True:
            try:
                parts = [_read(file) for file in self._files]
            except soundfile.SoundFileError:
                return
            shortest = min(len(part) for part in parts)
            if not shortest:
                return
            yield np.hstack([part[:shortest] for part in parts]).astype("<i2").tobytes()


def open_recorded_audio(paths: Sequence[Path], stack: ExitStack, raw: tuple[int, int] | None = None) -> RecordedAudio:
    """
    Open the files of a recording; ``stack`` closes them.

    Args:
        raw: sample rate and channels of files that don't say so themselves.

    Raises:
        UsageError: one of them can't be read.
    """
    import soundfile

    try:
        files = [stack.enter_context(_open(path, raw)) for path in paths]
    except (soundfile.SoundFileError, OSError, TypeError, ValueError, OverflowError) as exc:
        # A sidecar may say any numbers, and a file be named as if it were raw.
        reason = str(getattr(exc, "error_string", exc)).rstrip(".")
        raise UsageError(f"the audio of the recording can't be read: {reason}") from exc
    if not files:
        raise UsageError("the sidecar names no audio")
    return RecordedAudio(files[0].samplerate, sum(file.channels for file in files), files)


def _open(path: Path, raw: tuple[int, int] | None) -> Any:
    import soundfile

    layout = CODECS["raw"].layout if raw else {}
    file = soundfile.SoundFile(path, "r", *(raw or ()), **layout)
    # After each read soundfile seeks to where it is; libmpg123 loses its bit reservoir by that, so MP3 gets glitches.
    file.seekable = lambda: False
    return file


def _read(file: Any) -> Any:
    import numpy as np

    if file.subtype.startswith(_INTEGERS):
        return file.read(BLOCK, dtype="int16", always_2d=True)
    floats = np.nan_to_num(file.read(BLOCK, dtype="float32", always_2d=True), nan=0.0, posinf=1.0, neginf=-1.0)
    return np.frombuffer(to_pcm(floats), "<i2").reshape(floats.shape)


CHUNKS_A_SECOND = 50
"""jambonz sends one for every 20 ms (protocol.md 3.1)."""

_TEXT, _BINARY = 1, 2


class RecordedCall:
    """
    The frames of a recorded call.

    Args:
        sample_rate: that of the call, in which places in the sidecar are counted; what was kept may have another.
        audio: None where it is gone.

    Attributes:
        last: when the last frame came.
    """

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
        self.last = session.began

    def events(self) -> Iterator[CaptureEvent]:
        """Yield what the sidecar and the audio tell."""
        breaks = deque(self._times.breaks)
        for chunk, position in self._chunks():
            while breaks and breaks[0].position < position:
                yield from self._broken(breaks.popleft())
            yield from self._said(position)
            if not self._times.filling(position):
                yield self._seen(position, RawFrame(True, 0, _BINARY, True, chunk))
        yield from chain.from_iterable(map(self._broken, breaks))
        yield from self._said(None)
        yield from self._ends_early()

    def _chunks(self) -> Iterator[tuple[bytes, int]]:
        """Yield the audio as jambonz sent it, and the place at which each chunk ends; none goes over a break."""
        if self._audio is None:
            return
        frame, usual = self._audio.channels * SAMPLE_BYTES, max(1, self._audio.sample_rate // CHUNKS_A_SECOND)
        places = {place for one in self._times.breaks for place in (one.position, one.position + one.skipped)}
        cuts = deque(sorted(round(place * self._scale) for place in places))
        rest = b""
        for block in chain(self._audio.blocks(), [b""]):
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

    def _said(self, position: int | None) -> Iterator[CapturedFrame]:
        """Yield the texts that came before a place, or all that are left."""
        while self._texts and (position is None or self._texts[0][0] < position):
            place, text = self._texts.popleft()
            yield self._seen(place, RawFrame(True, 0, _TEXT, True, text))

    def _broken(self, one: RecordingGap) -> Iterator[FramesLost]:
        if one.unrecorded:
            size = one.unrecorded * SAMPLE_BYTES * (self._audio.channels if self._audio else 1)
            at = self._session.began + self._times.at(one.position)
            yield FramesLost(at, self._session, Sender.JAMBONZ, size, "received but not written to the recording")

    def _ends_early(self) -> Iterator[CaptureNotice]:
        """Say so where the file has less than the sidecar says."""
        if self._audio is None or self._described is None:
            return
        samples, told = self._audio.samples, self._described.samples
        if samples < told:
            where, what = f"session {self._session.number}", f"the audio ends after {samples} of {told} samples"
            yield CaptureNotice(where, f"{what}; what is there is used")

    def _seen(self, position: int, frame: RawFrame) -> CapturedFrame:
        self.last = at = self._session.began + self._times.at(position)
        return CapturedFrame(at, self._session, Sender.JAMBONZ, frame, None)


def _text_of(event: JsonFields) -> bytes | None:
    """Return the text that became an event; None for one that never was any."""
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
