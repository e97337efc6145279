import numpy as np
import pytest

from listenctl.media.devices.mixer import CallMixer, ChannelChoice, single_call_gains, spread_gains, stereo_gains
from listenctl.protocol.audio import AudioFormat

MONO, STEREO = AudioFormat(48000, 1), AudioFormat(48000, 2)
Frames = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


def level(value: int, samples: int = 9600, channels: int = 1) -> bytes:
    return np.full(samples * channels, value, "<i2").tobytes()


def settled(mixer: CallMixer) -> list[float]:
    """Return what is heard left and right when nothing fades any more."""
    return [float(ear) for ear in [mixer.take_frames(441) for _ in range(4)][-1][-1]]


@pytest.mark.parametrize(
    ("channels", "ear", "gains"),
    [
        (1, ChannelChoice.BOTH, ((1, 1),)),
        (1, ChannelChoice.RIGHT, ((1, 1),)),
        (2, ChannelChoice.BOTH, ((1, 0), (0, 1))),
        (2, ChannelChoice.LEFT, ((1, 1), (0, 0))),
        (2, ChannelChoice.RIGHT, ((0, 0), (1, 1))),
        (2, ChannelChoice.MIX, ((1, 1), (1, 1))),
    ],
)
def test_a_call_alone_is_heard_in_both_ears(
    channels: int, ear: ChannelChoice, gains: tuple[tuple[float, float], ...]
) -> None:
    assert single_call_gains(channels, ear) == gains


@pytest.mark.parametrize("of", [2, 3, 5])
def test_several_calls_stand_evenly_from_left_to_right_and_are_equally_loud(of: int) -> None:
    places = [spread_gains(1, ChannelChoice.BOTH, place, of)[0] for place in range(of)]

    assert places[0][1] == pytest.approx(0)
    assert places[-1][0] == pytest.approx(0)
    angles = [np.arctan2(right, left) for left, right in places]
    assert np.diff(angles) == pytest.approx([np.pi / 2 / (of - 1)] * (of - 1))
    assert [np.hypot(*place) for place in places] == pytest.approx([min(1, (2 / of) ** 0.5)] * of)


def test_a_stereo_call_among_others_is_one_voice_and_no_call_needs_no_gain() -> None:
    left, right = spread_gains(2, ChannelChoice.LEFT, 0, 2)

    assert stereo_gains([], ChannelChoice.BOTH) == []
    assert left == pytest.approx((1, 0))
    assert right == (0, 0)


def test_calls_are_summed_in_their_places_and_clipped() -> None:
    mixer = CallMixer()
    gains = dict(zip(("a", "b"), stereo_gains([1, 2], ChannelChoice.MIX), strict=True))
    mixer.set_calls({"a": (MONO, gains["a"]), "b": (STEREO, gains["b"])})

    mixer.add_audio("a", level(8192))
    mixer.add_audio("b", level(24576, channels=2))

    assert settled(mixer) == pytest.approx([0.25, 1.0], abs=1e-4)


def test_a_call_that_isnt_heard_is_no_part_of_it() -> None:
    mixer = CallMixer()
    mixer.set_calls({"a": (MONO, ((1.0, 1.0),))})

    mixer.add_audio("a", level(8192))
    mixer.add_audio("b", level(8192))

    assert settled(mixer) == pytest.approx([0.25, 0.25])


@pytest.mark.parametrize("change", ["mute", "leave", "move"])
def test_what_changes_does_so_without_a_click(change: str) -> None:
    mixer = CallMixer()
    mixer.set_calls({"a": (MONO, ((1.0, 1.0),))})
    mixer.add_audio("a", level(16384))
    before = settled(mixer)

    if change == "mute":
        mixer.muted = True
    else:
        mixer.set_calls({} if change == "leave" else {"a": (MONO, ((1.0, 0.0),))})
    after = mixer.take_frames(480)

    assert before == pytest.approx([0.5, 0.5])
    assert after[-1][1] == pytest.approx(0, abs=1e-6)
    assert np.abs(np.diff(after[:, 1])).max() < 0.01


def test_a_call_at_another_rate_is_converted() -> None:
    mixer = CallMixer(44100)
    mixer.set_calls({"a": (AudioFormat(8000, 1), ((1.0, 1.0),))})
    sine = (8192 * np.sin(2 * np.pi * 1000 * np.arange(1600) / 8000)).astype("<i2")

    mixer.add_audio("a", sine.tobytes())
    heard = np.concatenate([mixer.take_frames(441) for _ in range(8)])[-2205:, 0]

    spectrum = np.abs(np.fft.rfft(heard * np.hanning(2205)))
    assert spectrum.argmax() * 44100 / 2205 == pytest.approx(1000, abs=20)


def test_another_rate_keeps_who_is_heard() -> None:
    mixer = CallMixer()
    mixer.set_calls({"a": (MONO, ((1.0, 0.0),))})

    mixer.change_sample_rate(44100)
    mixer.add_audio("a", level(8192))

    assert settled(mixer) == pytest.approx([0.25, 0.0], abs=0.01)


def test_a_call_whose_format_changes_is_heard_in_the_new_one() -> None:
    mixer = CallMixer()
    mixer.set_calls({"a": (MONO, ((1.0, 1.0),))})
    mixer.add_audio("a", level(8192))

    mixer.set_calls({"a": (STEREO, single_call_gains(2, ChannelChoice.BOTH))})
    mixer.add_audio("a", np.tile(np.array([8192, 0], "<i2"), 9600).tobytes())

    assert settled(mixer) == pytest.approx([0.25, 0.0])
