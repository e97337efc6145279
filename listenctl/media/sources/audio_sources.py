"""Audio sources that users name, each one channel at the call's rate: files, tones, speech, a microphone, a pipe."""

from enum import StrEnum
from functools import lru_cache
from typing import Protocol

from listenctl.errors import UsageError
from listenctl.media.devices.microphone import open_microphone
from listenctl.media.sources.pipe_source import open_pipe
from listenctl.media.sources.sample_speech import sample_speech
from listenctl.media.sources.sound_file_source import SoundFileSource, read_sound_info
from listenctl.media.sources.tones import SineTone
from listenctl.protocol.audio import SAMPLE_BYTES, AudioFormat

_TONE_DB = -12.0
_TONE_BLOCK = 4096


class SourceKind(StrEnum):
    FILE = "file"
    PIPE = "-"
    SILENCE = "silence"
    SPEECH = "speech"
    TONE = "tone"
    MICROPHONE = "mic"

    @classmethod
    def of(cls, spec: str) -> "SourceKind":
        kind = spec.partition(":")[0]
        if kind in (cls.TONE, cls.MICROPHONE):
            return cls(kind)
        return cls(spec) if spec in (cls.PIPE, cls.SILENCE, cls.SPEECH) else cls.FILE

    @property
    def is_endless(self) -> bool:
        """Whether such sources never end; they have one channel."""
        return self in (SourceKind.SILENCE, SourceKind.TONE, SourceKind.MICROPHONE)


class AudioSource(Protocol):
    async def read(self, samples: int) -> bytes:
        """Return the next samples: fewer at the end, then none. A live source has silence for late audio."""

    async def close(self) -> None:
        """Close the file or device."""


async def open_source(spec: str, sample_rate: int, *, loop: bool = False, channel: int | None = 0) -> AudioSource:
    """
    Open a file, ``tone:HZ[@DBFS]``, ``silence``, ``speech``, ``mic[:DEVICE]`` or ``-``. Without ``channel``, a file's
    channels are mixed, and the first one of other sources is taken.
    """
    kind, detail = SourceKind.of(spec), spec.partition(":")[2]
    if channel and kind.is_endless:
        raise UsageError(f"{spec}: has only one channel; give the other party its own source")
    match kind:
        case SourceKind.SILENCE:
            return SilenceSource()
        case SourceKind.TONE:
            return _tone(spec, detail, sample_rate)
        case SourceKind.MICROPHONE:
            return await open_microphone(detail or None, sample_rate)
        case SourceKind.SPEECH:
            return PcmSource(_speech(sample_rate, channel or 0), loop=loop)
        case SourceKind.PIPE:
            return await open_pipe(0, sample_rate, channel=channel or 0)
        case SourceKind.FILE:
            return await SoundFileSource.open(spec, sample_rate, loop=loop, channel=channel)


def has_second_channel(spec: str) -> bool:
    """Return whether ``spec`` has a second channel, for the other party; a pipe is taken to have none."""
    kind = SourceKind.of(spec)
    return kind is SourceKind.SPEECH or (kind is SourceKind.FILE and read_sound_info(spec).channels > 1)


def mix_parties(mix_type: str, caller: bytes, callee: bytes) -> bytes:
    """Return what jambonz sends of both parties (listenctl-protocol(7) 3.1); the shorter is padded with silence."""
    if mix_type == "mono":
        return caller
    import numpy as np

    length = max(len(caller), len(callee))
    left, right = (np.frombuffer(side.ljust(length, b"\0"), "<i2") for side in (caller, callee))
    if mix_type == "stereo":
        return np.column_stack((left, right)).tobytes()
    mixed: bytes = (left.astype(np.int32) + right).clip(-32768, 32767).astype("<i2").tobytes()
    return mixed


class _ComputedSource:
    async def close(self) -> None:
        """Do nothing."""


class SilenceSource(_ComputedSource):
    async def read(self, samples: int) -> bytes:
        return bytes(samples * SAMPLE_BYTES)


class PcmSource(_ComputedSource):
    def __init__(self, pcm: bytes, *, loop: bool = False) -> None:
        self._pcm = pcm
        self._loop = loop and bool(pcm)
        self._at = 0

    async def read(self, samples: int) -> bytes:
        wanted = samples * SAMPLE_BYTES
        found = self._pcm[self._at : self._at + wanted]
        self._at += len(found)
        while self._loop and len(found) < wanted:
            self._at = min(wanted - len(found), len(self._pcm))
            found += self._pcm[: self._at]
        return found


class ToneSource(_ComputedSource):
    """An endless tone, computed in blocks: single frames would take ten times as long."""

    def __init__(self, tone: SineTone) -> None:
        self._tone = tone
        self._computed = 0
        self._block = b""
        self._at = 0

    async def read(self, samples: int) -> bytes:
        wanted = samples * SAMPLE_BYTES
        if len(self._block) - self._at < wanted:
            count = max(samples, _TONE_BLOCK)
            self._block = self._block[self._at :] + self._tone.samples(self._computed, count)
            self._computed += count
            self._at = 0
        self._at += wanted
        return self._block[self._at - wanted : self._at]


def _tone(spec: str, detail: str, sample_rate: int) -> ToneSource:
    hertz, at, level = detail.partition("@")
    try:
        frequency, level_db = float(hertz), float(level) if at else _TONE_DB
    except ValueError:
        raise UsageError(f"{spec}: is not a tone; use tone:HZ or tone:HZ@DBFS, as in tone:440@-20") from None
    # Written so that NaN fails.
    if not 0 < frequency < sample_rate / 2:
        raise UsageError(f"{spec}: must be above 0 and below {sample_rate / 2:g} Hz, half the sample rate")
    if not -120 <= level_db <= 0:
        raise UsageError(f"{spec}: the level must be between -120 and 0 dBFS")
    return ToneSource(SineTone(frequency, sample_rate, level_db))


@lru_cache(maxsize=4)
def _speech(sample_rate: int, channel: int) -> bytes:
    """Return a channel of the speech; cached, because many calls at once use it."""
    import numpy as np

    return np.frombuffer(sample_speech(AudioFormat(sample_rate, 2)), "<i2")[channel::2].tobytes()
