"""Both sides of a call as one stereo sound, aligned in time: left what the caller said, right what it heard."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from listenctl.inspection.sample_times import SampleTimes
from listenctl.media.files.wav_header import HEADER_BYTES
from listenctl.protocol.audio import AudioFormat

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

_BLOCK = 1.0
_READ = 1 << 15
_FULL_SCALE = 32768


@dataclass(frozen=True, slots=True)
class JambonzTrack:
    """What jambonz sent, as a WAV of ours, and where in time it belongs."""

    path: Path
    format: AudioFormat
    places: SampleTimes


@dataclass(frozen=True, slots=True)
class ApplicationTrack:
    """What the caller heard of the application, mono, as a WAV of ours that begins at the handshake."""

    path: Path
    sample_rate: int


def begin(received: JambonzTrack | None) -> float:
    """Return when the joined sound begins: at the handshake, or at audio that was captured before."""
    return min(0.0, received.places.origin) if received else 0.0


def join(received: JambonzTrack | None, heard: ApplicationTrack | None, sample_rate: int) -> Iterator[bytes]:
    """
    Yield the stereo sound in blocks; one side that ends earlier is silent from there on.

    What jambonz sent in its right channel was heard too, so that it goes to the right, with what was streamed.

    Args:
        heard: None to leave it out, because it is in the right channel already (protocol.md 3.1).
    """
    begins = begin(received)
    columns: list[Iterator[Floats]] = []
    if received:
        frames = _silenced(received, begins)
        columns.append(_resampled(frames, received.format.sample_rate, sample_rate, received.format.channels))
    if heard:
        columns.append(_resampled(_delayed(heard, -begins), heard.sample_rate, sample_rate, 1))
    for blocks in _in_step(columns, round(_BLOCK * sample_rate)):
        left, right = _sides(blocks, received=received is not None)
        yield _stereo(left, right)


def _sides(blocks: "list[Floats]", *, received: bool) -> "tuple[Floats, Floats]":
    import numpy as np

    if not received:
        return np.zeros(len(blocks[0]), np.float32), blocks[0][:, 0]
    right = blocks[0][:, 1] if blocks[0].shape[1] == 2 else np.zeros(len(blocks[0]), np.float32)
    return blocks[0][:, 0], right + blocks[1][:, 0] if len(blocks) == 2 else right


def _stereo(left: "Floats", right: "Floats") -> bytes:
    import numpy as np

    both = np.rint(np.column_stack((left, right)) * _FULL_SCALE).clip(-32768, 32767)
    return both.astype("<i2").tobytes()


def _silenced(received: JambonzTrack, begins: float) -> "Iterator[Floats]":
    """Yield what jambonz sent, in frames, with silence where something is missing."""
    rate, channels = received.format.sample_rate, received.format.channels
    at = 0
    with received.path.open("rb") as file:
        file.seek(HEADER_BYTES)
        for span in received.places.spans():
            start = round((span.at - begins) * rate)
            yield from _silence(start - at, channels)
            at = max(at, start) + span.length
            yield from _read(file, span.length, received.format)


def _delayed(heard: ApplicationTrack, delay: float) -> "Iterator[Floats]":
    audio_format = AudioFormat(heard.sample_rate, 1)
    yield from _silence(round(delay * heard.sample_rate), 1)
    with heard.path.open("rb") as file:
        file.seek(HEADER_BYTES)
        yield from _read(file, None, audio_format)


def _read(file: BinaryIO, samples: int | None, audio_format: AudioFormat) -> "Iterator[Floats]":
    """Yield so many samples of a file, or all that are left."""
    import numpy as np

    left = samples
    while left is None or left > 0:
        count = _READ if left is None else min(_READ, left)
        data = file.read(count * audio_format.frame_bytes)
        frames = np.frombuffer(data, "<i2").reshape(-1, audio_format.channels)
        if not len(frames):
            return
        left = None if left is None else left - len(frames)
        yield frames.astype(np.float32) / np.float32(_FULL_SCALE)


def _silence(samples: int, channels: int) -> "Iterator[Floats]":
    import numpy as np

    while samples > 0:
        count = min(samples, 1 << 16)
        yield np.zeros((count, channels), np.float32)
        samples -= count


def _resampled(frames: "Iterator[Floats]", from_rate: int, to_rate: int, channels: int) -> "Iterator[Floats]":
    if from_rate == to_rate:
        yield from frames
        return
    import numpy as np
    import soxr

    stream = soxr.ResampleStream(from_rate, to_rate, channels, dtype="float32")
    for block in frames:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.empty((0, channels), np.float32), last=True)


def _in_step(columns: "list[Iterator[Floats]]", size: int) -> "Iterator[list[Floats]]":
    """Yield blocks of all columns that are equally long; one that has ended goes on with silence."""
    import numpy as np

    held: list[Floats | None] = [None] * len(columns)
    while True:
        blocks = [_take(column, before, size) for column, before in zip(columns, held, strict=True)]
        longest = min(size, max(len(block) for block in blocks))
        if not longest:
            return
        held = [block[longest:] for block in blocks]
        yield [np.pad(block[:longest], ((0, max(0, longest - len(block))), (0, 0))) for block in blocks]


def _take(column: "Iterator[Floats]", before: "Floats | None", size: int) -> "Floats":
    """Return at least ``size`` frames of a column, or all that are left."""
    import numpy as np

    parts = [] if before is None else [before]
    length = sum(map(len, parts))
    while length < size and (block := next(column, None)) is not None:
        parts.append(block)
        length += len(block)
    return np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)
