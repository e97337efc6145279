"""What is wrong with clips, in calls that are made up."""

import base64

import pytest

from tests.helpers.inspected import MadeUp, rules_in
from tests.helpers.playout import play, tone

HALF = tone(4000)


def done(clip_id: str, milliseconds: int = 500) -> str:
    return f'{{"type":"playDone","data":{{"id":"{clip_id}","playbackMilliseconds":"{milliseconds}"}}}}'


def test_clips_that_queue_and_are_answered_have_no_fault() -> None:
    call = MadeUp()
    call.say(1.0, play(HALF, id="a", queuePlay=True))
    call.say(1.0, play(HALF, id="b", queuePlay=True))
    call.answer(1.52, done("a"))
    call.answer(2.04, done("b"))

    report = call.close(5.0)

    assert rules_in(report) == []
    assert [(clip.id, clip.played_ms) for clip in report.clips] == [("a", 500), ("b", 500)]
    assert [clip.done for clip in report.clips] == pytest.approx([1.52, 2.04])


def test_clips_without_queue_play_are_told_to_overlap() -> None:
    call = MadeUp()
    call.say(1.0, play(HALF, id="a"))
    call.say(1.2, play(HALF, id="b"))
    call.answer(1.7, done("b"))
    call.answer(2.0, done("a"))

    report = call.close(4.0)

    assert rules_in(report) == ["clip-on-top"]
    assert report.violations[0].at == pytest.approx(1.2)
    assert report.clips[1].verdicts == ["on-top"]


def test_a_clip_that_empties_the_queue_is_told_at_the_one_that_is_dropped() -> None:
    call = MadeUp()
    for clip in ("a", "b"):
        call.say(1.0, play(HALF, id=clip, queuePlay=True))
    call.say(1.1, play(HALF, id="c"))
    for at, clip in ((1.6, "c"), (2.0, "a")):
        call.answer(at, done(clip))

    report = call.close(5.0)

    assert rules_in(report) == ["clip-dropped", "clip-on-top"]
    assert report.clips[1].verdicts == ["queue-emptied"]


def test_a_twelfth_clip_that_waits_is_dropped() -> None:
    call = MadeUp()
    for number in range(13):
        call.say(1.0, play(HALF, id=f"c{number}", queuePlay=True))

    assert rules_in(call.close(1.1)) == ["clip-queue-full"]


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"audioContentType": None}, "clip-no-content-type"),
        ({"audioContentType": "mp3"}, "clip-content-type"),
        ({"audioContent": 5}, "clip-no-content"),
        ({"audioContent": ""}, "clip-no-audio"),
        ({"audioContentType": "wav"}, "clip-wav-unreadable"),
        ({"audioContent": "AADo\nAxj8//8="}, "clip-base64-cut"),
        ({"audioContent": base64.b64encode(b"RIFF\0\0\0\0WAVEfmt ").decode()}, "clip-wav-as-raw"),
        ({"sampleRate": "8000"}, "clip-rate-string"),
        ({"sampleRate": None}, "clip-rate-missing"),
        ({"sampleRate": 11025}, "clip-rate-unknown"),
        ({"sampleRate": 24000}, "clip-rate-noise"),
        ({"sampleRate": 48000}, "clip-rate-unreadable"),
        ({"id": "O'Brien"}, "clip-id-unsafe"),
    ],
)
def test_what_is_wrong_with_a_clip_is_named(fields: dict[str, object], rule: str) -> None:
    call = MadeUp()
    call.say(1.0, play(HALF, **fields))

    report = call.close(1.4)

    assert rules_in(report) == [rule]
    assert report.violations[0].sender == "application"


def test_a_string_rate_that_comes_out_right_is_no_fault() -> None:
    call = MadeUp()
    call.say(1.0, play(HALF, sampleRate="16000"))

    assert rules_in(call.close(1.2)) == []


def test_a_clip_without_an_answer_is_told() -> None:
    call = MadeUp()
    call.say(1.0, play(HALF, id="a"))

    report = call.close(6.0)

    assert rules_in(report) == ["clip-not-done"]
    assert report.clips[0].due == pytest.approx(1.54, abs=0.05)


def test_a_clip_whose_answer_is_broken_isnt_called_unanswered() -> None:
    call = MadeUp()
    call.say(1.0, play(HALF, id='a"b'))
    call.answer(1.5, '{"type":"playDone","data":{"id":"a"b","playbackSeconds":"0"}}')
    call.say(2.0, play(HALF, id="c"))

    rules = rules_in(call.close(7.0))

    assert rules.count("text-broken") == 1
    assert rules.count("clip-not-done") == 1


def test_a_clip_that_the_end_cuts_off_needs_no_answer() -> None:
    call = MadeUp()
    call.say(1.0, play(HALF * 10, id="a"))

    assert rules_in(call.close(4.0)) == []


def test_a_clip_that_cant_be_read_has_no_length() -> None:
    call = MadeUp()
    call.say(1.0, play(HALF, sampleRate=48000))

    (clip,) = call.close(1.4).clips

    assert (clip.seconds, clip.decoded_rate) == (None, None)


def test_ids_of_any_length_are_matched_and_kept_short() -> None:
    call = MadeUp()
    long = "x" * 5000
    call.say(1.0, play(HALF, id=long))
    call.answer(1.5, done(long))

    (clip,) = call.close(2.0).clips

    assert clip.done == pytest.approx(1.5)
    assert len(str(clip.id)) == 1000
