"""
Find out how a call takes sound: only streaming answers a mark, and how long silence takes to play gives the rate.

That works only while nothing else plays: a mark waits for all audio before it (listenctl-protocol(7) 6.4). A busy
machine delays answers, which makes 24000 Hz look like 8000 Hz, so silences of two lengths must agree.
"""

import asyncio
from collections.abc import Sequence
from itertools import permutations
from uuid import uuid4

from listenctl.play_to_call.call_messages import CallMessages, PlaybackAnswer, wait_until
from listenctl.play_to_call.delivery_mode import KnownBy, ModeChoice, PlayMode
from listenctl.protocol.audio import SAMPLE_BYTES
from listenctl.protocol.call_sharing.tool_messages import Synced

IDLE_MARK_WAIT, BUSY_MARK_WAIT = 0.5, 2.0
"""Seconds to wait for a mark: it takes 20 to 45 ms (listenctl-protocol(7) 13), longer after other audio."""

# Whether the call has the stream's rate, half or a third of it, this leaves the pre-buffer without a rest, if it comes
# in messages of the length that is released at once (listenctl-protocol(7) 6.2).
_SILENT_SAMPLES = 3840
# A second length for each rate that the first one may mean, short but different enough if the rate is another one.
_CONFIRMING_SAMPLES = {8000: 1920, 16000: 7680, 24000: 7680}
_MEASUREMENTS = 8
_MESSAGE_SAMPLES = 640
_GRACE = 2.0
# An answer is late by a tick or two and by the transmission time, but never early.
_EARLY, _LATE = 0.01, 0.09
# Between two answers, lateness differs by a tick and a little; the wrong rate makes it differ by 40 ms and more.
_MAX_DIFFERENCE = 0.03
PROBED_RATES = tuple(_CONFIRMING_SAMPLES)


async def probe_mode(messages: CallMessages, choice: ModeChoice, synced: Synced) -> PlayMode | None:
    """
    Find out how a call takes sound, for the choice AUTO or STREAM; None if it is a stream whose rate isn't certain.

    Args:
        synced: the state of the call since it has been our turn to stream.
    """
    # Audio that others streamed at an unknown rate may still be playing.
    mark_wait = BUSY_MARK_WAIT if synced.playout is None else IDLE_MARK_WAIT
    if choice is ModeChoice.AUTO and await _send_mark(messages, mark_wait) is None:
        return PlayMode(0, KnownBy.PROBE)
    rate = await _probe_rate(messages)
    return None if rate is None else PlayMode(rate, KnownBy.PROBE)


async def _probe_rate(messages: CallMessages) -> int | None:
    """Measure until the rate is certain; None if it isn't in the end."""
    measured: list[tuple[int, float]] = []
    samples = _SILENT_SAMPLES
    while len(measured) < _MEASUREMENTS:
        begin = asyncio.get_running_loop().time()
        for _ in range(0, samples, _MESSAGE_SAMPLES):
            await messages.send_audio(bytes(_MESSAGE_SAMPLES * SAMPLE_BYTES))
        answer = await _send_mark(messages, samples / min(PROBED_RATES) + _GRACE)
        if answer is None:
            return None
        measured.append((samples, answer.at - begin))
        if rate := certain_rate(measured):
            return rate
        samples = _next_samples(*measured[-1])
    return None


def _next_samples(samples: int, seconds: float) -> int:
    if samples != _SILENT_SAMPLES:
        return _SILENT_SAMPLES
    possible = (rate for rate in PROBED_RATES if -_EARLY <= seconds - samples / rate <= _LATE)
    return _CONFIRMING_SAMPLES.get(next(possible, 0), _SILENT_SAMPLES)


def certain_rate(measured: Sequence[tuple[int, float]]) -> int | None:
    """Return the rate at which silences of so many samples took so many seconds, None if that isn't certain."""
    for rate in PROBED_RATES:
        late = [(samples, seconds - samples / rate) for samples, seconds in measured]
        if any(seconds < -_EARLY for _, seconds in late):
            continue
        fitting = [(samples, seconds) for samples, seconds in late if seconds <= _LATE]
        if any(
            one[0] < other[0] and abs(one[1] - other[1]) <= _MAX_DIFFERENCE for one, other in permutations(fitting, 2)
        ):
            return rate
    return None


async def _send_mark(messages: CallMessages, limit: float) -> PlaybackAnswer | None:
    deadline = asyncio.get_running_loop().time() + limit
    return await wait_until(await messages.send_mark(f"probe-{uuid4().hex[:12]}"), deadline)
