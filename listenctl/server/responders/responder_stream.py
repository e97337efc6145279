"""The stream of a call for responders: at which rate it plays, if it plays a stream at all."""

import asyncio
from dataclasses import dataclass

from listenctl.errors import ListenctlError, NotFoundError
from listenctl.play_to_call.call_messages import CallMessages, open_messages, wait_until
from listenctl.play_to_call.delivery_mode import Delivery, ModeChoice
from listenctl.play_to_call.rate_probe import probe_mode
from listenctl.server.responders.call_responders import RespondedCall

RATE_POLL_INTERVAL = 0.05
"""Seconds between two checks whether the tool that streams before us has found out the rate."""
REMEDY = "set bidirectionalAudio.streaming in its verb"
RATE_REMEDY = "give it with --stream-rate, or with streamRate in the verb's metadata"


@dataclass(frozen=True, slots=True)
class ResponderStream:
    rate: int  # in Hz; 0 if the call takes clips, and no stream
    doubt: str = ""  # why streamed audio may not be heard, or be distorted; empty if there is no doubt
    tried: bool = False  # whether the rate had to be found out, which took time


async def find_stream(call: RespondedCall) -> ResponderStream:
    """Return the known rate, or find it out when the stream is free; raises NotFoundError if the call has ended."""
    known = (await call.tool.stream_state()).stream_rate
    if known is not None:
        return _known_stream(known, tried=False)
    # The responder's own tool keeps collecting the audio of the call.
    prober = call.tool.open_second_tool()
    try:
        async with open_messages(prober) as messages:
            return await _find_rate(call, messages)
    except NotFoundError:
        raise
    except ListenctlError as exc:
        return _guess(call, f"the caller may hear nothing: can't find out whether the call takes a stream: {exc}")
    finally:
        prober.detach()


async def _find_rate(call: RespondedCall, messages: CallMessages) -> ResponderStream:
    granted = await messages.request_turn()
    synced = await messages.sync()
    while not granted.done() and synced.stream_rate is None:
        await wait_until(granted, asyncio.get_running_loop().time() + RATE_POLL_INTERVAL)
        synced = await messages.sync()
    if synced.stream_rate is not None:
        return _known_stream(synced.stream_rate, tried=True)
    mode = await probe_mode(messages, ModeChoice.AUTO, synced)
    if mode is None:
        doubt = f"the caller hears nothing: the rate of the stream can't be measured for certain; {RATE_REMEDY}"
        return ResponderStream(0, doubt, tried=True)
    if mode.delivery is Delivery.CLIP:
        doubt = f"the caller may hear nothing: jambonz answers no mark, as in a call that takes clips; {REMEDY}"
        return _guess(call, doubt)
    await messages.request_turn(mode.sample_rate, probed=True)
    await messages.sync()
    return ResponderStream(mode.sample_rate, tried=True)


def _known_stream(rate: int, *, tried: bool) -> ResponderStream:
    doubt = "" if rate else f"the caller hears nothing: the call takes clips, and no stream; {REMEDY}"
    return ResponderStream(rate, doubt, tried)


def _guess(call: RespondedCall, doubt: str) -> ResponderStream:
    return ResponderStream(call.log.audio_format.sample_rate, doubt, tried=True)
