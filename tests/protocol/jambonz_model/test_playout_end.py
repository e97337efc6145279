"""What is said of a stream when the listen ends: cut off in the middle, or left by the application with a tail."""

import pytest

from listenctl.protocol.jambonz_model.command_verdicts import Verdict
from listenctl.protocol.jambonz_model.playout import Playout
from listenctl.protocol.jambonz_model.profiles import CURRENT, IDEAL, NEXT, Profile
from listenctl.protocol.listen_verb.listen_verb import BidirectionalAudio
from tests.helpers.playout import tone, words

MARK = b'{"type":"mark","data":{"name":"my-mark-1"}}'
FRAME = tone(160)


def streaming(profile: Profile = CURRENT, sample_rate: int = 8000) -> Playout:
    return Playout(profile, BidirectionalAudio(streaming=True, sample_rate=sample_rate))


def end(playout: Playout, after: int) -> list[Verdict]:
    """Step the playout so many ticks, and end the listen."""
    for _ in range(after):
        playout.play_tick()
    return list(playout.end_listen())


def test_at_the_end_the_tail_and_stuck_marks_are_named() -> None:
    playout = streaming()
    playout.take_text(MARK)
    playout.take_audio(FRAME)

    verdicts = end(playout, after=10)

    assert words(*verdicts) == ["truncated tail-held", "interrupted unanswered"]
    assert [verdict.command for verdict in verdicts] == [2, 1]
    assert all(verdict.wrong for verdict in verdicts)


@pytest.mark.parametrize("frames", range(1, 40))
def test_hanging_up_on_a_continuous_streamer_is_no_fault(frames: int) -> None:
    playout = streaming()
    for _ in range(frames):
        playout.take_audio(FRAME)
        playout.play_tick()
    left = playout.buffered + playout.held

    verdicts = playout.end_listen()

    assert words(*verdicts) == (["interrupted call-ended"] if left else [])
    assert not any(verdict.wrong for verdict in verdicts)


@pytest.mark.parametrize(
    ("ticks", "words_", "wrong"), [(9, "interrupted call-ended", False), (10, "truncated tail-held", True)]
)
def test_a_tail_is_a_fault_when_nothing_has_followed_for_200_ms(ticks: int, words_: str, wrong: bool) -> None:
    playout = streaming()
    playout.take_audio(FRAME * 3)

    (verdict,) = end(playout, after=ticks)

    assert words(verdict) == [words_]
    assert verdict.wrong == wrong


def test_a_tail_is_no_fault_while_what_is_before_it_still_plays() -> None:
    playout = streaming()
    playout.take_audio(tone(16000))

    (verdict,) = end(playout, after=50)

    assert playout.held
    assert words(verdict) == ["interrupted call-ended"]
    assert verdict.sentence == "1.0 s of audio were still to be played when the call ended"
    assert verdict.command == 1
    assert not verdict.wrong


def test_what_is_left_is_counted_at_each_sides_rate() -> None:
    playout = streaming(sample_rate=16000)
    # In pieces of 512 samples: 2560 are released and play for 160 ms, 1248 stay, which are 78 ms.
    playout.take_audio(tone(2560 + 1248))

    (verdict,) = playout.end_listen()

    assert playout.buffered == pytest.approx(0.16, abs=0.001)
    assert playout.held == pytest.approx(0.078)
    assert verdict.sentence == "0.2 s of audio were still to be played when the call ended"


def test_less_than_a_tenth_of_a_second_is_said_in_milliseconds() -> None:
    playout = streaming()
    playout.take_audio(FRAME * 2)

    (verdict,) = playout.end_listen()

    assert verdict.sentence == "40 ms of audio were still to be played when the call ended"


@pytest.mark.parametrize("profile", [IDEAL, NEXT])
def test_without_a_pre_buffer_there_is_only_what_has_not_been_played(profile: Profile) -> None:
    cut, played = streaming(profile), streaming(profile)
    for playout in (cut, played):
        playout.take_audio(tone(8000))

    assert words(*end(cut, after=25)) == ["interrupted call-ended"]
    assert end(played, after=60) == []


def test_nothing_is_left_of_a_stream_that_was_not_used() -> None:
    assert end(streaming(), after=100) == []


def test_a_mark_that_the_end_came_before_is_no_fault() -> None:
    playout = streaming()
    playout.take_audio(bytes(2560))
    playout.take_text(MARK)

    verdicts = playout.end_listen()

    assert words(*verdicts) == ["interrupted call-ended", "interrupted unanswered"]
    assert not any(verdict.wrong for verdict in verdicts)
    assert playout.play_tick().messages == ()


@pytest.mark.parametrize("profile", [CURRENT, IDEAL])
def test_a_mark_that_the_next_tick_would_answer_is_not_stuck(profile: Profile) -> None:
    playout = streaming(profile)
    for _ in range(20):
        playout.play_tick()
    playout.take_text(MARK)

    (verdict,) = playout.end_listen()

    assert words(verdict) == ["interrupted unanswered"]
    assert not verdict.wrong


def test_a_mark_in_the_tail_of_an_application_that_still_sends_is_not_stuck() -> None:
    playout = streaming()
    playout.take_text(MARK)
    playout.take_audio(FRAME)

    verdicts = end(playout, after=1)

    assert words(*verdicts) == ["interrupted call-ended", "interrupted unanswered"]
    assert not any(verdict.wrong for verdict in verdicts)


@pytest.mark.parametrize("frames", range(1, 20))
def test_an_application_that_ends_with_160_ms_of_zeros_has_no_tail(frames: int) -> None:
    playout = streaming()
    playout.take_audio(FRAME * frames)
    playout.take_audio(bytes(2 * 1280))

    verdicts = end(playout, after=100)

    assert verdicts == []


def test_zeros_behind_a_tail_are_not_counted() -> None:
    playout = streaming()
    playout.take_audio(FRAME * 3 + bytes(2 * 160))

    (verdict,) = end(playout, after=100)

    assert verdict.reason == "tail-held"
    assert verdict.sentence.startswith("the last 480 samples were never played")
