"""Mix both sides of a call to stereo, aligned in time: left what the caller says, right what the caller hears."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from listenctl.inspection.sample_times import SampleTimes
from listenctl.media.files.wav_header import HEADER_BYTES
from listenctl.media.resampling import resample_blocks, to_pcm
from listenctl.protocol.audio import AudioFormat

Floats = NDArray[np.float32]

_BLOCK = 1.0
_READ = 1 << 15
_FULL_SCALE = 32768


@dataclass(frozen=True, slots=True)
class JambonzTrack:
    """The WAV file of what jambonz sent, and when each sample belongs."""

    path: Path
    format: AudioFormat
    times: SampleTimes


@dataclass(frozen=True, slots=True)
class ApplicationTrack:
    """The mono WAV file of what the caller heard of the application; it begins at the handshake."""

    path: Path
    sample_rate: int


def start_of_mix(received: JambonzTrack | None) -> float:
    """Return when the mix begins: at the handshake, or at audio that was captured before."""
    return min(0.0, received.times.origin) if received else 0.0


def mix_tracks(received: JambonzTrack | None, played: ApplicationTrack | None, sample_rate: int) -> Iterator[bytes]:
    """
    Yield the mix in blocks; a side that ends earlier is silent from there on. The caller also heard the right channel
    of jambonz, so ``played`` is added to it, unless it is there already and None here (listenctl-protocol(7) 3.1).
    """
    begins = start_of_mix(received)
    columns: list[Iterator[Floats]] = []
    if received:
        frames = _filled(received, begins)
        columns.append(resample_blocks(frames, received.format.sample_rate, sample_rate, received.format.channels))
    if played:
        columns.append(resample_blocks(_delayed(played, -begins), played.sample_rate, sample_rate, 1))
    for blocks in _in_step(columns, round(_BLOCK * sample_rate)):
        yield _stereo(blocks, received=received is not None, played=played is not None)


def _stereo(blocks: list[Floats], *, received: bool, played: bool) -> bytes:
    mix = np.zeros((len(blocks[0]), 2), np.float32)
    if received:
        mix[:, : blocks[0].shape[1]] = blocks[0]
    if played:
        mix[:, 1] += blocks[-1][:, 0]
    return to_pcm(mix)


def _filled(received: JambonzTrack, begins: float) -> Iterator[Floats]:
    """Yield what jambonz sent, with gaps as silence."""
    rate, channels = received.format.sample_rate, received.format.channels
    at = 0
    with received.path.open("rb") as file:
        file.seek(HEADER_BYTES)
        for span in received.times.spans():
            start = round((span.at - begins) * rate)
            yield from _silence(start - at, channels)
            at = max(at, start) + span.length
            yield from _read(file, span.length, received.format)


def _delayed(played: ApplicationTrack, delay: float) -> Iterator[Floats]:
    audio_format = AudioFormat(played.sample_rate, 1)
    yield from _silence(round(delay * played.sample_rate), 1)
    with played.path.open("rb") as file:
        file.seek(HEADER_BYTES)
        yield from _read(file, None, audio_format)


def _read(file: BinaryIO, samples: int | None, audio_format: AudioFormat) -> Iterator[Floats]:
    """Yield samples of a file, all that are left if ``samples`` is None."""
    left = samples
    while left is None or left > 0:
        count = _READ if left is None else min(_READ, left)
        data = file.read(count * audio_format.frame_bytes)
        frames = np.frombuffer(data, "<i2").reshape(-1, audio_format.channels)
        if not len(frames):
            return
        left = None if left is None else left - len(frames)
        yield frames.astype(np.float32) / np.float32(_FULL_SCALE)


def _silence(samples: int, channels: int) -> Iterator[Floats]:
    while samples > 0:
        count = min(samples, 1 << 16)
        yield np.zeros((count, channels), np.float32)
        samples -= count


def _in_step(columns: list[Iterator[Floats]], size: int) -> Iterator[list[Floats]]:
    """Yield blocks of all columns of equal length; a column that has ended continues with silence."""
    held: list[Floats | None] = [None] * len(columns)
    while True:
        blocks = [_take(column, before, size) for column, before in zip(columns, held, strict=True)]
        longest = min(size, max(len(block) for block in blocks))
        if not longest:
            return
        held = [block[longest:] for block in blocks]
        yield [np.pad(block[:longest], ((0, max(0, longest - len(block))), (0, 0))) for block in blocks]


def _take(column: Iterator[Floats], before: Floats | None, size: int) -> Floats:
    """Return at least ``size`` frames of a column, or all that are left."""
    parts = [] if before is None else [before]
    length = sum(map(len, parts))
    while length < size and (block := next(column, None)) is not None:
        parts.append(block)
        length += len(block)
    return np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)
