"""How the server itself streams to a call."""

from dataclasses import dataclass

from listenctl.server.attending import AttendedCall

ANSWER_WAIT = 0.5
"""Seconds in which jambonz answers a mark, if it does."""
REMEDY = "set bidirectionalAudio.streaming in its verb"


@dataclass(frozen=True, slots=True)
class Streaming:
    """
    What is known of a call's stream.

    Attributes:
        rate: in Hz; 0 if the call takes clips, and no stream.
        doubt: why what is streamed may be heard by nobody, a sentence; empty where there is no doubt.
    """

    rate: int
    doubt: str = ""


async def find_stream(call: AttendedCall) -> Streaming:
    """Return what somebody has said of the stream; else take it for one at the rate of the call's own audio."""
    tool = call.tool
    said = (await tool.stream_state()).stream_rate
    if said is None:
        # Who streams before us finds it out.
        await tool.take_stream()
        said = (await tool.stream_state()).stream_rate
        answered = said is not None or await tool.sees_mark_answered(ANSWER_WAIT)
        await tool.release_stream()
        if not answered:
            doubt = f"the caller may hear nothing: jambonz answers no mark, as in a call that takes clips; {REMEDY}"
            return Streaming(call.log.audio_format.sample_rate, doubt)
    if said == 0:
        return Streaming(0, f"the caller hears nothing: the call takes clips, and no stream; {REMEDY}")
    return Streaming(call.log.audio_format.sample_rate if said is None else said)
