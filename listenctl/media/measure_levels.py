"""Levels of call audio in short windows, for meters and ``levels`` events: dB of full scale, from ``FLOOR_DB`` to 0."""

from dataclasses import dataclass
from typing import TypeAlias

from listenctl.protocol.audio import SAMPLE_BYTES, AudioFormat

# FreeSWITCH writes "no audio" as samples of -1 (listenctl-protocol(7) 3.3): -90.3 dB, which must count as silence.
FLOOR_DB = -90.0
FULL_SCALE = 32768
# The loudest sample of µ-law (ITU-T G.711; of A-law it is 32256). A clipped phone call never reaches 32767.
CLIP_SAMPLE = 32124


@dataclass(frozen=True, slots=True)
class Level:
    peak_db: float = FLOOR_DB
    rms_db: float = FLOOR_DB
    clipped: bool = False


Levels: TypeAlias = tuple[Level, ...]
"""One window: a level for each channel."""


def measure_levels(pcm: bytes, channels: int, window_samples: int) -> list[Levels]:
    windows = len(pcm) // (SAMPLE_BYTES * channels * window_samples)
    if not windows:
        return []
    import numpy as np

    samples = np.frombuffer(pcm, "<i2", count=windows * window_samples * channels)
    # Channels before samples, so that each reduction runs over adjacent values; floats, because abs(-32768) doesn't fit
    # into 16 bits.
    planes = samples.reshape(windows, window_samples, channels).transpose(0, 2, 1).astype(np.float32, order="C")
    power = np.einsum("wcs,wcs->wc", planes, planes) / window_samples
    peak = np.abs(planes).max(axis=2)
    peak_db, rms_db = (
        np.maximum(20 * np.log10(np.maximum(amplitude, 1) / FULL_SCALE), FLOOR_DB)
        for amplitude in (peak, np.sqrt(power))
    )
    rows = zip(peak_db.tolist(), rms_db.tolist(), (peak >= CLIP_SAMPLE).tolist(), strict=True)
    return [tuple(map(Level, *row)) for row in rows]


class LevelMeasurer:
    def __init__(self, format: AudioFormat, window: float = 0.1) -> None:
        self._format = format
        self._window_samples = max(1, round(format.sample_rate * window))
        self._window_bytes = self._window_samples * format.frame_bytes
        self._rest = b""

    @property
    def window(self) -> float:
        """Exact duration of a window in seconds: a whole number of samples."""
        return self._format.duration_of(self._window_samples)

    def feed(self, pcm: bytes) -> list[Levels]:
        data = self._rest + pcm
        whole = len(data) - len(data) % self._window_bytes
        self._rest = data[whole:]
        return measure_levels(data[:whole], self._format.channels, self._window_samples)
