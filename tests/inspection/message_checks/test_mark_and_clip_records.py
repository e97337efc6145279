import pytest

from tests.helpers.inspected import METADATA, MadeUp
from tests.helpers.playout import play, tone


def test_long_ids_are_matched_and_shortened() -> None:
    call, long = MadeUp(), "x" * 5000
    call.say(1.0, play(tone(4000), id=long))
    call.answer(1.5, f'{{"type":"playDone","data":{{"id":"{long}","playbackMilliseconds":"500"}}}}')

    (clip,) = call.close(2.0).clips

    assert clip.done == pytest.approx(1.5)
    assert len(str(clip.id)) == 1000


def test_a_clip_that_jambonz_cannot_decode_has_no_duration() -> None:
    call = MadeUp()
    call.say(1.0, play(tone(4000), sampleRate=48000))

    (clip,) = call.close(1.4).clips

    assert (clip.seconds, clip.decoded_rate) == (None, None)


def test_only_the_first_of_very_many_marks_are_listed() -> None:
    call = MadeUp(metadata=METADATA | {"streamRate": 8000})
    for number in range(10_050):
        call.mark(1.0, str(number))

    report = call.close(2.0)

    assert len(report.marks) == 10_000
    assert report.to_json()["not_listed"] == 50
    assert report.counts["marks-too-many"] == 10_020
