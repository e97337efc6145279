"""A sound as clips, from the first ``playAudio`` to the last ``playDone``."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from uuid import uuid4

from listenctl.errors import UsageError
from listenctl.media.pacing import Clock
from listenctl.media.sources.audio_sources import AudioSource
from listenctl.play_to_call.call_messages import CallMessages, PlaybackAnswer
from listenctl.play_to_call.play_result import PlayEvidence, PlayOutcome, PlayProgress, PlayResult
from listenctl.play_to_call.playable_sound import PlayableSound
from listenctl.play_to_call.settings import PlaySettings
from listenctl.protocol.application_commands import PlayAudio
from listenctl.protocol.audio import SAMPLE_BYTES
from listenctl.protocol.jambonz_messages import PlayDone

MAX_CLIP_BYTES = 20_000_000
"""Of samples in one command; a longer sound becomes several: ten minutes at 16000 Hz."""
SHORT = 0.5
"""Seconds that a playDone may lack of a clip that was played to its end."""

_READ_SAMPLES = 16384
_KILLED = "stopped by killAudio"
_BLOCKING_BYTES = 1_000_000


async def read_clip(source: AudioSource) -> bytes:
    """Return the next clip of a source; empty at its end."""
    pieces: list[bytes] = []
    left = MAX_CLIP_BYTES // SAMPLE_BYTES
    while left and (piece := await source.read(min(left, _READ_SAMPLES))):
        pieces.append(piece)
        left -= len(piece) // SAMPLE_BYTES
    return b"".join(pieces)


async def clip_command(pcm: bytes, sample_rate: int, *, clip_id: str, queue: bool) -> str:
    """Return the command that plays samples: in the queue, or at once, on top of what plays."""

    def encode() -> str:
        return PlayAudio.encode(
            pcm, "raw", sample_rate=sample_rate, queue_play=queue or None, clip_id=clip_id
        ).serialize()

    return encode() if len(pcm) < _BLOCKING_BYTES else await asyncio.to_thread(encode)


def judge_clip(answer: PlaybackAnswer | None, seconds: float, *, passed_at: float, began_at: float) -> PlayResult:
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
        return PlayResult(PlayOutcome.UNKNOWN, None, 0.0, detail)
    if not isinstance(answer.message, PlayDone):
        heard = min(max(0.0, answer.at - began_at), seconds)
        return PlayResult(PlayOutcome.INTERRUPTED, None, heard, answer.detail or _KILLED)
    heard = _heard(answer.message, seconds, answer.at - passed_at)
    if heard < seconds - SHORT:
        return PlayResult(PlayOutcome.INTERRUPTED, PlayEvidence.PLAY_DONE, heard, _KILLED)
    return PlayResult(PlayOutcome.PLAYED, PlayEvidence.PLAY_DONE, seconds)


def _heard(done: PlayDone, seconds: float, elapsed: float) -> float:
    """Return the seconds that were played: what jambonz says, but after killAudio it says too much (protocol.md 13)."""
    said = seconds if done.duration_ms is None else done.duration_ms / 1000
    return min(said, seconds, elapsed)


PATIENCE = 3.0
"""Seconds after its end by the clock until which a clip's answer is waited for."""
_ASK_EVERY = 0.02


@dataclass(slots=True)
class _SentClip:
    """A clip that was sent: how long it is, its answer, and when it was passed on to jambonz, None before."""

    clip_id: str
    seconds: float
    answer: asyncio.Future[PlaybackAnswer]
    passed_at: float | None = None


