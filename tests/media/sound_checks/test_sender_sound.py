import io
import itertools
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import pytest
import soundfile
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from listenctl.media.resampling import StreamResampler
from listenctl.media.sound_checks.encoding_checks import SampleEncoding, detect_encoding
from listenctl.media.sound_checks.sender_sound import SenderSoundChecks, SenderSoundReport
from listenctl.media.sources.sample_speech import sample_speech
from listenctl.media.sources.tones import SineTone, dtmf_tones
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.jambonz_model.rule_catalogue import Severity
from tests.helpers.capture import CAPTURES, received_audio

REAL = ["a_mono8k_sip", "b_stereo16k_bridge", "d_wss_mono16k_decrypted", "i_stereo48k"]

Frames: TypeAlias = NDArray[np.int16]
"""(samples, channels)."""


def speech_frames(sample_rate: int = 8000, channels: int = 1) -> Frames:
    """Return ten seconds of speech."""
    return whole(sample_speech(AudioFormat(sample_rate, channels)), channels)


def capture_frames(name: str) -> tuple[Frames, int]:
    """Return what jambonz sent in a capture, and its rate."""
    audio = received_audio(name)
    return whole(audio.data, audio.channels), audio.sample_rate


def whole(data: bytes, channels: int) -> Frames:
    """Read bytes as frames; what is over is left out."""
    return np.frombuffer(data[: len(data) - len(data) % (2 * channels)], "<i2").reshape(-1, channels)


def swapped(frames: Frames) -> Frames:
    return frames.byteswap()


def shifted(frames: Frames) -> Frames:
    return whole(frames.tobytes()[1:], frames.shape[1])


def g711(frames: Frames, law: str) -> bytes:
    """Return the bytes of samples that libsndfile encodes."""
    file = io.BytesIO()
    soundfile.write(file, frames, 8000, subtype=law, format="RAW")
    return file.getvalue()


MISREADINGS: dict[str, Callable[[Frames], Frames]] = {
    "audio-byte-order": swapped,
    "audio-half-sample-shift": shifted,
    "audio-mu-law": lambda frames: whole(g711(frames, "ULAW"), frames.shape[1]),
    "audio-a-law": lambda frames: whole(g711(frames, "ALAW"), frames.shape[1]),
}
"""What each rule is about."""


def check(frames: Frames, rate: int, *, piece: int = 160) -> SenderSoundReport:
    checks = SenderSoundChecks(AudioFormat(rate, frames.shape[1]))
    for at in range(0, len(frames), piece):
        checks.add_audio(frames[at : at + piece].astype("<i2").tobytes())
    return checks.finish()


def rules(frames: Frames, rate: int = 8000) -> list[str]:
    """Return the rules that are violated; a sample rate that is higher than necessary is only an info."""
    return [one.rule for one in check(frames, rate).faults if one.severity is not Severity.INFO]


def mono(samples: bytes) -> Frames:
    return whole(samples, 1)


def rounded(samples: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]") -> Frames:
    return np.rint(samples).clip(-32000, 32000).astype(np.int16)


@pytest.mark.parametrize("name", CAPTURES)
def test_real_calls_have_no_fault(name: str) -> None:
    assert rules(*capture_frames(name)) == []


@pytest.mark.parametrize("rate", [8000, 16000, 24000, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_speech_has_no_fault(rate: int, channels: int) -> None:
    assert rules(speech_frames(rate, channels), rate) == []


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([8000, 16000]), st.floats(50, 3900), st.floats(-40, -0.5), st.floats(0, 2000))
def test_tones_have_no_fault(rate: int, frequency: float, level: float, noise: float) -> None:
    samples = mono(SineTone(frequency, rate, level).samples(0, 4 * rate)).astype(np.float64)

    assert rules(rounded(samples + np.random.default_rng(1).normal(0, noise, samples.shape)), rate) == []


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([8000, 16000]), st.sampled_from([1, 2]), st.integers(100, 9000), st.integers(0, 1000))
def test_noise_has_no_fault(rate: int, channels: int, level: int, seed: int) -> None:
    assert rules(rounded(np.random.default_rng(seed).normal(0, level, (4 * rate, channels))), rate) == []


