from listenctl.media.channel_layout import ChannelLayout, ChannelMap
from listenctl.protocol.audio import AudioFormat

STEREO = AudioFormat(16000, 2)
MONO = AudioFormat(16000, 1)
# listenctl-protocol(7), test vector V5: L=1000,R=-2 then L=1001,R=-3.
V5 = bytes.fromhex("e803feffe903fdff")


def test_as_is_returns_the_same_bytes() -> None:
    layout = ChannelMap(ChannelLayout.AS_IS, STEREO)

    assert layout.rearrange(V5)[0] is V5
    assert (layout.output_format, layout.labels, layout.warning) == (STEREO, ("",), None)


def test_split_gives_left_and_right() -> None:
    layout = ChannelMap(ChannelLayout("split"), STEREO)

    assert layout.rearrange(V5) == [bytes.fromhex("e803e903"), bytes.fromhex("fefffdff")]
    assert (layout.output_format, layout.labels, layout.warning) == (MONO, ("-left", "-right"), None)


def test_left_and_right_give_one_channel() -> None:
    assert ChannelMap(ChannelLayout.LEFT, STEREO).rearrange(V5) == [bytes.fromhex("e803e903")]
    assert ChannelMap(ChannelLayout.RIGHT, STEREO).rearrange(V5) == [bytes.fromhex("fefffdff")]
    assert ChannelMap(ChannelLayout.RIGHT, STEREO).labels == ("",)


def test_mix_sums_and_clips() -> None:
    loud = bytes.fromhex("ff7f0100 00800080 007f0080")

    assert ChannelMap(ChannelLayout.MIX, STEREO).rearrange(V5) == [bytes.fromhex("e603e603")]
    assert ChannelMap(ChannelLayout.MIX, STEREO).rearrange(loud) == [bytes.fromhex("ff7f 0080 00ff")]


def test_no_audio_gives_no_audio() -> None:
    assert ChannelMap(ChannelLayout.SPLIT, STEREO).rearrange(b"") == [b"", b""]
    assert ChannelMap(ChannelLayout.MIX, STEREO).rearrange(b"") == [b""]


def test_mono_stays_as_it_is_with_a_warning() -> None:
    for layout in (ChannelLayout.SPLIT, ChannelLayout.LEFT, ChannelLayout.RIGHT, ChannelLayout.MIX):
        channels = ChannelMap(layout, MONO)

        assert channels.rearrange(V5)[0] is V5
        assert (channels.output_format, channels.labels) == (MONO, ("",))
        assert channels.warning == f"--channels {layout} needs two channels; the audio of this call has 1"
