import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listenctl.media.measure_levels import FLOOR_DB, Level, LevelMeasurer, measure_levels
from listenctl.protocol.audio import AudioFormat


def samples(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}h", *values)


@pytest.mark.parametrize(
    ("values", "peak_db", "rms_db", "clipped"),
    [
        ((16384, -16384, 16384, -16384), -6.02, -6.02, False),
        ((16384, 0, 0, 0), -6.02, -12.04, False),
        ((-32768, -32768), 0.0, 0.0, True),
        # The loudest sample of µ-law clips.
        ((0, 32124), -0.17, -3.18, True),
        ((0, -32124), -0.17, -3.18, True),
        ((0, 32123), -0.17, -3.18, False),
        # FreeSWITCH fills with -1.
        ((-1,) * 160, FLOOR_DB, FLOOR_DB, False),
        ((0,) * 160, FLOOR_DB, FLOOR_DB, False),
        ((1,) * 160, FLOOR_DB, FLOOR_DB, False),
    ],
)
def test_levels_are_relative_to_full_scale(
    values: tuple[int, ...], peak_db: float, rms_db: float, clipped: bool
) -> None:
    [(level,)] = measure_levels(samples(*values), channels=1, window_samples=len(values))

    assert (level.peak_db, level.rms_db) == pytest.approx((peak_db, rms_db), abs=0.01)
    assert level.clipped is clipped


def test_channels_are_measured_apart() -> None:
    [(left, right)] = measure_levels(samples(16384, 0, 16384, 0), channels=2, window_samples=2)

    assert left.peak_db == pytest.approx(-6.02, abs=0.01)
    assert right == Level()


def test_windows_come_in_order() -> None:
    levels = measure_levels(samples(0, 0, 32767, 32767, 0, 0), channels=1, window_samples=2)

    assert [channel.clipped for (channel,) in levels] == [False, True, False]


@pytest.mark.parametrize("pcm", [b"", b"\x00", samples(1, 2, 3)])
def test_less_than_a_window_gives_nothing(pcm: bytes) -> None:
    assert measure_levels(pcm, channels=1, window_samples=4) == []


@pytest.mark.parametrize(("rate", "window"), [(8000, 0.1), (11025, 1102 / 11025), (4, 0.25)])
def test_a_window_lasts_a_whole_number_of_samples(rate: int, window: float) -> None:
    assert LevelMeasurer(AudioFormat(rate, 1)).window == pytest.approx(window)


@given(pcm=st.binary(max_size=400), cuts=st.lists(st.integers(1, 50), max_size=20))
def test_pieces_of_any_size_give_the_same_levels_as_the_whole(pcm: bytes, cuts: list[int]) -> None:
    meter = LevelMeasurer(AudioFormat(80, 2))
    rest = pcm
    levels = []

    for cut in cuts:
        levels += meter.feed(rest[:cut])
        rest = rest[cut:]
    levels += meter.feed(rest)

    assert levels == measure_levels(pcm, channels=2, window_samples=8)
