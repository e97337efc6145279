"""Check the sound of one side, in stretches as it arrives: levels, silence, and faults that no message shows."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from listenctl.json_lines import JsonObject
from listenctl.media.sound_checks.channel_checks import ChannelMeasurements, check_channel, check_silence
from listenctl.media.sound_checks.channel_pair_checks import ChannelPairChecks
from listenctl.media.sound_checks.encoding_checks import BLOCKS, EncodingChecks
from listenctl.media.sound_checks.sound_fault import SIDES, SoundFault
from listenctl.protocol.audio import AudioFormat

_STRETCH = 2.0
"""Seconds that are measured together: four blocks."""
_MIN_RATE, _MAX_RATE = 1000, 192_000
"""Sample rates at which sound can be checked; a peer may declare any number."""


@dataclass(frozen=True, slots=True)
class SenderSoundReport:
    """The sound of one side; ``channels`` from the left."""

    channels: tuple[ChannelMeasurements, ...]
    faults: tuple[SoundFault, ...]

    def to_json(self) -> JsonObject:
        return {
            "channels": [channel.to_json(number) for number, channel in enumerate(self.channels, 1)],
            "keys": [],
            "verdicts": [fault.to_json() for fault in self.faults],
        }


class SenderSoundChecks:
    def __init__(self, audio_format: AudioFormat, *, name: str = "the audio") -> None:
        self._format = audio_format
        self._name = name  # of the audio, in sentences
        rate = audio_format.sample_rate
        self._usable = _MIN_RATE <= rate <= _MAX_RATE
        self._channels = tuple(ChannelMeasurements(rate) for _ in range(audio_format.channels))
        self._encoding = EncodingChecks()
        self._pair = ChannelPairChecks(rate) if audio_format.channels == 2 and self._usable else None
        self._block = max(1, round(_STRETCH / BLOCKS * rate))
        self._stretch_bytes = self._block * BLOCKS * audio_format.frame_bytes
        self._pieces: list[bytes] = []
        self._held = 0
        self._position = 0

    def add_audio(self, data: bytes) -> None:
        self._pieces.append(data)
        self._held += len(data)
        if self._held < self._stretch_bytes:
            return
        data, size = b"".join(self._pieces), self._stretch_bytes
        whole = len(data) - len(data) % size
        for at in range(0, whole, size):
            self._measure(data[at : at + size])
        self._pieces, self._held = [data[whole:]], len(data) - whole

    def misreading(self) -> Iterator[SoundFault]:
        """Yield why the audio so far is mostly or for long misread, if it is."""
        if self._encoding.mostly_misread or self._encoding.is_certain:
            yield from self._encoding.check(self._format.sample_rate, self._name)

    def finish(self) -> SenderSoundReport:
        if rest := b"".join(self._pieces):
            self._measure(rest)
        return SenderSoundReport(self._channels, tuple(self._faults()))

    def _measure(self, stretch: bytes) -> None:
        frames = np.frombuffer(stretch, "<i2").reshape(-1, self._format.channels)
        if self._usable:
            # Floats, because products of 16-bit samples don't fit into 16 bits; one row for each channel.
            channels = frames.T.astype(np.float32, order="C")
            for measurements, samples in zip(self._channels, channels, strict=True):
                measurements.add_samples(samples)
            self._encoding.add_stretch(self._position, frames, self._block)
            if self._pair:
                self._pair.add_samples(channels)
        self._position += len(frames)

    def _faults(self) -> Iterator[SoundFault]:
        yield from self._encoding.check(self._format.sample_rate, self._name)
        yield from check_silence(self._channels, self._name)
        if self._encoding.mostly_misread:
            return  # Misread audio is noise, about which nothing else can be said.
        for number, channel in enumerate(self._channels, 1):
            name = self._name if len(self._channels) == 1 else f"the {SIDES[number - 1]} channel"
            yield from check_channel(number, channel, name)
        if self._pair:
            yield from self._pair.check(min(channel.sound_seconds for channel in self._channels))
