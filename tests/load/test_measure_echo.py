from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from listenctl.load.echo_pattern import BLOCK, CHIPS, PERIOD, block, block_samples, block_start, number_of
from listenctl.load.measure_echo import EchoCheck, EchoReader, EchoResult

RATES = [8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 64000]
SENT = 60


def pattern(sample_rate: int, blocks: int = SENT, first: int = 0) -> bytes:
    return b"".join(block(number, sample_rate) for number in range(first, first + blocks))


def amplified(data: bytes, gain: float) -> bytes:
    samples = np.frombuffer(data, "<i2") * gain
    return bytes(np.clip(np.round(samples), -32768, 32767).astype("<i2").tobytes())


def echoed(chunks: Sequence[bytes], sample_rate: int = 8000, delay: float = 0.0, sent: int = SENT) -> EchoResult:
    """Return the result for chunks, each at the time at which a server would have echoed it."""
    check = EchoCheck(sample_rate, start=100.0)
    received = 0
    for chunk in chunks:
        received += len(chunk)
        check.take_audio(chunk, 100.0 + delay + max(sent * BLOCK, received / 2 / sample_rate))
    return check.result(sent)


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    return [data[start:end] for start, end in pairwise([0, *sorted(places), len(data)])]


@pytest.mark.parametrize("sample_rate", RATES)
def test_a_block_lasts_20_ms_without_drift(sample_rate: int) -> None:
    assert len(pattern(sample_rate, 50)) == 2 * sample_rate
    assert all(len(block(number, sample_rate)) == 2 * block_samples(number, sample_rate) for number in range(50))
    assert block_start(PERIOD, sample_rate) * 50 == PERIOD * sample_rate or sample_rate == 11025


def test_the_pattern_has_no_sample_that_jambonz_takes_for_a_mark() -> None:
    assert -1 not in np.frombuffer(pattern(8000, PERIOD), "<i2")


def test_numbers_differ_in_six_bits_at_least() -> None:
    blocks = np.frombuffer(pattern(8000, PERIOD), "<i2").reshape(PERIOD, CHIPS, 4)[:, 13:, 0] > 0
    # The code is linear except for a constant, so the distances to one block are all distances.
    distances = (blocks != blocks[0]).sum(axis=1)

    assert distances[0] == 0
    assert distances[1:].min() == 6


def test_a_number_with_a_wrong_crc_is_refused() -> None:
    assert sum(number_of(chips) is not None for chips in range(1 << 14)) == 1


@pytest.mark.parametrize("sample_rate", RATES)
def test_an_untouched_echo_comes_back_whole(sample_rate: int) -> None:
    result = echoed([pattern(sample_rate)], sample_rate)

    assert (result.lost, result.out_of_order, result.repeated, result.inverted) == (0, 0, 0, 0)
    assert result.gain is not None
    assert (result.gain.min, result.gain.max) == (0.0, 0.0)


def test_delay_is_from_when_a_block_was_due_until_its_last_sample_was_back() -> None:
    check = EchoCheck(8000, start=5.0)

    check.take_audio(block(0, 8000), 5.010)
    check.take_audio(block(1, 8000)[:-2], 5.050)
    check.take_audio(block(1, 8000)[-2:], 5.120)

    result = check.result(2)
    assert result.delay is not None
    assert result.delay.min == pytest.approx(0.010)
    assert result.delay.max == pytest.approx(0.100)


@settings(deadline=None, max_examples=60)
@given(
    places=st.lists(st.integers(0, SENT * 320), max_size=40),
    gain_db=st.floats(-20, 12),
    inverted=st.booleans(),
    late=st.integers(0, 700),
)
def test_cuts_gain_and_offset_lose_nothing(places: list[int], gain_db: float, inverted: bool, late: int) -> None:
    factor = 10 ** (gain_db / 20) * (-1 if inverted else 1)
    # Silence before the echo, and chunks of any size, including half samples.
    data = bytes(2 * late) + amplified(pattern(8000), factor)

    result = echoed(cut(data, places))

    assert (result.lost, result.out_of_order, result.repeated) == (0, 0, 0)
    assert result.inverted == (SENT if inverted else 0)
    assert result.gain is not None
    assert result.gain.min == pytest.approx(gain_db, abs=0.05)
    assert result.gain.max == pytest.approx(gain_db, abs=0.05)


