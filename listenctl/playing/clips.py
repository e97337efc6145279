"""Sounds as ``playAudio`` commands that jambonz plays right, and what its answers to them mean (protocol.md 5.1)."""

import asyncio

from listenctl.media.sources import Source
from listenctl.playing.dialogue import Answer
from listenctl.playing.result import Evidence, Outcome, PlayResult
from listenctl.protocol.audio import SAMPLE_BYTES
from listenctl.protocol.commands import PlayAudio
from listenctl.protocol.messages import PlayDone

MAX_CLIP_BYTES = 20_000_000
"""Of samples in one command; a longer sound becomes several: ten minutes at 16000 Hz."""
SHORT = 0.5
"""Seconds that a playDone may lack of a clip that was played to its end."""

_READ_SAMPLES = 16384
_KILLED = "stopped by killAudio"
_BLOCKING_BYTES = 1_000_000


async def read_clip(source: Source) -> bytes:
    """Return the next clip of a source; empty at its end."""
    pieces: list[bytes] = []
    left = MAX_CLIP_BYTES // SAMPLE_BYTES
    while left and (piece := await source.read(min(left, _READ_SAMPLES))):
        pieces.append(piece)
        left -= len(piece) // SAMPLE_BYTES
    return b"".join(pieces)


async def as_command(pcm: bytes, sample_rate: int, *, clip_id: str, queue: bool) -> str:
    """Return the command that plays samples: in the queue, or at once, on top of what plays."""

    def encode() -> str:
        return PlayAudio.encode(
            pcm, "raw", sample_rate=sample_rate, queue_play=queue or None, clip_id=clip_id
        ).serialize()

    return encode() if len(pcm) < _BLOCKING_BYTES else await asyncio.to_thread(encode)


def judge(answer: Answer | None, seconds: float, *, passed_at: float, began_at: float) -> PlayResult:
    """
    Say what became of a clip.

    Args:
        answer: None if none came in time.
        seconds: of the clip.
        passed_at: when jambonz got it.
        began_at: when it began to play by the clock; later than any answer if it didn't.
    """
    if answer is None:
        detail = (
            "jambonz didn't say that it has played it, as happens where the call streams, where bidirectional audio is "
            "disabled, and where other clips play first"
        )
        return PlayResult(Outcome.UNKNOWN, None, 0.0, detail)
    if not isinstance(answer.message, PlayDone):
        heard = min(max(0.0, answer.at - began_at), seconds)
        return PlayResult(Outcome.INTERRUPTED, None, heard, answer.detail or _KILLED)
    heard = _heard(answer.message, seconds, answer.at - passed_at)
    if heard < seconds - SHORT:
        return PlayResult(Outcome.INTERRUPTED, Evidence.PLAY_DONE, heard, _KILLED)
    return PlayResult(Outcome.PLAYED, Evidence.PLAY_DONE, seconds)


def _heard(done: PlayDone, seconds: float, elapsed: float) -> float:
    """Return the seconds that were played: what jambonz says, but after killAudio it says too much (protocol.md 13)."""
    said = seconds if done.duration_ms is None else done.duration_ms / 1000
    return min(said, seconds, elapsed)
