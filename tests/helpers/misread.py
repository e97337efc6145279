"""Sound that is wrong on purpose: bytes in the wrong order, a byte missing, G.711 where samples should be."""

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from listenctl.media.sources.sample_speech import sample_speech
from listenctl.protocol.audio import AudioFormat
from tests.helpers.capture import received_audio

Frames: TypeAlias = NDArray[np.int16]
"""(samples, channels)."""


def speech_frames(sample_rate: int = 8000, channels: int = 1) -> Frames:
    """Return ten seconds of speech."""
    data = sample_speech(AudioFormat(sample_rate, channels))
    return np.frombuffer(data, "<i2").reshape(-1, channels)


def capture_frames(name: str) -> tuple[Frames, int]:
    """Return what jambonz sent in a capture, and its rate."""
    audio = received_audio(name)
    return np.frombuffer(audio.data, "<i2").reshape(-1, audio.channels), audio.sample_rate


def whole(data: bytes, channels: int) -> Frames:
    """Read bytes as frames; what is over is left out."""
    return np.frombuffer(data[: len(data) - len(data) % (2 * channels)], "<i2").reshape(-1, channels)


def swapped(frames: Frames) -> Frames:
    return frames.byteswap()


def shifted(frames: Frames) -> Frames:
    return whole(frames.tobytes()[1:], frames.shape[1])


def as_mu_law(frames: Frames) -> Frames:
    return whole(bytes(map(mu_law, frames.ravel().tolist())), frames.shape[1])


def as_a_law(frames: Frames) -> Frames:
    return whole(bytes(map(a_law, frames.ravel().tolist())), frames.shape[1])


def as_wide_mu_law(frames: Frames) -> Frames:
    codes = np.array([mu_law(value) for value in frames.ravel().tolist()], np.int16)
    return codes.reshape(frames.shape)


def as_wide_mu_law_in_the_high_byte(frames: Frames) -> Frames:
    return (as_wide_mu_law(frames).astype(np.uint16) << 8).view(np.int16)


MISREADINGS: dict[str, Callable[[Frames], Frames]] = {
    "audio-byte-order": swapped,
    "audio-half-sample-shift": shifted,
    "audio-mu-law": as_mu_law,
    "audio-a-law": as_a_law,
}
"""What each verdict is about."""


def mu_law(sample: int) -> int:
    """Return a sample as a byte of µ-law (ITU-T G.711), by its segments."""
    magnitude = min(abs(sample), 32635) + 0x84
    exponent = int(math.log2(magnitude)) - 7
    code = exponent << 4 | magnitude >> exponent + 3 & 0x0F
    return ~(code | (0x80 if sample < 0 else 0)) & 0xFF


def a_law(sample: int) -> int:
    """Return a sample as a byte of A-law (ITU-T G.711), by its segments."""
    magnitude = min(abs(sample) if sample >= 0 else -sample - 1, 32767)
    exponent = max(0, int(math.log2(max(1, magnitude))) - 7)
    code = exponent << 4 | magnitude >> max(exponent, 1) + 3 & 0x0F
    return (code | (0x80 if sample >= 0 else 0)) ^ 0x55
