import pytest

from listenctl.media.channel_layout import ChannelLayout, ChannelMap
from listenctl.protocol.audio import AudioFormat

STEREO = AudioFormat(16000, 2)
MONO = AudioFormat(16000, 1)
# listenctl-protocol(7), test vector V5: L=1000,R=-2 then L=1001,R=-3.
V5 = bytes.fromhex("e803feffe903fdff")


@pytest.mark.parametrize(
    ("layout", "outputs", "output_format", "labels"),
    [
        (ChannelLayout.AS_IS, ["e803feffe903fdff"], STEREO, ("",)),
        (ChannelLayout.SPLIT, ["e803e903", "fefffdff"], MONO, ("-left", "-right")),
        (ChannelLayout.LEFT, ["e803e903"], MONO, ("",)),
        (ChannelLayout.RIGHT, ["fefffdff"], MONO, ("",)),
        (ChannelLayout.MIX, ["e603e603"], MONO, ("",)),
    ],
)
def test_stereo_is_rearranged(
    layout: ChannelLayout, outputs: list[str], output_format: AudioFormat, labels: tuple[str, ...]
) -> None:
    channels = ChannelMap(layout, STEREO)

    assert [output.hex() for output in channels.rearrange(V5)] == outputs
    assert channels.rearrange(b"") == [b""] * len(outputs)
    assert (channels.output_format, channels.labels, channels.warning) == (output_format, labels, None)


def test_unchanged_audio_is_not_copied_and_a_mix_clips() -> None:
    assert ChannelMap(ChannelLayout.AS_IS, STEREO).rearrange(V5)[0] is V5
    loud = bytes.fromhex("ff7f0100 00800080 007f0080")

    assert ChannelMap(ChannelLayout.MIX, STEREO).rearrange(loud) == [bytes.fromhex("ff7f 0080 00ff")]


def test_mono_stays_as_it_is_with_a_warning() -> None:
    for layout in (ChannelLayout.SPLIT, ChannelLayout.LEFT, ChannelLayout.RIGHT, ChannelLayout.MIX):
        channels = ChannelMap(layout, MONO)

        assert channels.rearrange(V5)[0] is V5
        assert (channels.output_format, channels.labels) == (MONO, ("",))
        assert channels.warning == f"--channels {layout} needs two channels; the audio of this call has 1"
