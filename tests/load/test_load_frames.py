import pytest

from listenctl.load.load_frames import pattern_frames, speech_frames
from listenctl.load.plan import CallFormat


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 48000])
def test_prebuilt_audio_goes_round_in_whole_frames(rate: int) -> None:
    for mix_type, channels in (("mono", 1), ("mixed", 1), ("stereo", 2)):
        prebuilt = speech_frames(CallFormat(rate, mix_type))

        assert len(prebuilt.frames) == len(prebuilt.payloads) == 450
        assert sum(map(len, prebuilt.payloads)) == 9 * rate * 2 * channels
        assert all(frame[:1] == b"\x82" and frame[1] & 0x80 for frame in prebuilt.frames)


def test_a_pattern_is_as_long_as_its_call() -> None:
    assert len(pattern_frames(CallFormat(), 3.0).frames) >= 150
    assert len(pattern_frames(CallFormat(), 1000.0).frames) == 8192