@pytest.mark.parametrize("rate", [8000, 16000])
def test_dtmf_has_no_fault(rate: int) -> None:
    assert check(mono(dtmf_tones("159D*", rate)), rate).faults == ()


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("rule", MISREADINGS)
def test_misread_bytes_are_recognised(name: str, rule: str) -> None:
    frames, rate = capture_frames(name)

    assert rules(MISREADINGS[rule](frames[: 8 * rate]), rate) == [rule]


@pytest.mark.parametrize("shift", [0, 8])
def test_widened_mu_law_is_recognised(shift: int) -> None:
    frames, rate = capture_frames("a_mono8k_sip")
    codes = np.frombuffer(g711(frames, "ULAW"), np.uint8).astype(np.uint16).reshape(frames.shape)

    assert rules((codes << shift).view(np.int16), rate) == ["audio-mu-law"]


@settings(max_examples=30, deadline=None)
@given(st.sampled_from([swapped, shifted]), st.floats(0.1, 1.0), st.integers(0, 80_000), st.sampled_from(REAL))
def test_misread_audio_of_any_level_is_not_mistaken_for_g711(
    misread: Callable[[Frames], Frames], gain: float, start: int, name: str
) -> None:
    frames, rate = capture_frames(name)
    part = np.rint(frames[start : start + 2 * rate] * gain).astype(np.int16)

    found = {detect_encoding(misread(part[at : at + rate // 2])) for at in range(0, len(part) - rate // 2, rate // 2)}

    # Quiet blocks of both look alike; the majority of the blocks decides.
    assert found <= {SampleEncoding.SWAPPED, SampleEncoding.SHIFTED, SampleEncoding.AS_IS, None}


@pytest.mark.parametrize(("seconds", "found_by", "piece"), [(5, 6, 160), (600, 602, 16_000)])
def test_a_lost_byte_has_its_place_even_late_in_a_long_call(seconds: int, found_by: int, piece: int) -> None:
    frames, rate = capture_frames("a_mono8k_sip")
    data, lost = frames.tobytes() * (seconds // 15 + 2), 2 * rate * seconds

    [fault] = check(whole(data[:lost] + data[lost + 1 :], 1), rate, piece=piece).faults

    assert fault.rule == "audio-half-sample-shift"
    assert fault.position is not None
    assert (seconds - 0.5) * rate <= fault.position <= found_by * rate
    assert f"of the audio, from {fault.position / rate:.1f} s on" in fault.sentence


def test_clipping_is_measured() -> None:
    report = check((speech_frames() * 20.0).clip(-32768, 32767).astype(np.int16), 8000)

    assert [one.rule for one in report.faults] == ["audio-clipping"]
    assert report.channels[0].peak_db == pytest.approx(0, abs=0.01)
    assert 0.05 < report.channels[0].clipping < 0.5


def test_an_offset_is_measured() -> None:
    report = check(speech_frames() + np.int16(500), 8000)

    assert [one.rule for one in report.faults] == ["audio-offset"]
    assert report.channels[0].offset == pytest.approx(500 / 32768, abs=0.001)


def test_the_mean_of_a_third_of_a_second_is_no_offset() -> None:
    faults = check(np.full((2600, 1), 500, np.int16), 8000).faults

    assert "audio-offset" not in [one.rule for one in faults]


@pytest.mark.parametrize("value", [0, -1, 8])
def test_long_silence_is_a_fault_whatever_value_it_has(value: int) -> None:
    report = check(np.full((40_000, 1), value, np.int16), 8000)

    assert [one.rule for one in report.faults] == ["audio-silent"]
    assert report.channels[0].silence == 1
    assert rules(np.full((16_000, 1), value, np.int16)) == []


def test_one_silent_direction_is_a_fault() -> None:
    frames = speech_frames(8000, 2).copy()
    frames[:, 1] = -1

    [fault] = check(frames, 8000).faults

    assert (fault.rule, fault.channel) == ("audio-one-way", 2)
    assert "the right channel is silent" in fault.sentence


def test_identical_and_mixed_channels_are_recognised() -> None:
    mixed = speech_frames(8000, 2).astype(np.float64) @ [[0.6, 0.5], [0.5, 0.6]]

    assert rules(np.repeat(speech_frames(), 2, axis=1)) == ["audio-identical"]
    assert rules(np.rint(mixed).astype(np.int16)) == ["audio-crosstalk"]


@pytest.mark.parametrize(("source", "repeats"), [(1, "the left channel repeats"), (0, "the right channel repeats")])
@pytest.mark.parametrize(("delay", "gain"), [(0.03, 0.3), (0.15, 0.2), (0.4, 0.1)])
@pytest.mark.parametrize("rate", [8000, 16000])
def test_an_echo_between_channels_is_measured(rate: int, delay: float, gain: float, source: int, repeats: str) -> None:
    frames = speech_frames(rate, 2).astype(np.float64)
    late = round(delay * rate)
    frames[late:, 1 - source] += gain * frames[:-late, source]

    [fault] = check(np.rint(frames).clip(-32768, 32767).astype(np.int16), rate).faults

    assert fault.rule == "audio-echo"
    assert repeats in fault.sentence
    assert f"{delay * 1000:.0f} ms" in fault.sentence


def test_wrong_sample_rates_are_recognised() -> None:
    resampled = StreamResampler(8000, 16_000)(speech_frames(8000).tobytes(), last=True)

    assert rules(np.repeat(speech_frames(8000), 2, axis=0), 16_000) == ["audio-repeated-samples"]
    assert rules(mono(resampled), 8000) == ["audio-slow"]


def test_a_sample_rate_that_is_higher_than_necessary_is_an_info() -> None:
    [fault] = check(*capture_frames("d_wss_mono16k_decrypted")).faults

    assert (fault.rule, fault.severity) == ("audio-narrow", Severity.INFO)
    assert "8000 Hz would be enough" in fault.sentence


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 5000), min_size=1, max_size=40))
def test_the_result_does_not_depend_on_the_pieces(sizes: list[int]) -> None:
    frames = speech_frames(8000, 2)[:20_000]
    checks = SenderSoundChecks(AudioFormat(8000, 2))
    at = 0
    for size in itertools.cycle(sizes):
        checks.add_audio(frames[at : at + size].tobytes())
        at += size
        if at >= len(frames):
            break

    assert checks.finish().to_json() == check(frames, 8000).to_json()


@settings(deadline=None)
@given(st.integers(1, 400_000), st.sampled_from([1, 2]), st.binary(max_size=4000))
def test_any_sample_rate_and_any_bytes_are_accepted(rate: int, channels: int, data: bytes) -> None:
    report = check(whole(data, channels), rate)

    assert len(report.channels) == channels
    report.to_json()


def _wide(frames: Frames, size: int) -> bytes:
    """Return samples of 24 or 32 bits, the lower ones of which are noise."""
    lower = np.random.default_rng(1).integers(0, 256, (len(frames), size - 2), np.uint8)
    return np.hstack([lower, frames.astype("<i2").view(np.uint8).reshape(-1, 2)]).tobytes()


def _stereo(left: Frames, right: Frames) -> bytes:
    return np.hstack([left, right]).astype("<i2").tobytes()


INTERLEAVED: dict[str, tuple[str, Callable[[Frames], bytes]]] = {
    "float": ("audio-float", lambda one: (one / 32768).astype("<f4").tobytes()),
    "big-endian float": ("audio-float", lambda one: (one / 32768).astype(">f4").tobytes()),
    "24 bits": ("audio-wide-samples", lambda one: _wide(one, 3)[: len(one) * 3 // 2 * 2]),
    "32 bits": ("audio-wide-samples", lambda one: _wide(one, 4)),
    "32 bits, 16 of them used": ("audio-stereo", lambda one: (one.astype("<i4") << 16).tobytes()),
    "left only": ("audio-stereo", lambda one: _stereo(one, one * 0)),
    "right louder": ("audio-stereo", lambda one: _stereo((one * 0.6).astype(np.int16), one)),
    "two voices": ("audio-stereo", lambda one: _stereo(one, np.roll(one, len(one) // 3))),
    "both equal": ("audio-repeated-samples", lambda one: _stereo(one, one)),
}


@pytest.mark.parametrize("rate", [8000, 16000, 24000])
@pytest.mark.parametrize("gain", [0.3, 1.0])
@pytest.mark.parametrize("kind", INTERLEAVED)
def test_longer_samples_and_two_channels_in_one_are_recognised(kind: str, gain: float, rate: int) -> None:
    rule, misread = INTERLEAVED[kind]
    frames = np.rint(speech_frames(rate, 1) * gain).astype(np.int16)

    found = rules(mono(misread(frames)), rate)

    assert rule in found
    assert not set(found) & ({one for one, _ in INTERLEAVED.values()} - {rule})


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([8000, 16000, 24000]), st.floats(0.02, 0.99), st.floats(0.01, 0.5), st.integers(0, 1000))
def test_noise_of_any_band_has_no_fault(rate: int, low: float, width: float, seed: int) -> None:
    spectrum = np.fft.rfft(np.random.default_rng(seed).normal(0, 1, 4 * rate))
    place = np.linspace(0, 1, len(spectrum))
    samples = np.fft.irfft(np.where((place >= low) & (place <= low + width), spectrum, 0))

    found = rules(rounded(samples / max(1e-9, np.abs(samples).max()) * 20_000).reshape(-1, 1), rate)

    assert set(found) <= {"audio-silent", "audio-slow"}


@settings(max_examples=40, deadline=None)
@example(24000, [1000.0], 10, 1.0)
@example(8000, [50.0, 1000.0, 3000.0], 2, 1.0)
@given(
    st.sampled_from([8000, 16000, 24000]),
    st.lists(st.floats(50, 3000), min_size=1, max_size=4),
    st.integers(1, 12),
    st.floats(0.02, 4.0),
)
def test_music_has_no_fault(rate: int, notes: list[float], harmonics: int, decay: float) -> None:
    at = np.arange(6 * rate) / rate
    beat = np.exp(-decay * (at % 0.5))
    tones = [
        np.sin(2 * np.pi * note * k * at) / k for note in notes for k in range(1, harmonics) if note * k < rate / 2.2
    ]
    samples = beat * (np.sum(tones, axis=0) if tones else np.zeros(len(at)))

    found = rules(rounded(samples / max(1e-9, np.abs(samples).max()) * 20_000).reshape(-1, 1), rate)

    assert set(found) <= {"audio-silent", "audio-slow", "audio-offset"}


@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("part", [2, 3, 4, 8])
def test_a_tone_at_a_part_of_the_rate_has_no_fault(rate: int, part: int) -> None:
    at = np.arange(4 * rate)
    for phase in (0.3, np.pi / 4):
        tone = np.rint(12_000 * np.sin(2 * np.pi * at / part + phase)).astype(np.int16).reshape(-1, 1)
        assert rules(tone, rate) == []


@pytest.mark.parametrize("rate", [8000, 16000])
def test_clicks_have_no_fault(rate: int) -> None:
    clicks = np.where(np.arange(6 * rate) % (rate // 50) == 0, 26_000, 0).astype(np.int16).reshape(-1, 1)

    assert rules(clicks, rate) == []
