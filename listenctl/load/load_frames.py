"""
The frames of a load, including header and mask: built once per format and sent by every call of that format.
RFC 6455 5.3 asks for a new mask per frame, but here only we choose the audio, and masking would double the cost.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from listenctl.load.echo_pattern import BLOCK, PERIOD, block, block_start
from listenctl.load.plan import CallFormat
from listenctl.media.channel_layout import mix_stereo
from listenctl.media.sources.sample_speech import sample_speech
from listenctl.net.client_connection import fresh_mask
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.frames.frame_format import binary_frame

FRAMES_PER_SECOND = 50


@dataclass(frozen=True, slots=True)
class LoadFrames:
    """The frames that calls of one format send, 20 ms each, again and again."""

    audio_format: AudioFormat
    frames: Sequence[bytes]
    payloads: Sequence[bytes]  # the frames without header and mask
    silence: bytes  # the payload of a silent frame


def speech_frames(call_format: CallFormat) -> LoadFrames:
    """Return nine seconds of speech; ``mixed`` is the sum of both parties (listenctl-protocol(7) 3.1)."""
    rate, audio_format = call_format.sample_rate, call_format.audio_format
    if call_format.mix_type == "mixed":
        audio = mix_stereo(sample_speech(AudioFormat(rate, 2)))
    else:
        audio = sample_speech(audio_format)
    size = audio_format.frame_bytes
    # Whole seconds: if 20 ms isn't a whole number of samples, frame lengths alternate in a cycle of at most one second.
    count = audio_format.samples_in(len(audio)) // rate * FRAMES_PER_SECOND
    return _build_frames(
        audio_format,
        [audio[block_start(at, rate) * size : block_start(at + 1, rate) * size] for at in range(count)],
    )


def pattern_frames(call_format: CallFormat, seconds: float) -> LoadFrames:
    rate = call_format.sample_rate
    # A longer call starts again at number 0; whole seconds keep alternating lengths in step.
    count = min(PERIOD, -(-int(seconds / BLOCK + 1) // FRAMES_PER_SECOND) * FRAMES_PER_SECOND)
    return _build_frames(call_format.audio_format, [block(number, rate) for number in range(count)])


def _build_frames(audio_format: AudioFormat, payloads: Sequence[bytes]) -> LoadFrames:
    frames = [binary_frame(payload, fresh_mask()) for payload in payloads]
    return LoadFrames(audio_format, frames, payloads, bytes(len(payloads[0])))
