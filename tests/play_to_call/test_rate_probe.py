import asyncio
from collections.abc import Iterator
from itertools import cycle

import pytest

from listenctl.play_to_call.call_messages import CallMessages, PlaybackAnswer
from listenctl.play_to_call.delivery_mode import KnownBy, ModeChoice, PlayMode
from listenctl.play_to_call.rate_probe import certain_rate, probe_mode
from listenctl.protocol.call_sharing.tool_messages import Synced

SHORT, LONG = 3840, 7680


@pytest.mark.parametrize(
    ("measured", "rate"),
    [
        ([(SHORT, 0.52), (LONG, 1.02)], 8000),
        ([(SHORT, 0.29), (LONG, 0.55)], 16000),
        ([(SHORT, 0.2), (LONG, 0.35)], 24000),
        # One measurement could be a delayed answer, and two of the same length can be delayed alike.
        ([(SHORT, 0.48)], None),
        ([(SHORT, 0.48), (SHORT, 0.5)], None),
        # 24000 Hz, with an answer that the machine delayed by 0.32 s.
        ([(SHORT, 0.48), (LONG, 0.35)], None),
        ([(SHORT, 0.48), (LONG, 0.35), (SHORT, 0.17)], 24000),
        ([(SHORT, 0.48), (LONG, 0.96), (SHORT, 0.17)], None),
        ([(SHORT, 0.02), (LONG, 0.03)], None),
        ([(SHORT, 0.4), (LONG, 0.8)], None),
        ([], None),
    ],
)
def test_two_silences_of_different_lengths_must_agree(measured: list[tuple[int, float]], rate: int | None) -> None:
    assert certain_rate(measured) == rate


class DelayedCall(CallMessages):
    """A call that streams at a rate, with the pre-buffer of the media server, and answers each mark late."""

    def __init__(self, rate: int, delays: Iterator[float], *, factor: int = 1) -> None:
        self._now = asyncio.get_running_loop().time
        self._rate = rate
        self._delays = delays
        self._factor = factor
        self._threshold = 1280 * factor
        self._held = 0
        self._plays_until = 0.0
        self.audio = b""

    async def send_audio(self, data: bytes) -> None:
        self.audio += data
        self._held += len(data) // 2
        if self._held >= self._threshold:
            self._plays_until = max(self._now(), self._plays_until) + self._held / self._rate
            self._held, self._threshold = 0, 640 * self._factor

    async def send_mark(self, name: str) -> asyncio.Future[PlaybackAnswer]:
        assert name.startswith("probe-")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[PlaybackAnswer] = loop.create_future()
        at = max(self._now(), self._plays_until) + next(self._delays)
        loop.call_at(at, lambda: answer.set_result(PlaybackAnswer(at, None)))
        return answer


@pytest.mark.parametrize(
    ("rate", "factor", "delays", "mode"),
    [
        (8000, 1, [0.03, 0.03], 8000),
        (16000, 2, [0.03, 0.04], 16000),
        (16000, 1, [0.03, 0.02], 16000),
        (24000, 3, [0.03, 0.03], 24000),
        # A busy machine, on which 24000 Hz was taken for 8000 Hz.
        (24000, 3, [0.32, 0.03, 0.03, 0.03], 24000),
        (24000, 3, [0.32, 0.03, 0.3, 0.02, 0.03], 24000),
        (16000, 2, [0.24, 0.36, 0.02, 0.02], 16000),
        (8000, 1, [0.2] * 8, None),
        (8000, 1, [9.0], None),
    ],
)
@pytest.mark.simulated_time
async def test_the_rate_is_measured_until_it_is_certain(
    rate: int, factor: int, delays: list[float], mode: int | None
) -> None:
    call = DelayedCall(rate, iter(delays), factor=factor)

    found = await probe_mode(call, ModeChoice.STREAM, Synced.parse({}))

    assert found == (None if mode is None else PlayMode(mode, KnownBy.PROBE))
    assert not call.audio.strip(b"\0")


@pytest.mark.parametrize(("rate", "factor"), [(8000, 1), (16000, 1), (16000, 2), (24000, 1), (24000, 3)])
@pytest.mark.simulated_time
async def test_a_machine_that_delays_all_answers_alike_never_gives_a_wrong_rate(rate: int, factor: int) -> None:
    for delay in range(20, 1000, 5):
        for jitter in (0.0, 0.02):
            delays = cycle([delay / 1000, delay / 1000 + jitter, delay / 1000])
            found = await probe_mode(DelayedCall(rate, delays, factor=factor), ModeChoice.STREAM, Synced.parse({}))

            assert found is None or found.sample_rate == rate, delay
            assert found is not None or delay > 60
