"""Channel layouts of a recording; only stereo is rearranged: left is the tapped leg (listenctl-protocol(7) 3.1)."""

from collections.abc import Callable
from enum import StrEnum

from listenctl.protocol.audio import AudioFormat


class ChannelLayout(StrEnum):
    AS_IS = "as-is"
    SPLIT = "split"
    LEFT = "left"
    RIGHT = "right"
    MIX = "mix"


class ChannelMap:
    """Rearrange the channels of a call, with one output for each file."""

    def __init__(self, layout: ChannelLayout, audio_format: AudioFormat) -> None:
        changes = layout is not ChannelLayout.AS_IS and audio_format.channels == 2
        self.output_format = AudioFormat(audio_format.sample_rate, 1) if changes else audio_format
        self.labels = ("-left", "-right") if changes and layout is ChannelLayout.SPLIT else ("",)
        """Suffixes of the file names, (``-left``, ``-right``) or an empty one."""
        self.warning: str | None = None
        if layout is not ChannelLayout.AS_IS and not changes:
            self.warning = f"--channels {layout} needs two channels; the audio of this call has {audio_format.channels}"
        self.rearrange = _OUTPUTS[layout if changes else ChannelLayout.AS_IS]
        """Returns the audio of each output for whole sample frames."""


def mix_stereo(pcm: bytes) -> bytes:
    """Add and clip the channels, as jambonz does for ``mixed`` (listenctl-protocol(7) 3.1)."""
    import numpy as np

    frames = np.frombuffer(pcm, "<i2").reshape(-1, 2)
    total = frames.sum(axis=1, dtype=np.int32)
    return bytes(total.clip(-32768, 32767).astype("<i2").tobytes())


def _channel(pcm: bytes, index: int) -> bytes:
    import numpy as np

    return np.frombuffer(pcm, "<i2")[index::2].tobytes()


_OUTPUTS: dict[ChannelLayout, Callable[[bytes], list[bytes]]] = {
    ChannelLayout.AS_IS: lambda pcm: [pcm],
    ChannelLayout.SPLIT: lambda pcm: [_channel(pcm, 0), _channel(pcm, 1)],
    ChannelLayout.LEFT: lambda pcm: [_channel(pcm, 0)],
    ChannelLayout.RIGHT: lambda pcm: [_channel(pcm, 1)],
    ChannelLayout.MIX: lambda pcm: [mix_stereo(pcm)],
}