class ClipPlayer:
    """
    Play one sound as clips; most sounds are one.

    Args:
        tell: takes a sentence about what is being waited for.
    """

    def __init__(
        self,
        dialogue: CallMessages,
        sound: PlayableSound,
        *,
        settings: PlaySettings,
        clock: Clock,
        tell: Callable[[str], None],
    ) -> None:
        self._dialogue = dialogue
        self._sound = sound
        self._settings = settings
        self._clock = clock
        self._tell = tell
        self._state = "sending"
        self._name = uuid4().hex[:12]
        self._parts: list[_SentClip] = []
        # When by the clock the clips of others are over, and ours begins.
        self._begins_at: float | None = None

    async def run(self) -> PlayResult:
        """Play it."""
        source = await self._sound.open(self._sound.clip_rate)
        try:
            while (pcm := await read_clip(source)) and await self._goes_on():
                await self._send(pcm)
        finally:
            await source.close()
        if not self._parts:
            raise UsageError(f"{self._sound.name}: holds no audio")
        if not self._settings.wait:
            return PlayResult(PlayOutcome.SENT, None, self._seconds)
        self._state = "playing"
        return await self._end()

    async def stop(self) -> None:
        """Have all of it taken back that hasn't been played; what others play isn't concerned."""
        unanswered = [part.clip_id for part in self._parts if not part.answer.done()]
        # Another may just have been sent.
        for clip_id in (*unanswered, self._next_id):
            await self._dialogue.withdraw_clip(clip_id)
        await self._dialogue.sync()

    def progress(self) -> PlayProgress:
        """Return how far it is."""
        heard = 0.0
        if self._begins_at is not None:
            heard = min(max(0.0, self._clock.now() - self._begins_at), self._seconds)
        return PlayProgress(self._state, self._seconds, heard, self._sound.seconds or self._seconds or None)

    @property
    def _next_id(self) -> str:
        return f"{self._name}-{len(self._parts) + 1}"

    @property
    def _seconds(self) -> float:
        return sum(part.seconds for part in self._parts)

    async def _goes_on(self) -> bool:
        """Tell whether the next clip may be sent."""
        if not self._parts:
            return True
        last = self._parts[-1]
        # In the queue the next would begin at once, on top of one that interrupts.
        if self._settings.interrupt or last.answer.done():
            return (await self._result(last)).outcome is PlayOutcome.PLAYED
        return True

    async def _send(self, pcm: bytes) -> None:
        first = not self._parts
        at_once = self._settings.interrupt
        if first and at_once:
            await self._interrupt()
        ahead = 0.0 if at_once or not first else await self._wait_ahead()
        clip_id = self._next_id
        rate = self._sound.clip_rate
        text = await clip_command(pcm, rate, clip_id=clip_id, queue=not at_once)
        sent_at = self._clock.now()
        part = _SentClip(clip_id, len(pcm) / SAMPLE_BYTES / rate, await self._dialogue.send_clip(clip_id, text))
        self._parts.append(part)
        # The server answers when jambonz has the clip; or it is dropped while it waits for that.
        if await self._dialogue.run_unless(part.answer, self._dialogue.sync()):
            part.passed_at = self._clock.now()
            if self._begins_at is None:
                self._begins_at = max(part.passed_at, sent_at + ahead)

    async def _wait_ahead(self) -> float:
        """Return the seconds of clips that are ahead of ours."""
        synced = await self._dialogue.sync()
        ahead = synced.clip_seconds or 0.0
        if synced.waiting_clips or ahead:
            self._state = "waiting"
            self._tell("other clips of this call play first")
        return ahead

    async def _interrupt(self) -> None:
        """Stop all clips; jambonz goes on with the next one at each killAudio, and the server repeats it."""
        await self._dialogue.send_kill_audio()
        while (await self._dialogue.sync()).stopping:
            await self._clock.sleep(_ASK_EVERY)

    async def _end(self) -> PlayResult:
        heard = 0.0
        result = PlayResult(PlayOutcome.PLAYED, PlayEvidence.PLAY_DONE, 0.0)
        for part in self._parts:
            result = await self._result(part)
            heard += result.seconds
            if result.outcome is not PlayOutcome.PLAYED:
                # Of several clips killAudio stops one, and the next begins (protocol.md 5.1).
                await self.stop()
                break
        return PlayResult(result.outcome, result.evidence, heard, result.detail)

    async def _result(self, part: _SentClip) -> PlayResult:
        now = self._clock.now()
        before = sum(one.seconds for one in self._parts[: self._parts.index(part)])
        expected = (now if self._begins_at is None else self._begins_at) + before
        answer = await self._dialogue.wait_until(part.answer, expected + part.seconds + PATIENCE)
        # One that was dropped before its turn never began.
        began_at = inf if part.passed_at is None else expected
        return judge_clip(answer, part.seconds, passed_at=part.passed_at or now, began_at=began_at)
