"""How bars move and what they look like, on a clock of the test's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from listenctl.media.measure_levels import FLOOR_DB, Level, Levels
from listenctl.terminal.level_meter import ChannelLevel, LevelDelay, MeterBallistics, draw_bar, draw_bars
from listenctl.terminal.printable_text import TextStyle, unpainted

PLAIN = TextStyle(color=False)
ASCII = TextStyle(color=False, unicode=False)


def windows(*peaks: float) -> list[Levels]:
    return [(Level(peak_db=peak, rms_db=peak - 10),) for peak in peaks]


def peak(levels: Levels | None) -> float | None:
    return levels[0].peak_db if levels else None


@pytest.fixture
def playback() -> LevelDelay:
    return LevelDelay(window=0.1, delay=0.5)


def test_a_batch_plays_back_window_by_window(playback: LevelDelay) -> None:
    playback.add_windows(10.0, windows(-1, -2, -3, -4))

    assert [peak(playback.levels_at(t)) for t in (10.05, 10.15, 10.25, 10.35, 10.45)] == [None, -1, -2, -3, -4]


def test_batches_join_without_a_seam_although_they_jitter(playback: LevelDelay) -> None:
    playback.add_windows(10.0, windows(-1, -2))
    playback.add_windows(10.17, windows(-3, -4))

    shown = [peak(playback.levels_at(t)) for t in (10.35, 10.45, 10.55, 10.65)]

    assert shown == [-1, -2, -3, -4]


def test_the_loudest_of_several_windows_shows_when_frames_are_late(playback: LevelDelay) -> None:
    playback.add_windows(
        10.0, [(Level(-40, -50),), (Level(-3, -20, clipped=True),), (Level(-30, -19),), (Level(-9, -9),)]
    )

    assert playback.levels_at(10.45) == (Level(-3, -9, clipped=True),)


def test_the_window_stays_until_the_next_and_then_there_is_silence(playback: LevelDelay) -> None:
    playback.add_windows(10.0, windows(-5))

    assert [peak(playback.levels_at(t)) for t in (10.42, 10.48, 10.58, 10.72)] == [-5, -5, -5, None]


def test_a_backlog_is_not_shown_late_for_good(playback: LevelDelay) -> None:
    playback.add_windows(10.0, windows(*[-20] * 50))
    playback.add_windows(10.1, windows(*[-20] * 50))
    playback.add_windows(10.2, windows(-6))

    assert peak(playback.levels_at(10.65)) == -6


def test_an_empty_batch_changes_nothing(playback: LevelDelay) -> None:
    playback.add_windows(10.0, windows(-5))
    playback.add_windows(20.0, [])

    assert peak(playback.levels_at(10.45)) == -5


def test_bar_rises_at_once_and_falls_at_40_db_a_second() -> None:
    ballistics = MeterBallistics(channels=1)

    levels = [
        ballistics.update_levels(heard, t)[0].level_db for heard, t in (((Level(-10),), 0.0), (None, 0.5), (None, 9.0))
    ]

    assert levels == pytest.approx([-10, -30, FLOOR_DB])


def test_peak_holds_for_a_second_and_a_half_and_then_falls_at_20_db_a_second() -> None:
    ballistics = MeterBallistics(channels=1)
    ballistics.update_levels((Level(-10),), 0.0)

    held = [ballistics.update_levels(None, t)[0].peak_hold_db for t in (1.0, 1.5, 2.0, 2.5, 60.0)]

    assert held == pytest.approx([-10, -10, -20, -30, FLOOR_DB])


def test_a_louder_peak_is_held_anew() -> None:
    ballistics = MeterBallistics(channels=1)
    ballistics.update_levels((Level(-20),), 0.0)
    ballistics.update_levels((Level(-10),), 1.0)

    [channel] = ballistics.update_levels(None, 2.4)

    assert channel.peak_hold_db == -10


def test_clipping_stays_lit_for_two_seconds() -> None:
    ballistics = MeterBallistics(channels=1)
    ballistics.update_levels((Level(0, 0, clipped=True),), 5.0)

    assert [ballistics.update_levels(None, t)[0].clipped for t in (6.9, 7.0)] == [True, False]


def test_channels_move_apart() -> None:
    left, right = MeterBallistics(channels=2).update_levels((Level(-10), Level(-50)), 0.0)

    assert (left.level_db, right.level_db) == (-10, -50)


@pytest.mark.parametrize(
    ("channel", "width", "style", "drawn"),
    [
        (ChannelLevel(), 12, PLAIN, "············"),
        (ChannelLevel(-30, -30), 12, PLAIN, "██████│·····"),
        (ChannelLevel(-32.5, -12), 12, PLAIN, "█████▌···│··"),
        (ChannelLevel(0, 0), 12, PLAIN, "████████████"),
        (ChannelLevel(6, 9), 12, PLAIN, "████████████"),
        (ChannelLevel(-30, -5, clipped=True), 12, PLAIN, "██████··CLIP"),
        (ChannelLevel(-30, -30, clipped=True), 4, PLAIN, "██│!"),
        (ChannelLevel(-30, -5), 12, ASCII, "######.....|"),
        (ChannelLevel(0, 0), 20, TextStyle(), f"\x1b[32m{'█' * 17}\x1b[0m\x1b[33m██\x1b[0m\x1b[31m█\x1b[0m"),
    ],
)
def test_bar(channel: ChannelLevel, width: int, style: TextStyle, drawn: str) -> None:
    assert draw_bar(channel, width, style) == drawn


@pytest.mark.parametrize(("width", "drawn"), [(20, "L ███████  R ·······"), (9, "████ ····")])
def test_stereo_has_labels_if_they_fit(width: int, drawn: str) -> None:
    assert draw_bars((ChannelLevel(0, 0), ChannelLevel()), width, PLAIN) == drawn


@given(
    level=st.floats(-100, 10),
    hold=st.floats(-100, 10),
    clipped=st.booleans(),
    channels=st.integers(1, 2),
    width=st.integers(3, 80),
    style=st.builds(TextStyle, color=st.booleans(), unicode=st.booleans()),
)
def test_bars_have_exactly_the_width(
    level: float, hold: float, clipped: bool, channels: int, width: int, style: TextStyle
) -> None:
    drawn = draw_bars((ChannelLevel(level, hold, clipped),) * channels, width, style)

    assert cell_len(unpainted(drawn)) == width
    assert style.unicode or drawn.isascii()
