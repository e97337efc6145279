"""The envelope and the spectrum of audio in columns; pairs are merged when there are too many, which bounds memory."""

from math import log2
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from listenctl.media.measure_levels import FULL_SCALE
from listenctl.protocol.audio import SAMPLE_BYTES

Samples: TypeAlias = NDArray[np.int16]
Floats: TypeAlias = NDArray[np.float32]

MAX_COLUMNS = 4096
MAX_SPECTRA = 2048
_FIRST_COLUMN = 0.0025
_BATCH = 0.5
_SILENCE = 1 << 16
# Long enough to distinguish DTMF tones, short enough to see where one begins.
_WINDOW = 0.032
_MIN_WINDOW, _MAX_WINDOW = 64, 4096
_MAX_FREQUENCY = 8000


class Envelope:
    """The lowest and highest sample of each column of one channel, optionally with the spectrum."""

    def __init__(self, sample_rate: int, *, with_spectrum: bool = False) -> None:
        self.sample_rate = sample_rate
        self.samples = 0  # so far
        self._column = max(1, round(_FIRST_COLUMN * sample_rate))
        self._low = np.zeros(MAX_COLUMNS, np.int16)
        self._high = np.zeros(MAX_COLUMNS, np.int16)
        self._count = 0
        self._rest = np.zeros(0, np.int16)
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._batch = round(_BATCH * sample_rate) * SAMPLE_BYTES
        self.spectrum = Spectrum(sample_rate) if with_spectrum else None

    def add_audio(self, pcm: bytes) -> None:
        self.samples += len(pcm) // SAMPLE_BYTES
        self._held.append(pcm)
        self._held_bytes += len(pcm)
        if self._held_bytes >= self._batch:
            self._process_held()

    def add_silence(self, samples: int) -> None:
        while samples > 0:
            part = min(samples, _SILENCE)
            self.add_audio(bytes(part * SAMPLE_BYTES))
            samples -= part

    def columns(self) -> tuple[float, Samples, Samples]:
        self._process_held()
        low, high = self._low[: self._count], self._high[: self._count]
        if len(self._rest):
            low, high = np.append(low, self._rest.min()), np.append(high, self._rest.max())
        return self._column / self.sample_rate, low, high

    def range_between(self, edges: NDArray[np.float64]) -> tuple[Samples, Samples]:
        """Return the lowest and highest sample between neighbouring ``edges``, in seconds from the start."""
        seconds, low, high = self.columns()
        if not len(low):
            empty = np.zeros(len(edges) - 1, np.int16)
            return empty, empty
        first = np.clip((edges[:-1] / seconds).astype(int), 0, len(low) - 1)
        last = np.clip(np.ceil(edges[1:] / seconds).astype(int), first + 1, len(low))
        outside = (edges[1:] <= 0) | (edges[:-1] >= len(low) * seconds)
        lowest = np.array([low[a:b].min() for a, b in zip(first, last, strict=True)], np.int16)
        highest = np.array([high[a:b].max() for a, b in zip(first, last, strict=True)], np.int16)
        lowest[outside] = highest[outside] = 0
        return lowest, highest

    def _process_held(self) -> None:
        if not self._held:
            return
        fresh = np.frombuffer(b"".join(self._held), "<i2")
        self._held, self._held_bytes = [], 0
        if self.spectrum:
            self.spectrum.add_samples(fresh)
        samples = np.concatenate((self._rest, fresh))
        while len(samples) >= self._column:
            room = MAX_COLUMNS - self._count
            whole = min(room, len(samples) // self._column)
            rows = samples[: whole * self._column].reshape(whole, self._column)
            self._low[self._count : self._count + whole] = rows.min(axis=1)
            self._high[self._count : self._count + whole] = rows.max(axis=1)
            self._count += whole
            samples = samples[whole * self._column :]
            if self._count == MAX_COLUMNS:
                self._halve()
        self._rest = samples

    def _halve(self) -> None:
        half = MAX_COLUMNS // 2
        self._low[:half] = self._low.reshape(half, 2).min(axis=1)
        self._high[:half] = self._high.reshape(half, 2).max(axis=1)
        self._count, self._column = half, self._column * 2


class Spectrum:
    """The energy of one channel by time and frequency."""

    def __init__(self, sample_rate: int) -> None:
        size = 1 << round(log2(max(1.0, _WINDOW * sample_rate)))
        self._size = min(max(size, _MIN_WINDOW), _MAX_WINDOW)
        self._hop = self._size // 2
        self._bands = min(self._size // 2, int(_MAX_FREQUENCY / sample_rate * self._size)) + 1
        self._window = np.hanning(self._size).astype(np.float32)
        self.sample_rate = sample_rate
        self._power = np.zeros((MAX_SPECTRA, self._bands), np.float32)
        self._count = 0
        self._merge = 1
        self._pending = np.zeros((0, self._bands), np.float32)
        self._rest = np.zeros(self._hop, np.int16)

    @property
    def max_frequency(self) -> float:
        return (self._bands - 1) * self.sample_rate / self._size

    @property
    def column_seconds(self) -> float:
        return self._hop * self._merge / self.sample_rate

    def add_samples(self, samples: Samples) -> None:
        samples = np.concatenate((self._rest, samples))
        windows = (len(samples) - self._size) // self._hop + 1
        if windows < 1:
            self._rest = samples
            return
        if samples.any():
            view = np.lib.stride_tricks.sliding_window_view(samples, self._size)[:: self._hop][:windows]
            power = np.square(np.abs(np.fft.rfft(view * self._window)[:, : self._bands])).astype(np.float32)
        else:
            power = np.zeros((windows, self._bands), np.float32)
        self._rest = samples[windows * self._hop :]
        self._add_rows(power)

    def decibels(self) -> Floats:
        """Return (bands, columns) in dB relative to a tone at full scale."""
        full = (FULL_SCALE * float(self._window.sum()) / 2) ** 2
        rows = self._power[: self._count]
        decibels: Floats = (10 * np.log10(np.maximum(rows / full, 1e-12))).T
        return decibels

    def _add_rows(self, rows: Floats) -> None:
        rows = np.concatenate((self._pending, rows))
        while len(rows) >= self._merge:
            count = min(len(rows) // self._merge, MAX_SPECTRA - self._count)
            merged = rows[: count * self._merge].reshape(count, self._merge, self._bands).mean(axis=1)
            self._power[self._count : self._count + count] = merged
            self._count += count
            rows = rows[count * self._merge :]
            if self._count == MAX_SPECTRA:
                half = MAX_SPECTRA // 2
                self._power[:half] = self._power.reshape(half, 2, self._bands).mean(axis=1)
                self._count, self._merge = half, self._merge * 2
        self._pending = rows
