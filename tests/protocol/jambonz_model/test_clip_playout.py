"""The order of several clips (listenctl-protocol(7) 5.1, 11 V9, 13)."""

import pytest

from listenctl.protocol.jambonz_messages import PlayDone
from listenctl.protocol.jambonz_model.profiles import CURRENT, IDEAL, NEXT, Profile
from tests.helpers.playout import Call, play, tone, words


def test_eleven_clips_wait_and_the_next_is_dropped() -> None:
    call = Call()

    verdicts = [call.send(play(tone(800, number), id=number, queuePlay=True)) for number in range(1, 14)]
    call.run(3)

    assert verdicts == [["played"], *[["queued"]] * 11, ["ignored queue-full"]]
    # Each is heard a tick after its start, which is in the tick after the end of the one before.
    assert call.done == [(round(0.12 * number, 2), number) for number in range(1, 13)]
    assert call.runs == [(number, 800) for number in range(1, 13)]


def test_as_documented_clips_queue_by_themselves_up_to_ten() -> None:
    call = Call(IDEAL)

    verdicts = [call.send(play(tone(800, number))) for number in range(1, 13)]
    call.run(3)

    assert verdicts == [["played"], *[["queued"]] * 10, ["ignored queue-full"]]
    assert call.runs == [(number, 800) for number in range(1, 12)]
    assert [at for at, _ in call.done] == pytest.approx([number / 10 for number in range(1, 12)])


def test_clips_without_queue_play_nest() -> None:
    call = Call()

    verdicts = []
    for number in (1, 2, 3):
        verdicts.append(call.send(play(tone(40000, number), id=number)))
        call.run(1)
    call.run(15)

    # A clip is heard one tick after its start, and while it starts, the one below is silent already.
    assert verdicts == [["played"], ["played on-top"], ["played on-top"]]
    assert call.runs == [(1, 7840), (2, 7840), (3, 40000), (2, 32160), (1, 32160)]
    assert call.done == [(7.02, 3), (11.04, 2), (15.06, 1)]


@pytest.mark.parametrize(
    ("last", "verdicts", "done"),
    [
        (play(tone(4000, 3), id=3), ["interrupted queue-emptied", "played on-top"], [3, 1]),
        # Also one that can't be played.
        (play(tone(4000, 3), audioContentType="mp3"), ["ignored content-type", "interrupted queue-emptied"], [1]),
    ],
)
def test_a_clip_without_queue_play_drops_what_waits(last: bytes, verdicts: list[str], done: list[int]) -> None:
    call = Call()
    for number in (1, 2):
        call.send(play(tone(4000, number), id=number, queuePlay=True))

    assert call.send(last) == verdicts
    assert sorted(verdict.command for verdict in call.verdicts) == [1, 2, 2, 3]
    call.run(2)
    assert [clip for _, clip in call.done] == done


def test_after_a_clip_on_top_a_queued_one_starts_at_once() -> None:
    call = Call()

    call.send(play(tone(4000, 1), id=1))

    assert call.send(play(tone(4000, 2), id=2, queuePlay=True)) == ["played on-top"]
    assert call.send(play(tone(4000, 3), id=3, queuePlay=True)) == ["queued"]
    call.run(3)
    assert [clip for _, clip in call.done] == [2, 3, 1]


@pytest.mark.parametrize(("value", "queues"), [("yes", True), (1, True), ([], True), (0, False), ("", False)])
def test_queue_play_is_what_javascript_takes_for_true(value: object, queues: bool) -> None:
    call = Call()
    call.send(play(tone(4000), queuePlay=True))

    assert call.send(play(tone(4000), queuePlay=value)) == ["queued" if queues else "played on-top"]


ONE_STOPPED, ALL_STOPPED = ["interrupted killed", "played", "obeyed"], ["interrupted killed"] * 2 + ["obeyed"]


@pytest.mark.parametrize(
    ("profile", "queue", "samples", "seconds", "verdicts", "runs", "done"),
    [
        # The next in the queue starts at once.
        (CURRENT, True, 40_000, 1.5, ONE_STOPPED, [(1, 11_840), (2, 7840)], PlayDone(1, None, "2", "2048", "11840")),
        # Milliseconds are no more than those of the clip.
        (CURRENT, True, 8000, 0.52, ONE_STOPPED, [(1, 4000), (2, 7840)], PlayDone(1, None, "1", "1000", "4000")),
        # Of two nested clips the upper one is stopped.
        (
            CURRENT,
            False,
            8000,
            0.5,
            ["interrupted killed", "obeyed"],
            [(2, 3840), (1, 8000)],
            PlayDone(2, None, "1", "1000", "3840"),
        ),
        # As documented, kill stops what waits too.
        (IDEAL, True, 8000, 0.5, ALL_STOPPED, [(1, 4000)], PlayDone()),
    ],
)
def test_kill_stops_the_clip_that_plays(
    profile: Profile,
    queue: bool,
    samples: int,
    seconds: float,
    verdicts: list[str],
    runs: list[tuple[int, int]],
    done: PlayDone,
) -> None:
    call = Call(profile)
    for number in (1, 2):
        call.send(play(tone(samples, number), id=number, queuePlay=queue))
    call.run(seconds)

    assert call.send(b'{"type":"killAudio"}') == verdicts
    call.run(1.0 if queue else 1.5)

    assert call.runs == runs
    assert call.messages[0] == (seconds, done)


def test_next_says_that_a_clip_was_killed() -> None:
    call = Call(NEXT)
    call.send(play(tone(8000), id=1))

    call.send(b'{"type":"killAudio"}')
    call.run(0.1)

    assert [message.reason for _, message in call.messages if isinstance(message, PlayDone)] == ["destroyed"]


def test_killing_nothing_is_no_fault() -> None:
    call = Call()

    assert call.send(b'{"type":"killAudio"}') == ["obeyed nothing-playing"]
    assert not call.verdicts[0].wrong


def test_the_end_of_the_listen_cuts_clips_off_without_an_answer() -> None:
    call = Call()
    call.send(play(tone(8000), queuePlay=True))
    call.send(play(tone(8000), queuePlay=True))
    call.run(0.5)
    assert call.playout.buffered == pytest.approx(1.52)

    assert words(*call.playout.end_listen()) == ["interrupted ended"] * 2
    call.run(0.5)

    assert call.messages == []
