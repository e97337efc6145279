"""The streaming of the media server, handed whole messages as where it was measured (listenctl-protocol(7) 11, V11)."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listenctl.protocol.jambonz_model.mark_playout import MarkAnswer, PendingMark
from listenctl.protocol.jambonz_model.profiles import CURRENT, IDEAL, NEXT, Profile
from listenctl.protocol.jambonz_model.stream_playout import ExactStream, MediaServerStream, StreamTick
from tests.helpers.playout import SECOND, TICK_SAMPLES, LinearResampler, mark, streaming, tone, words


class Timeline:
    """A stream at 8 kHz that is stepped from its beginning; answers are kept with their milliseconds."""

    def __init__(self, stream: MediaServerStream | ExactStream) -> None:
        self.stream = stream
        self.ticks: list[StreamTick] = []
        self._marks = 0

    @property
    def answers(self) -> list[tuple[int, str, str]]:
        return [
            (20 * number, answer.mark.name, answer.event)
            for number, tick in enumerate(self.ticks)
            for answer in tick.answers
        ]

    @property
    def faults(self) -> dict[str, str]:
        return {answer.mark.name: answer.fault for tick in self.ticks for answer in tick.answers if answer.fault}

    @property
    def audible(self) -> list[int]:
        return [len(tick.audio) // 2 for tick in self.ticks]

    def mark(self, *names: str) -> None:
        for name in names:
            self._marks += 1
            self.stream.add_mark(PendingMark(self._marks, name))

    def run(self, ms: int) -> None:
        self.ticks += [self.stream.play_tick(TICK_SAMPLES) for _ in range(ms // 20)]


def current(sample_rate: int = 8000, call_rate: int = 8000) -> Timeline:
    return Timeline(MediaServerStream(sample_rate, call_rate, LinearResampler))


def exact() -> Timeline:
    return Timeline(ExactStream(8000, 8000, LinearResampler))


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
    # What the ratio does not divide stays.
    stream.add_samples(tone(2))
    assert stream.held == (sample_rate == 2 * call_rate)


def test_a_mark_in_front_takes_the_place_of_a_sample() -> None:
    line = current()

    line.mark("m0")
    line.stream.add_samples(tone(SECOND))
    line.mark("m1")
    line.run(2000)

    assert line.answers == [(0, "m0", "playout"), (1020, "m1", "playout")]
    assert line.audible[0] == 159
    assert b"".join(tick.audio for tick in line.ticks) == tone(SECOND)


def test_the_pre_buffer_survives_kill_and_plays_first() -> None:
    line = current()
    line.stream.add_samples(tone(1280))
    line.stream.add_samples(tone(600))

    line.stream.kill_audio()
    line.run(20)
    line.stream.add_samples(tone(1000, 2000))
    line.run(1000)

    assert b"".join(tick.audio for tick in line.ticks) == tone(600) + tone(1000, 2000)


def test_bytes_of_two_samples_that_look_like_a_marker_are_none() -> None:
    line = current()

    line.mark("a")
    line.stream.add_samples(b"\x00\xff\xff\x00" * 640)
    line.mark("b")
    line.stream.add_samples(tone(640))
    line.run(500)

    assert line.answers == [(0, "a", "playout"), (160, "b", "playout")]
    assert line.faults == {}


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


@pytest.mark.parametrize(
    ("sample_rate", "third", "answers"),
    [
        (16000, tone(16000), []),
        (24000, tone(24000), []),
        # Real samples of -1 answer what was lost.
        (24000, tone(12000) + tone(6, -1) + tone(11994), [(3500, "m0", "playout"), (3500, "m1", "playout")]),
    ],
)
def test_marks_are_lost_where_audio_is_sampled_down(
    sample_rate: int, third: bytes, answers: list[tuple[int, str, str]]
) -> None:
    line = current(sample_rate, 8000)

    for number in range(5):
        line.mark(f"m{number}")
        line.stream.add_samples(third if number == 3 else tone(sample_rate))
    line.run(6000)

    assert line.answers == answers
    assert sum(line.audible) == pytest.approx(5 * SECOND, abs=3)


def test_marks_are_answered_at_once_where_audio_is_sampled_up() -> None:
    line = current(8000, 16000)

    for number in range(5):
        line.mark(f"m{number}")
        line.stream.add_samples(tone(SECOND))
    line.run(6000)

    assert [name for _, name, _ in line.answers] == ["m0", "m1", "m2", "m3", "m4"]
    assert all(ms <= 100 for ms, _, _ in line.answers)
    assert set(line.faults.values()) == {"resampled"}


def test_exact_marks_are_answered_where_they_belong_and_are_not_limited() -> None:
    line = exact()

    for number in range(5):
        line.mark(f"m{number}")
        line.stream.add_samples(tone(1000) + b"\xff\xff" + tone(6999))
    line.mark(*["end"] * 40)
    line.run(6000)

    middle = [(1000 * number, f"m{number}", "playout") for number in range(5)]
    assert line.answers == middle + [(5000, "end", "playout")] * 40
    assert sum(line.audible) == 5 * SECOND


def test_an_exact_stream_plays_a_tail_at_once_and_kills_at_once() -> None:
    line = exact()

    line.stream.add_samples(tone(100))
    line.mark("a")
    line.stream.kill_audio()
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


@pytest.mark.parametrize("cleared_by", ["killAudio", "clearMarks"])
@pytest.mark.parametrize("profile", [CURRENT, IDEAL])
def test_the_names_of_cleared_marks_are_not_kept(profile: Profile, cleared_by: str) -> None:
    call = streaming(profile)
    clear = b'{"type": "%s"}' % cleared_by.encode()
    tracemalloc.start()
    try:
        for number in range(40):
            for _ in range(30):
                call.playout.take_text(mark(f"{number}" + "x" * 2000))
            call.playout.take_audio(tone(1400))
            call.playout.take_text(clear)
            if cleared_by == "killAudio":
                call.playout.play_tick()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    # The names of one round are 60 kB, of all 2.4 MB.
    assert kept < 1_000_000


def test_an_exact_stream_keeps_marks_up_to_a_limit() -> None:
    many, long = exact().stream, exact().stream
    for stream in many, long:
        stream.add_samples(tone(SECOND))

    assert sum(many.add_mark(PendingMark(number, "a")) for number in range(6000)) == 5000
    assert sum(long.add_mark(PendingMark(number, "a" * (1 << 20))) for number in range(40)) == 17


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


MARK = b'{"type":"mark","data":{"name":"my-mark-1"}}'
FRAME = tone(160)
TAIL_LOST, CUT_OFF, UNANSWERED = "truncated tail-held", "interrupted call-ended", "interrupted unanswered"


@pytest.mark.parametrize(
    ("sample_rate", "sent", "seconds", "expected"),
    [
        (8000, [], 2.0, []),
        # A tail is a fault when nothing has followed for 200 ms, but not while audio before it still plays.
        (8000, [FRAME * 3], 0.18, [(1, CUT_OFF, False)]),
        (8000, [FRAME * 3], 0.2, [(1, TAIL_LOST, True)]),
        (8000, [tone(16_000)], 1.0, [(1, CUT_OFF, False)]),
        (8000, [MARK, FRAME], 0.02, [(2, CUT_OFF, False), (1, UNANSWERED, False)]),
        (8000, [MARK, FRAME], 0.2, [(2, TAIL_LOST, True), (1, UNANSWERED, True)]),
        (8000, [bytes(2560), MARK], 0.0, [(1, CUT_OFF, False), (2, UNANSWERED, False)]),
        # Resampling has lost a mark as soon as it has left the pre-buffer.
        (24_000, [MARK, tone(480)], 0.0, [(2, CUT_OFF, False), (1, UNANSWERED, False)]),
        (24_000, [MARK, tone(24_000)], 0.0, [(2, CUT_OFF, False), (1, "interrupted resampled", True)]),
    ],
)
def test_what_is_left_at_the_end_is_a_fault_if_more_time_would_not_have_helped(
    sample_rate: int, sent: list[bytes], seconds: float, expected: list[tuple[int, str, bool]]
) -> None:
    call = streaming(sample_rate=sample_rate)
    call.send(*sent)

    verdicts = call.end(seconds)

    assert [(verdict.command, *words(verdict), verdict.wrong) for verdict in verdicts] == expected
    assert call.playout.play_tick().messages == ()


@pytest.mark.parametrize(
    ("sample_rate", "audio", "seconds", "sentence"),
    [
        (8000, tone(16_000), 1.0, "1.0 s of audio were still to be played when the call ended"),
        (8000, FRAME * 2, 0.0, "40 ms of audio were still to be played when the call ended"),
        # In pieces of 512 samples: 2560 are released and play for 160 ms, 1248 stay, which are 78 ms.
        (16_000, tone(2560 + 1248), 0.0, "0.2 s of audio were still to be played when the call ended"),
        # Zeros behind a tail are not counted.
        (8000, FRAME * 3 + bytes(320), 2.0, "the last 480 samples were never played"),
    ],
)
def test_the_audio_left_is_stated_in_time_or_samples(
    sample_rate: int, audio: bytes, seconds: float, sentence: str
) -> None:
    call = streaming(sample_rate=sample_rate)
    call.send(audio)

    (verdict,) = call.end(seconds)

    assert verdict.sentence.startswith(sentence)


@pytest.mark.parametrize("frames", range(1, 40))
def test_hanging_up_on_a_continuous_streamer_is_no_fault(frames: int) -> None:
    call = streaming()
    for _ in range(frames):
        call.playout.take_audio(FRAME)
        call.playout.play_tick()
    left = call.playout.buffered + call.playout.held

    verdicts = call.playout.end_listen()

    assert words(*verdicts) == (["interrupted call-ended"] if left else [])
    assert not any(verdict.wrong for verdict in verdicts)


@pytest.mark.parametrize("profile", [IDEAL, NEXT])
def test_without_a_pre_buffer_there_is_only_what_has_not_been_played(profile: Profile) -> None:
    cut, played = streaming(profile), streaming(profile)
    for call in (cut, played):
        call.send(tone(8000))

    assert words(*cut.end(0.5)) == ["interrupted call-ended"]
    assert played.end(1.2) == []


@pytest.mark.parametrize("profile", [CURRENT, IDEAL])
def test_a_mark_that_the_next_tick_would_answer_is_not_stuck(profile: Profile) -> None:
    call = streaming(profile)
    for _ in range(20):
        call.playout.play_tick()
    call.playout.take_text(MARK)

    (verdict,) = call.playout.end_listen()

    assert words(verdict) == ["interrupted unanswered"]
    assert not verdict.wrong


@pytest.mark.parametrize("frames", range(1, 20))
def test_an_application_that_ends_with_160_ms_of_zeros_has_no_tail(frames: int) -> None:
    call = streaming()
    call.playout.take_audio(FRAME * frames)
    call.playout.take_audio(bytes(2 * 1280))

    verdicts = call.end(2)

    assert verdicts == []


REMEDY = "stream at the call's own rate if you need marks"
DOWN, UP = "resampling from 24000 to 8000 Hz", "resampling from 8000 to 16000 Hz"


@pytest.mark.parametrize(
    ("rates", "sentence"),
    [
        ((24000, 8000), f"if more audio follows, {DOWN} will have lost its marker: {REMEDY}"),
        ((8000, 16000), f"if more audio follows, {UP} will have moved its marker: {REMEDY}"),
    ],
)
def test_the_first_mark_of_a_resampled_stream_brings_a_hint(rates: tuple[int, int], sentence: str) -> None:
    call = streaming(sample_rate=rates[0], call_rate=rates[1])

    verdicts = [call.playout.take_text(mark())[0] for _ in range(3)]

    assert words(*verdicts) == ["queued resampled", "queued", "queued"]
    assert verdicts[0].sentence == sentence
    assert not verdicts[0].wrong


@pytest.mark.parametrize(
    ("rates", "sent", "reason", "sentence"),
    [
        # Behind all audio a mark is answered in a resampled stream, too.
        ((24000, 8000), [tone(24000), mark()], "", "playout reached it"),
        # Halfway between the two values the resampler takes a sample: a -1 that nobody sent.
        (
            (12000, 8000),
            [mark(), (tone(1, -2) + tone(1, 0)) * 6000],
            "resampled",
            f"answered by chance, at a sample of value -1, since {DOWN.replace('24', '12')} lost its marker: {REMEDY}",
        ),
        (
            (8000, 16000),
            [tone(8000), mark(), tone(8000)],
            "resampled",
            f"answered early, since {UP} moved its marker: {REMEDY}",
        ),
        # At the call's own rate resampling is never the reason: the first -1 is the mark's own.
        ((8000, 8000), [mark(), tone(1280, -1)], "", "playout reached it"),
    ],
    ids=["behind all audio", "by chance", "early", "own rate"],
)
def test_an_answer_that_resampling_has_brought_is_named(
    rates: tuple[int, int], sent: list[bytes], reason: str, sentence: str
) -> None:
    call = streaming(sample_rate=rates[0], call_rate=rates[1])
    call.send(*sent)

    (verdict,) = call.run(1.2)

    assert words(verdict) == [f"finished {reason}".strip()]
    assert (verdict.sentence, verdict.wrong) == (sentence, bool(reason))


def test_a_mark_that_resampling_has_lost_is_named_at_the_end() -> None:
    call = streaming(sample_rate=24000)
    call.playout.take_text(mark("a"))
    call.playout.take_audio(tone(24000))
    call.playout.take_text(mark("b"))

    call.run(2)
    _, *verdicts = call.playout.end_listen()

    assert words(*verdicts) == ["interrupted resampled"] * 2
    assert [verdict.sentence for verdict in verdicts] == [
        f"never answered, since {DOWN} lost its marker: {REMEDY}",
        f"never answered, since {DOWN} lost the marker of one before it: {REMEDY}",
    ]
    assert [verdict.command for verdict in verdicts] == [1, 3]
    assert all(verdict.wrong for verdict in verdicts)


@pytest.mark.parametrize("profile", [CURRENT, IDEAL])
def test_an_endless_stream_is_kept_up_to_a_limit_and_heard_on_when_there_is_room(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("listenctl.protocol.jambonz_model.stream_playout.MAX_PLAYOUT_BYTES", 16_000)
    call = streaming(profile)

    assert [word for _ in range(5) for word in call.send(tone(SECOND))] == ["ignored too-long"]
    assert call.playout.buffered < 1.2
    call.run(0.6)
    assert call.send(tone(10)) == []
    call.run(2.0)
    assert call.send(*[tone(SECOND)] * 3) == ["ignored too-long"]
    assert not any(verdict.wrong for verdict in call.verdicts)
