"""The WAV of a ``playAudio``, read by the library that FreeSWITCH reads it with (protocol.md 5.1)."""

from io import BytesIO
from typing import Any

from listenctl.media.resampling import to_pcm
from listenctl.protocol.jambonz_model.clip_decoder import MIN_RATE, DecodedSound

_CONTAINERS = ("WAV", "WAVEX", "RF64")
_FLOATS = ("FLOAT", "DOUBLE")
_BLOCK_VALUES = 1 << 16


def read_clip_wav(data: bytes) -> DecodedSound | None:
    """Read a WAV with any samples that libsndfile knows; channels are added up; None if it can't be read."""
    import soundfile

    try:
        with soundfile.SoundFile(BytesIO(data)) as file:
            if file.format not in _CONTAINERS or file.samplerate < MIN_RATE:
                return None
            return DecodedSound(int(file.samplerate), _samples(file))
    except soundfile.SoundFileError:
        return None


def _samples(file: Any) -> bytes:
    # Floats aren't scaled when they are read as integers.
    dtype = "float32" if file.subtype in _FLOATS else "int16"
    # In blocks, because a header may promise more than memory holds.
    block_samples = max(1, _BLOCK_VALUES // file.channels)
    blocks = []
    while len(block := file.read(block_samples, dtype=dtype, always_2d=True)):
        blocks.append(_added_up(block))
    return b"".join(blocks)


def _added_up(block: Any) -> bytes:
    import numpy as np

    if block.dtype == np.float32:
        return to_pcm(np.nan_to_num(block, nan=0.0, posinf=1.0, neginf=-1.0).sum(axis=1))
    total = block.sum(axis=1, dtype=np.int32).clip(-32768, 32767)
    return bytes(total.astype("<i2").tobytes())
