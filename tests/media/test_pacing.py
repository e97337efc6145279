import pytest
from hypothesis import given
from hypothesis import strategies as st

from listenctl.media.pacing import Pacer, SystemClock
from tests.helpers.clock import FakeClock


async def test_late_wakeup_does_not_shift_later_chunks() -> None:
    clock = FakeClock()
    pacer = Pacer(sample_rate=8000, clock=clock)
    sent = []

    for lateness in (0.0, 0.015, 0.0):
        await pacer.wait_for_chunk(samples=160)
        sent.append(clock.now())
        clock.advance(lateness)

    # Deadlines count from the start of the call, so a late chunk costs nothing.
    assert sent == [0.0, 0.02, 0.04]


async def test_the_stream_starts_at_the_first_wait() -> None:
    clock = FakeClock(start=1000.0)
    pacer = Pacer(sample_rate=8000, clock=clock)

    clock.advance(3.0)
    await pacer.wait_for_chunk(160)
    await pacer.wait_for_chunk(160)

    assert clock.now() == 1003.02


async def test_missed_deadlines_are_told_until_caught_up() -> None:
    clock = FakeClock()
    pacer = Pacer(sample_rate=8000, clock=clock)
    await pacer.wait_for_chunk(160)
    clock.advance(0.05)

    lateness = [round(await pacer.wait_for_chunk(160), 6) for _ in range(4)]

    assert lateness == [0.03, 0.01, 0.0, 0.0]
    assert clock.now() == 0.08


async def test_no_samples_wait_for_the_end_of_the_audio() -> None:
    clock = FakeClock()
    pacer = Pacer(sample_rate=16000, clock=clock)

    await pacer.wait_for_chunk(16000)
    await pacer.wait_for_chunk(0)
    await pacer.wait_for_chunk(0)

    assert clock.now() == 1.0


@given(rate=st.sampled_from([8000, 11025, 44100]), chunks=st.lists(st.integers(0, 4000), max_size=50))
async def test_nothing_drifts(rate: int, chunks: list[int]) -> None:
    clock = FakeClock()
    pacer = Pacer(sample_rate=rate, clock=clock)

    for samples in chunks:
        await pacer.wait_for_chunk(samples)
    await pacer.wait_for_chunk(0)

    assert abs(clock.now() - sum(chunks) / rate) < 1e-9


@pytest.mark.simulated_time
async def test_the_system_clock_is_that_of_the_event_loop() -> None:
    clock = SystemClock()

    before = clock.now()
    await clock.sleep(100)

    assert clock.now() - before == 100
