"""
Find out how a call takes sound: only streaming answers a mark, and how long silence takes to play gives the rate.

That works only while nothing else plays: a mark waits for all audio before it (listenctl-protocol(7) 6.4).
"""

import asyncio
from collections.abc import Callable
from uuid import uuid4

from listenctl.play_to_call.call_messages import CallMessages, PlaybackAnswer, wait_until
from listenctl.play_to_call.delivery_mode import KnownBy, ModeChoice, PlayMode
from listenctl.protocol.audio import SAMPLE_BYTES
from listenctl.protocol.call_sharing.tool_messages import Synced

GUESSED_RATE = 8000
IDLE_MARK_WAIT, BUSY_MARK_WAIT = 0.5, 2.0
"""Seconds to wait for a mark: it takes 20 to 45 ms (listenctl-protocol(7) 13), longer after other audio."""

# Whether the call has the stream's rate, half or a third of it, this leaves the pre-buffer without a rest.
_SILENT_SAMPLES = 3840
_GRACE = 0.4
# An answer is late by a tick or two and by the transmission time, but never early.
_EARLY, _LATE = 0.01, 0.09
_RATES = (8000, 16000, 24000)


async def probe_mode(
    messages: CallMessages, choice: ModeChoice, synced: Synced, *, notify: Callable[[str], None] = lambda _: None
) -> PlayMode:
    """
    Find out how a call takes sound, for the choice AUTO or STREAM.

    Args:
        synced: the state of the call since it has been our turn to stream.
    """
    # Audio that others streamed at an unknown rate may still be playing.
    mark_wait = BUSY_MARK_WAIT if synced.playout is None else IDLE_MARK_WAIT
    if choice is ModeChoice.AUTO and await _send_mark(messages, mark_wait) is None:
        return PlayMode(0, KnownBy.PROBE)
    rate = await _probe_rate(messages)
    if rate is not None:
        return PlayMode(rate, KnownBy.PROBE)
    notify(f"a probe could not find the rate of the stream, {GUESSED_RATE} Hz is a guess; set it with --stream-rate")
    return PlayMode(GUESSED_RATE, KnownBy.GUESS)


async def _probe_rate(messages: CallMessages) -> int | None:
    begin = asyncio.get_running_loop().time()
    await messages.send_audio(bytes(_SILENT_SAMPLES * SAMPLE_BYTES))
    answer = await _send_mark(messages, _SILENT_SAMPLES / min(_RATES) + _GRACE)
    return None if answer is None else rate_of_silence(answer.at - begin)


def rate_of_silence(seconds: float) -> int | None:
    for rate in _RATES:
        if -_EARLY <= seconds - _SILENT_SAMPLES / rate <= _LATE:
            return rate
    return None


async def _send_mark(messages: CallMessages, limit: float) -> PlaybackAnswer | None:
    deadline = asyncio.get_running_loop().time() + limit
    return await wait_until(await messages.send_mark(f"probe-{uuid4().hex[:12]}"), deadline)
