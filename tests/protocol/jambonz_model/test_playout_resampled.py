"""Marks in a resampled stream, which loses or moves them (listenctl-protocol(7) 6.4, fault 2)."""

import pytest

from listenctl.protocol.jambonz_model.command_verdicts import Verdict
from listenctl.protocol.jambonz_model.playout import Playout
from listenctl.protocol.jambonz_model.profiles import CURRENT, IDEAL, NEXT, Profile
from listenctl.protocol.listen_verb.listen_verb import BidirectionalAudio
from tests.helpers.playout import tone, words

REMEDY = "stream at the call's own rate if you need marks"
DOWN, UP = "resampling from 24000 to 8000 Hz", "resampling from 8000 to 16000 Hz"


def mark(name: str = "m") -> bytes:
    return b'{"type":"mark","data":{"name":"' + name.encode() + b'"}}'


def streaming(sample_rate: int, call_rate: int = 8000, profile: Profile = CURRENT) -> Playout:
    option = BidirectionalAudio(streaming=True, sample_rate=sample_rate)
    return Playout(profile, option, call_rate=call_rate)


def run(playout: Playout, ticks: int) -> list[Verdict]:
    return [verdict for _ in range(ticks) for verdict in playout.play_tick().verdicts]


@pytest.mark.parametrize(
    ("rates", "sentence"),
    [
        ((24000, 8000), f"if more audio follows, {DOWN} will have lost its marker: {REMEDY}"),
        ((8000, 16000), f"if more audio follows, {UP} will have moved its marker: {REMEDY}"),
    ],
)
def test_the_first_mark_of_a_resampled_stream_brings_a_hint(rates: tuple[int, int], sentence: str) -> None:
    playout = streaming(*rates)

    verdicts = [playout.take_text(mark())[0] for _ in range(3)]

    assert words(*verdicts) == ["queued resampled", "queued", "queued"]
    assert verdicts[0].sentence == sentence
    assert not verdicts[0].wrong


@pytest.mark.parametrize("profile", [IDEAL, NEXT])
def test_where_marks_survive_resampling_nothing_is_said(profile: Profile) -> None:
    playout = streaming(24000, profile=profile)

    verdicts = [*playout.take_text(mark()), *playout.take_audio(tone(24000)), *run(playout, 60), *playout.end_listen()]

    assert words(*verdicts) == ["queued", "finished"]


def test_a_mark_behind_all_audio_is_answered_in_a_resampled_stream_too() -> None:
    playout = streaming(24000)
    playout.take_audio(tone(24000))
    playout.take_text(mark())

    verdicts = run(playout, 60)

    assert words(*verdicts) == ["finished"]
    assert not verdicts[0].wrong


def test_a_mark_that_resampling_has_lost_is_named_at_the_end() -> None:
    playout = streaming(24000)
    playout.take_text(mark("a"))
    playout.take_audio(tone(24000))
    playout.take_text(mark("b"))

    run(playout, 100)
    _, *verdicts = playout.end_listen()

    assert words(*verdicts) == ["interrupted resampled"] * 2
    assert [verdict.sentence for verdict in verdicts] == [
        f"never answered, since {DOWN} lost its marker: {REMEDY}",
        f"never answered, since {DOWN} lost the marker of one before it: {REMEDY}",
    ]
    assert [verdict.command for verdict in verdicts] == [1, 3]
    assert all(verdict.wrong for verdict in verdicts)


def test_a_lost_mark_is_a_fault_of_an_application_that_still_sends() -> None:
    playout = streaming(24000)
    playout.take_text(mark())
    playout.take_audio(tone(24000))

    cut_off, lost = playout.end_listen()

    assert words(cut_off, lost) == ["interrupted call-ended", "interrupted resampled"]
    assert (cut_off.wrong, lost.wrong) == (False, True)


def test_a_mark_that_has_not_left_the_pre_buffer_is_not_lost_yet() -> None:
    playout = streaming(24000)
    playout.take_text(mark())
    playout.take_audio(tone(480))

    verdicts = playout.end_listen()

    assert words(*verdicts) == ["interrupted call-ended", "interrupted unanswered"]
    assert not any(verdict.wrong for verdict in verdicts)


def test_a_minus_one_that_nobody_sent_is_not_blamed_on_the_application() -> None:
    playout = streaming(12000)
    playout.take_text(mark())
    # Halfway between the two the resampler takes a sample.
    playout.take_audio((tone(1, -2) + tone(1, 0)) * 6000)

    verdicts = run(playout, 60)

    assert words(*verdicts) == ["finished resampled"]
    lost = "resampling from 12000 to 8000 Hz lost its marker"
    assert verdicts[0].sentence == f"answered by chance, at a sample of value -1, since {lost}: {REMEDY}"
    assert verdicts[0].wrong


def test_a_mark_that_resampling_has_moved_to_the_front_is_named() -> None:
    playout = streaming(8000, 16000)
    playout.take_audio(tone(8000))
    playout.take_text(mark())
    playout.take_audio(tone(8000))

    verdicts = run(playout, 2)

    assert words(*verdicts) == ["finished resampled"]
    assert verdicts[0].sentence == f"answered early, since {UP} moved its marker: {REMEDY}"
    assert verdicts[0].wrong


def test_at_the_calls_own_rate_resampling_is_never_the_reason() -> None:
    playout = streaming(8000)
    queued = playout.take_text(mark())
    playout.take_audio(tone(1280, -1))

    # The first -1 is the mark's own.
    assert words(*queued, *run(playout, 1)) == ["queued", "finished"]
