import numpy as np

from listenctl.media.dtmf_detector import CallDtmfDetector, DtmfTone
from listenctl.media.sources.tones import dtmf_tones
from listenctl.protocol.audio import AudioFormat

RATE = 8000
START = 12_000
KEY, GAP = 0.1, 0.1


def stereo(left: bytes, right: bytes) -> bytes:
    parts = [np.frombuffer(side, "<i2") for side in (left, right)]
    length = max(map(len, parts))
    return np.stack([np.pad(part, (0, length - len(part))) for part in parts], axis=1).tobytes()


def heard(listener: CallDtmfDetector, data: bytes, size: int) -> list[DtmfTone]:
    """Feed the audio in pieces of so many bytes."""
    found = [key for at in range(0, len(data), size) for key in listener.feed(data[at : at + size])]
    return found + listener.end_audio()


def test_keys_of_each_channel_are_told_apart_with_their_place_in_the_call() -> None:
    left, right = dtmf_tones("12", RATE), bytes(RATE) + dtmf_tones("#", RATE)

    keys = heard(CallDtmfDetector(AudioFormat(RATE, 2), START), stereo(left, right), 4 * 777)

    assert [(key.digit, key.channel) for key in keys] == [("1", 1), ("2", 1), ("#", 2)]
    for key, begin in zip(keys, (0, 1600, 4000), strict=True):
        assert abs(key.position - START - begin) < 40
        assert abs(key.duration_ms - 100) < 10


def test_a_key_that_the_end_cuts_off_is_told_at_the_end() -> None:
    listener = CallDtmfDetector(AudioFormat(RATE, 1), 0)
    assert listener.feed(dtmf_tones("5", RATE, tone=0.06, gap=0.0)) == []

    assert [key.digit for key in listener.end_audio()] == ["5"]
