"""
Channel layouts of a recording, applied to the audio while it arrives.

L is what the tapped party says, R what it hears (protocol.md 3.1). Only stereo has something to rearrange.
"""

from collections.abc import Callable
from enum import StrEnum

from listenctl.protocol.audio import AudioFormat


class ChannelLayout(StrEnum):
    """The values of ``--channels``."""

    AS_IS = "as-is"
    SPLIT = "split"
    LEFT = "left"
    RIGHT = "right"
    MIX = "mix"


class ChannelMap:
    """
    Turn the audio of a call into the channels that its recording has, one output for each file.

    ``labels`` tells the files of a call apart (``-left``, ``-right``); it is ``("",)`` where there is one.
    """

    def __init__(self, layout: ChannelLayout, audio_format: AudioFormat) -> None:
        changes = layout is not ChannelLayout.AS_IS and audio_format.channels == 2
        self.output_format = AudioFormat(audio_format.sample_rate, 1) if changes else audio_format
        self.labels = ("-left", "-right") if changes and layout is ChannelLayout.SPLIT else ("",)
        self.warning: str | None = None
        if layout is not ChannelLayout.AS_IS and not changes:
            self.warning = f"--channels {layout} needs two channels; the audio of this call has {audio_format.channels}"
        self._outputs = _OUTPUTS[layout if changes else ChannelLayout.AS_IS]

    def apply(self, pcm: bytes) -> list[bytes]:
        """Return the audio of each output for ``pcm``, which holds whole sample frames."""
        return self._outputs(pcm)


def _as_is(pcm: bytes) -> list[bytes]:
    return [pcm]


def _split(pcm: bytes) -> list[bytes]:
    return [_channel(pcm, 0), _channel(pcm, 1)]


def _left(pcm: bytes) -> list[bytes]:
    return [_channel(pcm, 0)]


def _right(pcm: bytes) -> list[bytes]:
    return [_channel(pcm, 1)]


def _mix(pcm: bytes) -> list[bytes]:
    """Sum and clip, as jambonz makes `mixed` (protocol.md 3.1)."""
    import numpy as np

    frames = np.frombuffer(pcm, "<i2").reshape(-1, 2)
    total = frames.sum(axis=1, dtype=np.int32)
    return [total.clip(-32768, 32767).astype("<i2").tobytes()]


def _channel(pcm: bytes, index: int) -> bytes:
    import numpy as np

    return np.frombuffer(pcm, "<i2")[index::2].tobytes()


_OUTPUTS: dict[ChannelLayout, Callable[[bytes], list[bytes]]] = {
    ChannelLayout.AS_IS: _as_is,
    ChannelLayout.SPLIT: _split,
    ChannelLayout.LEFT: _left,
    ChannelLayout.RIGHT: _right,
    ChannelLayout.MIX: _mix,
}
