import base64
import io
import json
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import soundfile

from listenctl.media.sources.sample_speech import sample_speech
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.jambonz_model.command_verdicts import CommandOutcome, Verdict
from listenctl.simulator.streamed_sound import StreamedSound

RATE = 8000
SPEECH = np.frombuffer(sample_speech(AudioFormat(RATE, 1)), "<i2")


def encoded(container: str, subtype: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, SPEECH / np.float32(32768), RATE, format=container, subtype=subtype)
    return file.getvalue()


def stream(data: bytes, *, message: int = 320, every: float = 0.0, caller_talked: bool = True) -> list[Verdict]:
    sound = StreamedSound(RATE, name="the stream")
    verdicts = []
    for number, at in enumerate(range(0, len(data), message), 1):
        verdicts += sound.take_message(number, data[at : at + message], number * every)
    return verdicts + sound.end_call(caller_talked=caller_talked)


def said(verdicts: list[Verdict]) -> list[str]:
    assert all(verdict.outcome is CommandOutcome.HEARD for verdict in verdicts)
    return [f"{verdict.reason}{'!' if verdict.wrong else ''}" for verdict in verdicts]


@pytest.mark.parametrize("message", [320, 321, 1 << 20])
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (SPEECH.tobytes, []),
        (lambda: encoded("WAV", "PCM_16"), ["not-samples!"]),
        (lambda: encoded("MP3", "MPEG_LAYER_III"), ["not-samples!"]),
        (lambda: encoded("OGG", "OPUS"), ["not-samples!"]),
        (lambda: encoded("FLAC", "PCM_16"), ["not-samples!"]),
        (lambda: base64.b64encode(SPEECH.tobytes()), ["not-samples!"]),
        (lambda: json.dumps({"delta": base64.b64encode(SPEECH.tobytes()).decode()}).encode(), ["not-samples!"]),
        (lambda: encoded("AU", "ULAW")[24:], ["mu-law!"]),
        (lambda: encoded("AU", "ALAW")[24:], ["a-law!"]),
        (lambda: SPEECH.byteswap().tobytes(), ["byte-order!"]),
        (lambda: SPEECH.tobytes()[1:], ["half-sample-shift!"]),
        (lambda: (SPEECH / 32768).astype("<f4").tobytes(), ["float!"]),
        (partial(sample_speech, AudioFormat(RATE, 2)), ["stereo!"]),
        (lambda: np.repeat(SPEECH, 2).tobytes(), ["repeated-samples!"]),
        (lambda: bytes(80_000), ["silent!"]),
        (lambda: b"\xff" * 80_000, ["silent!"]),
        (lambda: (SPEECH * 20.0).clip(-32768, 32767).astype("<i2").tobytes(), ["clipping"]),
        (lambda: b"", []),
    ],
)
def test_the_sound_of_a_stream_is_judged(make: Callable[[], bytes], reason: list[str], message: int) -> None:
    assert said(stream(make(), message=message)) == reason


def test_a_sound_file_in_a_later_message_is_found_too() -> None:
    data = SPEECH[:8000].tobytes()

    (verdict,) = stream(data + encoded("WAV", "PCM_16"), message=len(data))

    assert (verdict.command, verdict.sentence) == (2, "the stream is WAV, and its header is heard as a click")


def test_a_stream_at_the_pace_of_another_rate_is_judged_by_that() -> None:
    fast = sample_speech(AudioFormat(24000, 1))

    assert said(stream(fast, message=960, every=0.02)) == ["other-rate!"]
    assert said(stream(SPEECH.tobytes(), message=320, every=0.02)) == []


def test_a_wav_with_its_header_at_the_pace_of_another_rate_has_two_faults() -> None:
    file = io.BytesIO()
    samples = np.frombuffer(sample_speech(AudioFormat(24000, 1)), "<i2")
    soundfile.write(file, samples, 24000, format="WAV", subtype="PCM_16")

    verdicts = stream(file.getvalue(), message=960, every=0.02)

    assert said(verdicts) == ["not-samples!", "other-rate!"]
    assert [(verdict.command, verdict.time) for verdict in verdicts] == [(1, 0.02), (1, 0.02)]


def test_an_utterance_that_is_no_audio_hides_no_other_rate_of_the_others() -> None:
    fast, sound, verdicts = sample_speech(AudioFormat(16000, 1)), StreamedSound(RATE, name="the stream"), []
    number, time = 0, 0.0
    for utterance in (fast, encoded("MP3", "MPEG_LAYER_III"), fast):
        for at in range(0, len(utterance), 640):
            number, time = number + 1, time + 0.02
            verdicts += sound.take_message(number, utterance[at : at + 640], time)
        time += 1.0
    verdicts += sound.end_call(caller_talked=True)

    assert said(verdicts) == ["not-samples!", "other-rate!"]
    assert [verdict.command for verdict in verdicts] == [-(-len(fast) // 640) + 1, 1]


@pytest.mark.parametrize("message", [320, 640])
def test_a_fault_has_the_place_of_the_first_message_that_shows_it_and_is_found_before_the_end(message: int) -> None:
    sound = StreamedSound(RATE, name="the stream")
    good = SPEECH[: RATE * 4].tobytes() * 4  # 16 s
    data = good + SPEECH.byteswap().tobytes() * 2
    verdicts = []
    for number, at in enumerate(range(0, len(data), message), 1):
        verdicts += sound.take_message(number, data[at : at + message], at / (2 * RATE))

    (verdict,) = verdicts
    assert (verdict.reason, verdict.command) == ("byte-order", len(good) // message + 1)
    assert verdict.time == 16.0
    assert sound.end_call(caller_talked=True) == []


def test_a_fault_of_all_of_the_sound_has_the_place_of_its_first_message() -> None:
    (verdict,) = stream((SPEECH * 20.0).clip(-32768, 32767).astype("<i2").tobytes(), every=0.02)

    assert (verdict.reason, verdict.command, verdict.time) == ("clipping", 1, 0.02)


def test_speech_of_another_rate_is_judged_by_its_pitch_if_all_of_it_comes_at_once() -> None:
    assert said(stream(sample_speech(AudioFormat(24000, 1)), message=1 << 20)) == ["other-rate!"]


def test_silence_is_right_for_a_caller_who_said_nothing() -> None:
    assert stream(bytes(80_000), caller_talked=False) == []


def test_an_endless_stream_is_judged_by_its_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("listenctl.simulator.streamed_sound._MAX_SECONDS", 1)

    assert said(stream(SPEECH[:8000].tobytes() + SPEECH.byteswap().tobytes())) == []
