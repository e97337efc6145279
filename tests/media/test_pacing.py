import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listenctl.media.pacing import Pacer
from tests.helpers.simulated_time import simulated_loop

pytestmark = pytest.mark.simulated_time


def passed(begin: float) -> float:
    return round(simulated_loop().time() - begin, 9)


async def test_a_late_wakeup_does_not_shift_later_chunks() -> None:
    pacer, begin, sent = Pacer(8000), simulated_loop().time(), []

    for lateness in (0.0, 0.015, 0.0):
        await pacer.wait_for_chunk(160)
        sent.append(passed(begin))
        simulated_loop().advance(lateness)

    assert sent == [0.0, 0.02, 0.04]


async def test_the_stream_starts_with_the_first_chunk() -> None:
    pacer = Pacer(8000)
    await asyncio.sleep(3)
    begin = simulated_loop().time()

    await pacer.wait_for_chunk(160)
    await pacer.wait_for_chunk(160)

    assert passed(begin) == 0.02


async def test_lateness_is_returned_until_the_stream_has_caught_up() -> None:
    pacer, begin = Pacer(8000), simulated_loop().time()
    await pacer.wait_for_chunk(160)
    simulated_loop().advance(0.05)

    lateness = [round(await pacer.wait_for_chunk(160), 6) for _ in range(4)]

    assert lateness == [0.03, 0.01, 0.0, 0.0]
    assert passed(begin) == 0.08


@given(rate=st.sampled_from([8000, 11025, 44100]), chunks=st.lists(st.integers(0, 4000), max_size=50))
async def test_nothing_drifts_up_to_the_end_of_the_audio(rate: int, chunks: list[int]) -> None:
    pacer, begin = Pacer(rate), simulated_loop().time()

    for samples in chunks:
        await pacer.wait_for_chunk(samples)
    await pacer.wait_for_chunk(0)
    await pacer.wait_for_chunk(0)

    assert passed(begin) == pytest.approx(sum(chunks) / rate, abs=1e-6)
