import pytest

from listenctl.inspection.sample_times import MAX_SILENCE, AudioTrack, SampleSpan, SampleTimes
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.gaps.gap import Gap, GapKind


def gap(kind: GapKind, position: int, missing: int) -> Gap:
    return Gap(kind, position, abs(missing) / 8000, 0.02, missing)


def times(*gaps: Gap, late: float = 0.0) -> SampleTimes:
    """Return the times after a second of audio from 1.0 s on, all but one message of which were ``late``."""
    made = SampleTimes(AudioFormat(8000, 1))
    for number in range(1, 51):
        made.add_audio(1 + number * 0.02 + (late if number != 3 else 0), 160)
    for one in gaps:
        made.add_gap(one)
    return made


@pytest.mark.parametrize("late", [0.0, 0.03])
def test_audio_was_captured_before_the_least_late_message_arrived(late: float) -> None:
    made = times(late=late)

    assert made.origin == pytest.approx(1.0)
    assert made.end == pytest.approx(2.0)
    assert list(made.spans()) == [SampleSpan(made.origin, 0, 8000)]


@pytest.mark.parametrize("run", [1, 7, 600])
def test_runs_of_messages_have_the_times_of_their_messages(run: int) -> None:
    # Twelve seconds; the origin is final after ten, so the earlier message after eleven doesn't move it.
    arrivals = [1 + number * 0.02 + {30: 0.0, 480: -0.005, 550: -0.01}.get(number, 0.03) for number in range(1, 601)]
    made = SampleTimes(AudioFormat(8000, 1))

    for start in range(0, len(arrivals), run):
        made.add_messages(arrivals[start : start + run], 160)

    assert made.origin == pytest.approx(0.995)
    assert made.samples == 600 * 160
    assert made.settled


def test_missing_audio_moves_the_audio_after_it() -> None:
    made = times(gap(GapKind.HOLE, 1600, 4000))

    assert [(round(span.at, 3), span.position, span.length) for span in made.spans()] == [
        (1.0, 0, 1600),
        (1.7, 1600, 6400),
    ]
    assert made.time_of(1599) == pytest.approx(1.2, abs=0.001)


def test_audio_that_arrives_in_a_burst_was_not_missing() -> None:
    made = times(gap(GapKind.PAUSE, 1600, 4000), gap(GapKind.BURST, 3200, -1000), gap(GapKind.BURST, 3200, -9000))

    assert [span.length for span in made.spans()] == [8000]


def test_late_metadata_changes_the_number_of_samples() -> None:
    made = times()

    made.change_format(AudioFormat(8000, 2))
    made.add_audio(2.02, 160)

    assert made.samples == 4160
    assert made.origin == pytest.approx(2.02 - 4160 / 8000)


def test_times_that_are_years_apart_do_not_make_years_of_silence() -> None:
    year = 8000 * 86_400 * 365
    track = AudioTrack(8000)
    sent = times(*(gap(GapKind.PAUSE, position, year) for position in range(0, 8000, 160)))

    assert sent.end < MAX_SILENCE + 10
    assert track.place_audio(1e12, bytes(320)) <= 8000 * MAX_SILENCE
    assert track.place_audio(1e12 + 0.02, bytes(320)) == 0
    assert sent.lacks_silence
    assert track.lacks_silence


def test_silence_separates_only_pieces_that_are_apart() -> None:
    track = AudioTrack(8000)

    silences = [track.place_audio(1 + number * 0.02 + 1e-9 * number, bytes(320)) for number in range(100)]

    assert silences == [8000, *[0] * 99]
    assert track.place_audio(5.0, bytes(320)) == 2 * 8000
    # A piece that overlaps the previous one follows it.
    assert track.place_audio(5.01, bytes(320)) == 0
    assert track.samples == 8000 + 100 * 160 + 16_000 + 320
