"""The samples of a recording, block by block, whichever format they were kept in."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from listenctl.errors import UsageError
from listenctl.media.convert import CODECS
from listenctl.media.resampling import to_pcm

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


def open_audio(paths: Sequence[Path], stack: ExitStack, raw: tuple[int, int] | None = None) -> RecordedAudio:
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
