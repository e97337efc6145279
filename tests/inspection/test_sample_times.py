"""Where in time sound belongs."""

import pytest

from listenctl.inspection.sample_times import AudioTrack, SampleSpan, SampleTimes
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.gaps.gap_ledger import Gap, GapKind

MONO = AudioFormat(8000, 1)


def gap(kind: GapKind, position: int, missing: int) -> Gap:
    return Gap(kind, position, abs(missing) / 8000, 0.02, missing)


def places(frames: int, *, late: float = 0.0) -> SampleTimes:
    """Return places after so many frames of 20 ms, each of which came ``late`` but for one."""
    made = SampleTimes(MONO)
    for number in range(1, frames + 1):
        made.add_audio(1 + number * 0.02 + (late if number != 3 else 0), 160)
    return made


def test_audio_was_captured_before_it_came() -> None:
    made = places(50)

    assert made.origin == pytest.approx(1.0)
    assert made.end == pytest.approx(2.0)
    assert list(made.spans()) == [SampleSpan(made.origin, 0, 8000)]


def test_the_least_late_message_says_when_it_was() -> None:
    assert places(50, late=0.03).origin == pytest.approx(1.0)


def test_what_is_missing_moves_what_follows() -> None:
    made = places(50)

    made.add_gap(gap(GapKind.HOLE, 1600, 4000))

    assert [(round(span.at, 3), span.position, span.length) for span in made.spans()] == [
        (1.0, 0, 1600),
        (1.7, 1600, 6400),
    ]
    assert made.time_of(1599) == pytest.approx(1.2, abs=0.001)


def test_what_comes_after_all_was_not_missing() -> None:
    made = places(50)

    made.add_gap(gap(GapKind.PAUSE, 1600, 4000))
    made.add_gap(gap(GapKind.BURST, 3200, -1000))
    made.add_gap(gap(GapKind.BURST, 3200, -9000))

    assert [span.length for span in made.spans()] == [8000]


def test_late_metadata_changes_what_the_bytes_are() -> None:
    made = places(50)

    made.change_format(AudioFormat(8000, 2))
    made.add_audio(2.02, 160)

    assert made.samples == 4160
    assert made.origin == pytest.approx(2.02 - 4160 / 8000)


def test_times_that_are_years_apart_make_no_years_of_silence() -> None:
    made = places(50)
    for position in range(0, 8000, 160):
        made.add_gap(gap(GapKind.PAUSE, position, 8000 * 86_400 * 365))

    assert made.end < 90_000
    placed = AudioTrack(8000)
    assert placed.place_audio(1e12, bytes(320)) <= 8000 * 86_400
    assert placed.place_audio(1e12 + 0.02, bytes(320)) == 0


def test_pieces_that_follow_each_other_have_no_silence_between() -> None:
    placed = AudioTrack(8000)

    silences = [placed.place_audio(1 + number * 0.02 + 1e-9 * number, bytes(320)) for number in range(100)]

    assert silences == [8000, *[0] * 99]
    assert placed.place_audio(5.0, bytes(320)) == 2 * 8000


def test_a_piece_that_begins_too_early_follows_the_one_before() -> None:
    placed = AudioTrack(8000)
    placed.place_audio(0.0, bytes(1600))

    assert placed.place_audio(0.05, bytes(320)) == 0
    assert placed.samples == 960
