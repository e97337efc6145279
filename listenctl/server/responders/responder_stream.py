"""How the server itself streams to a call."""

import asyncio
from dataclasses import dataclass

from listenctl.errors import ListenctlError, NotFoundError
from listenctl.play_to_call.call_messages import CallMessages, open_messages, wait_until
from listenctl.play_to_call.delivery_mode import Delivery, KnownBy, ModeChoice
from listenctl.play_to_call.rate_probe import BUSY_MARK_WAIT, IDLE_MARK_WAIT, probe_mode
from listenctl.server.responders.call_responders import RespondedCall

LOOK_AGAIN = 0.05
"""Seconds between two looks at whether who streams before us has found the rate out."""
REMEDY = "set bidirectionalAudio.streaming in its verb"
RATE_REMEDY = "say it with --stream-rate, or with streamRate in the verb's metadata"


@dataclass(frozen=True, slots=True)
class ResponderStream:
    """
    What is known of a call's stream.

    Attributes:
        rate: in Hz; 0 if the call takes clips, and no stream.
        doubt: why what is streamed may be heard by nobody, or wrongly, a sentence; empty where there is no doubt.
        tried: whether it had to be found out, for which time has passed.
    """

    rate: int
    doubt: str = ""
    tried: bool = False


async def find_stream(call: RespondedCall) -> ResponderStream:
    """
    Return what somebody says of the stream; else find it out, when the stream is free, and let the server remember it.

    Raises:
        NotFoundError: the call has ended.
    """
    said = (await call.tool.stream_state()).stream_rate
    if said is not None:
        return _as_said(said, tried=False)
    # Our own tool goes on keeping the call's audio.
    prober = call.tool.open_second_tool()
    try:
        async with open_messages(prober) as messages:
            return await _find_out(call, messages)
    except NotFoundError:
        raise
    except ListenctlError as exc:
        return _guess(call, f"the caller may hear nothing: how the call takes sound can't be found out: {exc}")
    finally:
        prober.detach()


async def _find_out(call: RespondedCall, messages: CallMessages) -> ResponderStream:
    granted = await messages.request_turn()
    synced = await messages.sync()
    while not granted.done() and synced.stream_rate is None:
        await wait_until(granted, asyncio.get_running_loop().time() + LOOK_AGAIN)
        synced = await messages.sync()
    if synced.stream_rate is not None:
        return _as_said(synced.stream_rate, tried=True)
    # Of what others streamed at a rate that nobody knows, something may still be to be played.
    mark_wait = BUSY_MARK_WAIT if synced.playout is None else IDLE_MARK_WAIT
    mode = await probe_mode(messages, ModeChoice.AUTO, mark_wait=mark_wait, notify=lambda _: None)
    if mode.delivery is Delivery.CLIP:
        doubt = f"the caller may hear nothing: jambonz answers no mark, as in a call that takes clips; {REMEDY}"
        return _guess(call, doubt)
    if mode.known_by is KnownBy.GUESS:
        doubt = f"the caller may hear it too fast or too slowly: a probe doesn't tell the rate; {RATE_REMEDY}"
        return _guess(call, doubt)
    await messages.request_turn(mode.sample_rate)
    await messages.sync()
    return ResponderStream(mode.sample_rate, tried=True)


def _as_said(rate: int, *, tried: bool) -> ResponderStream:
    doubt = "" if rate else f"the caller hears nothing: the call takes clips, and no stream; {REMEDY}"
    return ResponderStream(rate, doubt, tried)


def _guess(call: RespondedCall, doubt: str) -> ResponderStream:
    return ResponderStream(call.log.audio_format.sample_rate, doubt, tried=True)
