"""Read sound files with libsndfile, which FreeSWITCH uses too, and work around its quirks."""

from io import BytesIO
from typing import TYPE_CHECKING, Any

from listenctl.media.resampling import to_pcm
from listenctl.protocol.audio import MIN_RATE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from listenctl.protocol.jambonz_model.clip_decoder import DecodedSound

# Other subtypes hold floats, which libsndfile doesn't scale to integers, or wraps when they are too loud.
_INTEGER_SUBTYPES = ("PCM_", "ULAW", "ALAW")
_WAV_CONTAINERS = ("WAV", "WAVEX", "RF64")
_BLOCK_VALUES = 1 << 16


def disable_seeking(file: Any) -> Any:
    """Keep a file from seeking after each read, where libmpg123 loses its bit reservoir and MP3 glitches; return it."""
    file.seekable = lambda: False
    return file


def holds_integers(file: Any) -> bool:
    return bool(file.subtype.startswith(_INTEGER_SUBTYPES))


def read_floats(file: Any, count: int) -> "NDArray[np.float32]":
    """Read sample frames as floats without NaN and infinities, which a resampler would keep forever."""
    return finite(file.read(count, dtype="float32", always_2d=True))


def finite(samples: "NDArray[np.float32]") -> "NDArray[np.float32]":
    import numpy as np

    return np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0)


def read_int16(file: Any, count: int) -> "NDArray[np.int16]":
    import numpy as np

    if holds_integers(file):
        samples: NDArray[np.int16] = file.read(count, dtype="int16", always_2d=True)
        return samples
    floats = read_floats(file, count)
    return np.frombuffer(to_pcm(floats), "<i2").reshape(floats.shape)


def error_reason(exc: Exception) -> str:
    return str(getattr(exc, "error_string", exc)).rstrip(".")


def read_clip_wav(data: bytes) -> "DecodedSound | None":
    """Read the WAV of a ``playAudio`` (listenctl-protocol(7) 5.1) and add its channels; None if it can't be read."""
    import soundfile

    from listenctl.protocol.jambonz_model.clip_decoder import DecodedSound

    try:
        with soundfile.SoundFile(BytesIO(data)) as file:
            if file.format not in _WAV_CONTAINERS or file.samplerate < MIN_RATE:
                return None
            return DecodedSound(int(file.samplerate), _read_mixed(file))
    except soundfile.SoundFileError:
        return None


def _read_mixed(file: Any) -> bytes:
    import numpy as np

    from listenctl.protocol.jambonz_model.clip_decoder import MAX_CLIP_BYTES

    # In blocks, because a header may promise more than memory holds, and no more than is played.
    count = max(1, _BLOCK_VALUES // file.channels)
    blocks: list[bytes] = []
    while sum(map(len, blocks)) < MAX_CLIP_BYTES:
        block = read_int16(file, count) if holds_integers(file) else read_floats(file, count)
        if not len(block):
            break
        if block.dtype == np.float32:
            blocks.append(to_pcm(block.sum(axis=1)))
        else:
            blocks.append(block.sum(axis=1, dtype=np.int32).clip(-32768, 32767).astype("<i2").tobytes())
    return b"".join(blocks)
