import pytest

from listenctl.load.timed_playout import TimedPlayout
from listenctl.protocol.application_commands import ClearMarks, Command, KillAudio, MarkCommand, PlayAudio
from listenctl.protocol.jambonz_messages import Mark, PlayDone

SECOND = 16000
CLIP = PlayAudio.encode(bytes(SECOND), "raw", sample_rate=8000, clip_id="hello")


Step = tuple[float, int | Command]


def answers(playout: TimedPlayout, *steps: Step) -> list[tuple[float, Mark | PlayDone]]:
    """Let the playout take audio (a number of bytes) and commands; return all answers and when they are due."""
    for at, step in steps:
        if isinstance(step, int):
            playout.take_audio(step, at)
        else:
            playout.take_command(step, at)
    return [(round(answer.due, 3), answer.message) for answer in playout.take_due_answers(99.0)]


A, B = MarkCommand("a"), MarkCommand("b")
A_PLAYED, B_PLAYED = Mark("a", "playout"), Mark("b", "playout")
DONE = PlayDone("hello", None, "1", "1000", "8000")


@pytest.mark.parametrize(
    ("stream_rate", "steps", "expected"),
    [
        (8000, [(10.0, SECOND), (10.1, A), (10.2, SECOND), (10.3, B)], [(11.02, A_PLAYED), (12.02, B_PLAYED)]),
        # Audio after a pause begins when it comes.
        (8000, [(10.0, SECOND), (20.0, SECOND), (20.0, A)], [(21.02, A_PLAYED)]),
        (
            8000,
            [(10.0, SECOND), (10.0, A), (10.5, KillAudio()), (10.5, B)],
            [(10.52, Mark("a", "cleared")), (10.52, B_PLAYED)],
        ),
        (8000, [(10.0, A), (10.0, ClearMarks())], []),
        # Neither a clip while streaming nor a stream to a player is played.
        (8000, [(10.0, CLIP)], []),
        (None, [(10.0, SECOND), (10.0, A)], []),
        (None, [(10.0, CLIP), (10.1, CLIP)], [(11.0, DONE), (12.0, DONE)]),
        (None, [(10.0, PlayAudio("AAAA", "mp3"))], []),
        # killAudio ends one clip, and the next one starts.
        (None, [(10.0, CLIP), (10.0, CLIP), (10.25, KillAudio())], [(10.25, DONE), (11.25, DONE)]),
        (16000, [(10.0, A)], [(10.02, A_PLAYED)]),
    ],
)
def test_marks_and_clips_are_answered_in_their_time(
    stream_rate: int | None, steps: list[Step], expected: list[tuple[float, Mark | PlayDone]]
) -> None:
    assert answers(TimedPlayout(stream_rate), *steps) == expected


def test_answers_are_taken_when_they_are_due() -> None:
    playout = TimedPlayout(8000)
    playout.take_audio(SECOND, 10.0)
    playout.take_command(A, 10.1)

    assert playout.next_due == pytest.approx(11.02)
    assert playout.take_due_answers(11.0) == []
    assert len(playout.take_due_answers(99.0)) == 1
    assert playout.next_due is None


def test_more_marks_than_jambonz_keeps_are_dropped() -> None:
    # 40 sent, 31 answered (listenctl-protocol(7) 13).
    assert len(answers(TimedPlayout(8000), *[(10.0, A)] * 40)) == 31


def test_only_a_clip_with_audio_that_is_played_is_heard() -> None:
    streaming, playing = TimedPlayout(8000), TimedPlayout(None)

    assert playing.take_command(CLIP, 10.0)
    assert not streaming.take_command(CLIP, 10.0)
    assert not playing.take_command(KillAudio(), 10.0)
    for silent in (PlayAudio("", "raw", 8000), PlayAudio(None, "raw", 8000), PlayAudio("AAAA", "mp3")):
        assert not playing.take_command(silent, 10.0)
