import pytest

from listenctl.load.timed_playout import TimedAnswer, TimedPlayout
from listenctl.protocol.application_commands import ClearMarks, KillAudio, MarkCommand, PlayAudio
from listenctl.protocol.jambonz_messages import Mark, PlayDone

SECOND = 16000
CLIP = PlayAudio.encode(bytes(SECOND), "raw", sample_rate=8000, clip_id="hello")


def answers(playout: TimedPlayout, until: float) -> list[tuple[float, Mark | PlayDone]]:
    return [(round(answer.due, 3), answer.message) for answer in playout.take_due_answers(until)]


def test_a_mark_is_answered_when_the_audio_before_it_has_been_played() -> None:
    playout = TimedPlayout(8000)

    playout.take_audio(SECOND, 10.0)
    playout.take_command(MarkCommand("a"), 10.1)
    playout.take_audio(SECOND, 10.2)
    playout.take_command(MarkCommand("b"), 10.3)

    assert playout.next_due == pytest.approx(11.02)
    assert answers(playout, 11.0) == []
    assert answers(playout, 99.0) == [(11.02, Mark("a", "playout")), (12.02, Mark("b", "playout"))]
    assert playout.next_due is None


def test_a_mark_with_nothing_playing_is_answered_with_the_next_tick() -> None:
    playout = TimedPlayout(16000)

    playout.take_command(MarkCommand("a"), 10.0)

    assert playout.take_due_answers(11.0) == [TimedAnswer(10.02, 10.0, Mark("a", "playout"))]


def test_audio_after_a_pause_begins_when_it_comes() -> None:
    playout = TimedPlayout(8000)

    playout.take_audio(SECOND, 10.0)
    playout.take_audio(SECOND, 20.0)
    playout.take_command(MarkCommand("a"), 20.0)

    assert answers(playout, 99.0) == [(21.02, Mark("a", "playout"))]


def test_kill_audio_clears_all_marks_within_a_tick() -> None:
    playout = TimedPlayout(8000)
    playout.take_audio(SECOND, 10.0)
    playout.take_command(MarkCommand("a"), 10.0)

    playout.take_command(KillAudio(), 10.5)
    playout.take_command(MarkCommand("b"), 10.5)

    assert answers(playout, 99.0) == [(10.52, Mark("a", "cleared")), (10.52, Mark("b", "playout"))]


def test_cleared_marks_are_never_answered() -> None:
    playout = TimedPlayout(8000)
    playout.take_command(MarkCommand("a"), 10.0)

    playout.take_command(ClearMarks(), 10.0)

    assert answers(playout, 99.0) == []


def test_more_marks_than_jambonz_keeps_are_dropped() -> None:
    playout = TimedPlayout(8000)

    for number in range(40):
        playout.take_command(MarkCommand(str(number)), 10.0)

    # 40 sent, 31 answered (listenctl-protocol(7) 13).
    assert len(answers(playout, 99.0)) == 31


def test_clips_play_one_after_another_and_are_answered_each() -> None:
    playout = TimedPlayout(None)

    playout.take_command(CLIP, 10.0)
    playout.take_command(CLIP, 10.1)

    done = PlayDone("hello", None, "1", "1000", "8000")
    assert answers(playout, 99.0) == [(11.0, done), (12.0, done)]


def test_kill_audio_ends_one_clip_and_the_next_one_starts() -> None:
    playout = TimedPlayout(None)
    playout.take_command(CLIP, 10.0)
    playout.take_command(CLIP, 10.0)

    playout.take_command(KillAudio(), 10.25)

    assert [due for due, _ in answers(playout, 99.0)] == [10.25, 11.25]


def test_each_mode_ignores_the_commands_of_the_other() -> None:
    streaming, playing = TimedPlayout(8000), TimedPlayout(None)

    streaming.take_command(CLIP, 10.0)
    playing.take_audio(SECOND, 10.0)
    playing.take_command(MarkCommand("a"), 10.0)

    assert answers(streaming, 99.0) == []
    assert answers(playing, 99.0) == []


def test_a_clip_that_jambonz_cannot_play_is_never_answered() -> None:
    playout = TimedPlayout(None)

    playout.take_command(PlayAudio("AAAA", "mp3"), 10.0)

    assert answers(playout, 99.0) == []


def test_only_a_clip_with_audio_that_is_played_is_heard() -> None:
    streaming, playing = TimedPlayout(8000), TimedPlayout(None)

    assert playing.take_command(CLIP, 10.0)
    assert not streaming.take_command(CLIP, 10.0)
    assert not playing.take_command(KillAudio(), 10.0)
    for silent in (PlayAudio("", "raw", 8000), PlayAudio(None, "raw", 8000), PlayAudio("AAAA", "mp3")):
        assert not playing.take_command(silent, 10.0)
