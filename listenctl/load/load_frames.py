"""
The frames of a load, header and mask included: built once for each format, and sent by every call that has it.

A mask should be new for every frame (RFC 6455 5.3), to keep a page in a browser from choosing what is on the wire. Here
nobody but us chooses the audio, and masking it for each call would cost as much as sending it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from listenctl.load.echo_pattern import BLOCK, PERIOD, block, block_start
from listenctl.load.plan import CallFormat
from listenctl.media.sources.sample_speech import sample_speech
from listenctl.net.client_connection import fresh_mask
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.frames.frame_format import binary_frame

FRAMES_PER_SECOND = 50


@dataclass(frozen=True, slots=True)
class LoadFrames:
    """
    What calls of one format send, 20 ms a frame, over and over.

    Attributes:
        payloads: the same without header and mask.
        silence: a frame's payload of silence.
    """

    audio_format: AudioFormat
    frames: Sequence[bytes]
    payloads: Sequence[bytes]
    silence: bytes


def speech_book(call_format: CallFormat) -> LoadFrames:
    """Return nine seconds of speech; ``mixed`` is the sum of both parties (protocol.md 3.1)."""
    rate, audio_format = call_format.sample_rate, call_format.audio_format
    audio = (
        _add_up(sample_speech(AudioFormat(rate, 2))) if call_format.mix_type == "mixed" else sample_speech(audio_format)
    )
    size = audio_format.frame_bytes
    # Whole seconds: where 20 ms aren't whole samples, frames alternate in a cycle of one second at most.
    count = audio_format.samples(len(audio)) // rate * FRAMES_PER_SECOND
    return _book(
        audio_format,
        [audio[block_start(at, rate) * size : block_start(at + 1, rate) * size] for at in range(count)],
    )


def pattern_book(call_format: CallFormat, seconds: float) -> LoadFrames:
    """Return the pattern that an echo is read by, as far as calls of so many seconds need it."""
    rate = call_format.sample_rate
    # A call that is longer begins again at number 0; with its next number otherwise, where lengths alternate.
    count = min(PERIOD, -(-int(seconds / BLOCK + 1) // FRAMES_PER_SECOND) * FRAMES_PER_SECOND)
    return _book(call_format.audio_format, [block(number, rate) for number in range(count)])


def _book(audio_format: AudioFormat, payloads: Sequence[bytes]) -> LoadFrames:
    frames = [binary_frame(payload, fresh_mask()) for payload in payloads]
    return LoadFrames(audio_format, frames, payloads, bytes(len(payloads[0])))


def _add_up(stereo: bytes) -> bytes:
    import numpy as np

    both = np.frombuffer(stereo, "<i2").reshape(-1, 2).sum(axis=1, dtype=np.int32)
    return bytes(np.clip(both, -32768, 32767).astype("<i2").tobytes())