@settings(deadline=None, max_examples=100)
@given(
    start=st.integers(0, SENT * 160), length=st.integers(1, 2000), places=st.lists(st.integers(0, 19200), max_size=9)
)
def test_a_dropped_range_costs_exactly_the_blocks_that_it_touches(start: int, length: int, places: list[int]) -> None:
    data = pattern(8000)
    end = min(start + length, SENT * 160)
    touched = {sample // 160 for sample in range(start, end)}

    result = echoed(cut(data[: 2 * start] + data[2 * end :], places))

    # A missing first or last sample may equal its neighbour, which can't be detected.
    assert len(touched) - 2 <= result.lost <= len(touched)
    assert result.lost >= (end - start - 2) // 160
    assert (result.out_of_order, result.repeated) == (0, 0)


def test_one_missing_sample_costs_its_block_alone() -> None:
    for number in range(1, 40):
        data = bytearray(pattern(8000))
        del data[number * 320 + 100 : number * 320 + 102]

        assert echoed([bytes(data)]).lost == 1


def test_an_echo_that_starts_late_has_missed_its_start() -> None:
    result = echoed([pattern(8000)[2 * 500 :]])

    assert (result.lost, result.missed_at_start) == (4, 4)


def test_order_and_repetition_are_distinguished() -> None:
    blocks = [block(number, 8000) for number in (0, 1, 3, 2, 4, 4, 5)]

    result = echoed(blocks, sent=6)

    assert (result.lost, result.out_of_order, result.repeated) == (0, 1, 1)


@pytest.mark.parametrize(("call_rate", "echo_rate"), [(8000, 16000), (16000, 8000), (48000, 8000), (8000, 11025)])
def test_a_resampled_echo_is_read(call_rate: int, echo_rate: int) -> None:
    sent = np.frombuffer(pattern(call_rate), "<i2")
    data = soxr.resample(sent, call_rate, echo_rate).astype("<i2").tobytes()

    result = echoed([data], echo_rate)

    assert (result.lost, result.repeated, result.out_of_order) == (0, 0, 0)
    assert result.gain is not None
    assert abs(result.gain.mean) < 2


@pytest.mark.parametrize(
    "foreign",
    [
        bytes(40000),
        b"\xff\xff" * 20000,
        np.random.default_rng(1).bytes(400_000),
        # The echo with its bytes swapped.
        np.frombuffer(pattern(8000), "<i2").byteswap().tobytes(),
    ],
)
def test_other_audio_is_not_an_echo(foreign: bytes) -> None:
    result = echoed(cut(foreign, range(320, len(foreign), 320)))

    assert (result.lost, result.missed_at_start, result.repeated) == (SENT, SENT, 0)
    assert (result.delay, result.gain) == (None, None)


def test_numbers_that_come_again_are_new_blocks() -> None:
    check = EchoCheck(8000, start=0.0)

    for index in range(PERIOD + 10):
        check.take_audio(block(index, 8000), index * BLOCK + 0.3)

    result = check.result(PERIOD + 10)
    assert (result.lost, result.repeated, result.out_of_order) == (0, 0, 0)
    assert result.delay is not None
    assert result.delay.max == pytest.approx(0.3)


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_byte_by_byte_and_whole_find_the_same(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, 3000))
    sent = pattern(8000, 8)
    received = sent[:start] + sent[start + data.draw(st.integers(0, 900)) :]
    whole, single = EchoReader(8000), EchoReader(8000)

    at_once = whole.read_blocks(received, 1.0)
    one_by_one = [found for at in range(len(received)) for found in single.read_blocks(received[at : at + 1], 1.0)]

    assert one_by_one == at_once
