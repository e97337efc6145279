"""The streaming of the media server, handed whole messages as where it was measured (listenctl-protocol(7) 11, V11)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listenctl.protocol.audio import LinearResampler
from listenctl.protocol.jambonz_model.mark_playout import MarkAnswer, PendingMark
from listenctl.protocol.jambonz_model.stream_playout import ExactStream, MediaServerStream
from tests.helpers.playout import SECOND, Timeline, tone


def current(sample_rate: int = 8000, call_rate: int = 8000) -> Timeline:
    return Timeline(MediaServerStream(sample_rate, call_rate, LinearResampler))


def exact(sample_rate: int = 8000) -> Timeline:
    return Timeline(ExactStream(sample_rate, 8000, LinearResampler))


def test_audio_waits_until_the_pre_buffer_is_full() -> None:
    line = current()

    for _ in range(7):
        line.stream.add_samples(tone(160))
    line.run(100)
    assert sum(line.audible) == 0

    line.stream.add_samples(tone(160))
    line.run(200)
    assert line.audible[5:] == [160] * 8 + [0, 0]


def test_the_tail_stays_until_more_audio_comes() -> None:
    line = current()
    line.stream.add_samples(tone(1280))
    line.run(160)

    for _ in range(3):
        line.stream.add_samples(tone(160))
    line.run(1000)
    assert (line.stream.held, sum(line.audible)) == (480, 1280)

    line.stream.add_samples(tone(160))
    line.run(80)
    assert (line.stream.held, line.audible[-4:]) == (0, [160] * 4)


@pytest.mark.parametrize(
    ("sample_rate", "call_rate", "first", "later"),
    [(8000, 8000, 1280, 640), (16000, 8000, 2560, 1280), (16000, 16000, 1280, 640), (24000, 16000, 1280, 640)],
)
def test_the_pre_buffer_grows_with_the_ratio_of_the_rates(
    sample_rate: int, call_rate: int, first: int, later: int
) -> None:
    stream = current(sample_rate, call_rate).stream

    stream.add_samples(tone(first - 1))
    assert (stream.held, stream.buffered) == (first - 1, 0)
    stream.add_samples(tone(1))
    assert stream.held == 0
    buffered = stream.buffered
    stream.add_samples(tone(later - 1))
    assert (stream.held, stream.buffered) == (later - 1, buffered)
    stream.add_samples(tone(1))
    assert stream.held == 0


def test_what_the_ratio_of_the_rates_does_not_divide_stays_in_the_pre_buffer() -> None:
    stream = current(16000, 8000).stream

    stream.add_samples(tone(2561))

    assert stream.held == 1


def test_a_mark_behind_all_audio_is_answered_when_nothing_is_left() -> None:
    line = current()

    line.stream.add_samples(tone(SECOND))
    line.mark("m1")
    line.run(2000)

    assert line.answers == [(1000, "m1", "playout")]


def test_a_mark_in_front_takes_the_place_of_a_sample() -> None:
    line = current()

    line.mark("m0")
    line.stream.add_samples(tone(SECOND))
    line.mark("m1")
    line.run(2000)

    assert line.answers == [(0, "m0", "playout"), (1020, "m1", "playout")]
    assert line.audible[0] == 159
    assert b"".join(tick.audio for tick in line.ticks) == tone(SECOND)


def test_idle_marks_are_answered_one_a_tick_and_dropped_beyond_thirty() -> None:
    line = current()

    line.mark(*(f"m{number}" for number in range(40)))
    line.run(2000)

    assert line.answers == [(20 * number, f"m{number}", "playout") for number in range(30)]


def test_marks_are_stuck_with_the_audio_behind_them() -> None:
    line = current()

    line.stream.add_samples(tone(1280))
    line.mark("x")
    line.stream.add_samples(tone(160))
    line.mark("y")
    line.run(5000)

    assert line.answers == []
    assert line.stream.held == 161
    assert [mark.name for mark in line.stream.outstanding] == ["x", "y"]


def test_kill_answers_all_marks_as_cleared_in_order() -> None:
    line = current()

    line.stream.add_samples(tone(SECOND))
    line.mark("a")
    line.stream.add_samples(tone(SECOND))
    line.mark("b")
    line.run(100)
    line.stream.kill()
    line.run(3000)

    assert line.answers == [(100, "a", "cleared"), (100, "b", "cleared")]
    assert sum(line.audible) == 800


def test_after_kill_later_marks_are_answered_in_the_place_of_others() -> None:
    line = current()
    line.mark("a")
    line.stream.add_samples(tone(SECOND))
    line.mark("b")
    line.stream.add_samples(tone(SECOND))
    line.run(200)
    line.stream.kill()
    line.run(20)

    line.mark("c")
    line.stream.add_samples(tone(SECOND))
    line.mark("d")
    line.stream.add_samples(tone(SECOND))
    line.run(5000)

    # The second second begins 8001 samples after 220 ms.
    assert line.answers == [(0, "a", "playout"), (200, "b", "cleared"), (1220, "c", "playout")]
    assert line.faults == {"c": "shifted"}
    assert [mark.name for mark in line.stream.outstanding] == ["d"]


def test_audio_right_after_kill_is_cleared_with_the_rest() -> None:
    line = current()
    line.stream.add_samples(tone(SECOND))
    line.run(100)

    line.stream.kill()
    line.stream.add_samples(tone(1600, 2000))
    line.run(1000)

    assert sum(line.audible[5:]) == 0
    assert line.ticks[5].killed == 1600


def test_audio_a_tick_after_kill_is_heard() -> None:
    line = current()
    line.stream.add_samples(tone(SECOND))
    line.run(100)

    line.stream.kill()
    line.run(20)
    line.stream.add_samples(tone(1600, 2000))
    line.run(1000)

    assert b"".join(tick.audio for tick in line.ticks[5:]) == tone(1600, 2000)
    assert line.ticks[5].killed == 0


def test_the_pre_buffer_survives_kill_and_plays_first() -> None:
    line = current()
    line.stream.add_samples(tone(1280))
    line.stream.add_samples(tone(600))

    line.stream.kill()
    line.run(20)
    line.stream.add_samples(tone(1000, 2000))
    line.run(1000)

    assert b"".join(tick.audio for tick in line.ticks) == tone(600) + tone(1000, 2000)


def test_real_samples_of_minus_one_answer_marks_early() -> None:
    line = current()

    for number in range(5):
        line.stream.add_samples(tone(1000) + b"\xff\xff" + tone(6999))
        line.mark(f"m{number}")
    line.run(6000)

    assert line.answers == [
        (120, "m0", "playout"),
        (1000, "m1", "playout"),
        (1120, "m2", "playout"),
        (2000, "m3", "playout"),
        (5020, "m4", "playout"),
    ]
    assert line.faults == {"m0": "sample-value", "m1": "shifted", "m2": "sample-value", "m3": "shifted"}


def test_bytes_of_two_samples_that_look_like_a_marker_are_none() -> None:
    line = current()

    line.mark("a")
    line.stream.add_samples(b"\x00\xff\xff\x00" * 640)
    line.mark("b")
    line.stream.add_samples(tone(640))
    line.run(500)

    assert line.answers == [(0, "a", "playout"), (160, "b", "playout")]
    assert line.faults == {}


def test_minus_one_is_just_a_sample_while_no_mark_is_in_use() -> None:
    line = current()

    line.stream.add_samples(tone(1280, -1))
    line.run(160)

    assert b"".join(tick.audio for tick in line.ticks) == tone(1280, -1)


def test_clear_marks_answers_nothing_and_swallows_later_marks() -> None:
    line = current()
    line.mark("a")
    line.stream.add_samples(tone(SECOND))
    line.mark("b")
    assert [mark.name for mark in line.stream.forget_marks()] == ["a", "b"]

    line.mark("c")
    line.stream.add_samples(tone(SECOND))
    line.mark("d")
    line.run(5000)

    # The marker of `a` uses up the first of the two that were cleared, that of `c` the second.
    assert line.answers == []
    assert [mark.name for mark in line.stream.outstanding] == ["c", "d"]


@pytest.mark.parametrize("sample_rate", [16000, 24000])
def test_marks_are_lost_where_audio_is_sampled_down(sample_rate: int) -> None:
    line = current(sample_rate, 8000)

    for number in range(5):
        line.mark(f"m{number}")
        line.stream.add_samples(tone(sample_rate))
    line.run(6000)

    assert line.answers == []
    assert sum(line.audible) == pytest.approx(5 * SECOND, abs=2)


def test_real_samples_of_minus_one_answer_lost_marks() -> None:
    line = current(24000, 8000)

    for number in range(5):
        line.mark(f"m{number}")
        line.stream.add_samples(tone(24000) if number != 3 else tone(12000) + tone(6, -1) + tone(11994))
    line.run(6000)

    assert line.answers == [(3500, "m0", "playout"), (3500, "m1", "playout")]


def test_marks_are_answered_at_once_where_audio_is_sampled_up() -> None:
    line = Timeline(MediaServerStream(8000, 16000, LinearResampler))

    for number in range(5):
        line.mark(f"m{number}")
        line.stream.add_samples(tone(SECOND))
    line.run(6000)

    assert [name for _, name, _ in line.answers] == ["m0", "m1", "m2", "m3", "m4"]
    assert all(ms <= 100 for ms, _, _ in line.answers)
    assert set(line.faults.values()) == {"resampled"}


def test_exact_marks_are_answered_where_they_belong() -> None:
    line = exact()

    for number in range(5):
        line.mark(f"m{number}")
        line.stream.add_samples(tone(1000) + b"\xff\xff" + tone(6999))
    line.mark("end")
    line.run(6000)

    assert line.answers == [
        *((1000 * number, f"m{number}", "playout") for number in range(5)),
        (5000, "end", "playout"),
    ]
    assert sum(line.audible) == 5 * SECOND


def test_exact_marks_survive_resampling_and_are_not_limited() -> None:
    line = exact(16000)

    line.stream.add_samples(tone(16000))
    line.mark(*(f"m{number}" for number in range(40)))
    line.run(2000)

    assert [ms for ms, _, _ in line.answers] == [1000] * 40


def test_an_exact_stream_plays_a_tail_at_once_and_kills_at_once() -> None:
    line = exact()

    line.stream.add_samples(tone(100))
    line.mark("a")
    line.stream.kill()
    line.stream.add_samples(tone(50, 2000))
    line.mark("b")
    line.run(60)

    assert line.ticks[0].audio == tone(50, 2000)
    assert line.answers == [(0, "a", "cleared"), (0, "b", "playout")]


def test_an_exact_stream_forgets_marks_without_a_trace() -> None:
    line = exact()

    line.stream.add_samples(tone(SECOND))
    line.mark("a")
    assert line.stream.forget_marks() == (PendingMark(1, "a"),)
    line.mark("b")
    line.run(1200)

    assert line.answers == [(1000, "b", "playout")]


@given(st.lists(st.integers(0, 2000), max_size=20))
def test_without_marks_what_is_heard_is_the_beginning_of_what_was_sent(sizes: list[int]) -> None:
    line = current()
    sent = b""

    for number, size in enumerate(sizes):
        line.stream.add_samples(tone(size, number - 5))
        sent += tone(size, number - 5)
        line.run(40)
    line.run(5000)

    heard = b"".join(tick.audio for tick in line.ticks)
    assert sent.startswith(heard)
    assert len(sent) == len(heard) + 2 * line.stream.held
    assert line.stream.held < 1280


def test_an_answer_says_which_of_two_marks_of_a_name_it_is() -> None:
    line = current()

    line.mark("same", "same")
    line.run(40)

    assert [tick.answers for tick in line.ticks] == [
        (MarkAnswer(PendingMark(1, "same"), "playout"),),
        (MarkAnswer(PendingMark(2, "same"), "playout"),),
    ]
