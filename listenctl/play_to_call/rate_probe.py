"""
Finding out how a call takes sound: only streaming answers a mark, and how long silence takes to play tells its rate.

It is only of use while nothing else plays: a mark waits for all audio before it (protocol.md 6.4).
"""

from collections.abc import Callable
from uuid import uuid4

from listenctl.media.pacing import Clock
from listenctl.play_to_call.call_messages import CallMessages, PlaybackAnswer
from listenctl.play_to_call.delivery_mode import Delivery, KnownBy, ModeChoice, PlayMode
from listenctl.protocol.audio import SAMPLE_BYTES

GUESSED_RATE = 8000
IDLE_MARK_WAIT, BUSY_MARK_WAIT = 0.5, 2.0
"""Seconds to wait for a mark, which takes 20 to 45 ms where nothing plays (protocol.md 13), longer after others."""

# As many as leave jambonz's pre-buffer to the last one, whether the call has the stream's rate, its half or its third.
_SILENT_SAMPLES = 3840
_GRACE = 0.4
# From the clock's view an answer is late by a tick or two and by what the way takes, never early.
_EARLY, _LATE = 0.01, 0.09
_RATES = (8000, 16000, 24000)


async def probe_mode(
    dialogue: CallMessages, choice: ModeChoice, clock: Clock, *, patience: float, tell: Callable[[str], None]
) -> PlayMode:
    """
    Find out how a call takes sound; the turn to stream must be ours.

    Args:
        choice: what the user wants; only AUTO and STREAM leave anything to be found out.
        patience: seconds to wait for a mark.
        tell: takes a sentence about what is being done.
    """
    if choice is ModeChoice.AUTO and await _ask(dialogue, clock.now() + patience) is None:
        return PlayMode(Delivery.CLIP, 0, KnownBy.PROBE)
    rate = await probe_rate(dialogue, clock)
    if rate is not None:
        return PlayMode(Delivery.STREAM, rate, KnownBy.PROBE)
    tell(f"a probe doesn't tell the rate of the stream, {GUESSED_RATE} Hz is a guess; say it with --stream-rate")
    return PlayMode(Delivery.STREAM, GUESSED_RATE, KnownBy.GUESS)


async def probe_rate(dialogue: CallMessages, clock: Clock) -> int | None:
    """Return the rate at which silence is played, None if the answer fits none or doesn't come."""
    begin = clock.now()
    await dialogue.send_audio(bytes(_SILENT_SAMPLES * SAMPLE_BYTES))
    answer = await _ask(dialogue, begin + _SILENT_SAMPLES / min(_RATES) + _GRACE)
    return None if answer is None else rate_of(answer.at - begin)


def rate_of(seconds: float) -> int | None:
    """Return the rate at which the silence of a probe takes so long."""
    for rate in _RATES:
        if -_EARLY <= seconds - _SILENT_SAMPLES / rate <= _LATE:
            return rate
    return None


async def _ask(dialogue: CallMessages, deadline: float) -> PlaybackAnswer | None:
    return await dialogue.wait_until(await dialogue.send_mark(f"probe-{uuid4().hex[:12]}"), deadline)
