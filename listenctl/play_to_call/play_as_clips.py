"""Play a sound as clips, from the first ``playAudio`` to the last ``playDone``."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from uuid import uuid4

from listenctl.errors import UsageError
from listenctl.media.sources.audio_sources import AudioSource
from listenctl.play_to_call.call_messages import CallMessages, PlaybackAnswer, run_unless, wait_until
from listenctl.play_to_call.play_result import PlayEvidence, PlayOutcome, PlayProgress, PlayResult
from listenctl.play_to_call.playable_sound import PlayableSound
from listenctl.play_to_call.settings import PlaySettings
from listenctl.protocol.application_commands import PlayAudio
from listenctl.protocol.audio import SAMPLE_BYTES
from listenctl.protocol.jambonz_messages import PlayDone

MAX_CLIP_BYTES = 20_000_000
"""Bytes of samples in one command, ten minutes at 16000 Hz; a longer sound becomes several clips."""
TOLERANCE = 0.5
"""Seconds that a playDone may fall short of a clip that was played to its end."""
ANSWER_WAIT = 3.0
"""Seconds to wait for a clip's answer after its computed end."""

_READ_SAMPLES = 16384
_KILLED = "stopped by killAudio"
_BLOCKING_BYTES = 1_000_000
_POLL_INTERVAL = 0.02


async def read_clip(source: AudioSource) -> bytes:
    pieces: list[bytes] = []
    left = MAX_CLIP_BYTES // SAMPLE_BYTES
    while left and (piece := await source.read(min(left, _READ_SAMPLES))):
        pieces.append(piece)
        left -= len(piece) // SAMPLE_BYTES
    return b"".join(pieces)


async def clip_command(pcm: bytes, sample_rate: int, *, clip_id: str, queue: bool) -> str:
    def encode() -> str:
        return PlayAudio.encode(
            pcm, "raw", sample_rate=sample_rate, queue_play=queue or None, clip_id=clip_id
        ).serialize()

    return encode() if len(pcm) < _BLOCKING_BYTES else await asyncio.to_thread(encode)


def judge_clip(answer: PlaybackAnswer | None, seconds: float, *, passed_at: float, began_at: float) -> PlayResult:
    """Return the result of a clip that began to play at ``began_at`` by the clock, infinity if it never did."""
    if answer is None:
        detail = (
            "jambonz did not report the end of playback, as happens where the call streams, where bidirectional audio "
            "is disabled, and where other clips play first"
        )
        return PlayResult(PlayOutcome.UNKNOWN, None, 0.0, detail)
    if not isinstance(answer.message, PlayDone):
        heard = min(max(0.0, answer.at - began_at), seconds)
        return PlayResult(PlayOutcome.INTERRUPTED, None, heard, answer.detail or _KILLED)
    heard = _heard_seconds(answer.message, seconds, answer.at - passed_at)
    if heard < seconds - TOLERANCE:
        return PlayResult(PlayOutcome.INTERRUPTED, PlayEvidence.PLAY_DONE, heard, _KILLED)
    return PlayResult(PlayOutcome.PLAYED, PlayEvidence.PLAY_DONE, seconds)


def _heard_seconds(done: PlayDone, seconds: float, elapsed: float) -> float:
    # After killAudio jambonz reports too much (listenctl-protocol(7) 13).
    reported = seconds if done.duration_ms is None else done.duration_ms / 1000
    return min(reported, seconds, elapsed)


@dataclass(slots=True)
class _SentClip:
    """A clip that was sent; ``passed_at`` is when jambonz got it, None before."""

    clip_id: str
    seconds: float
    answer: asyncio.Future[PlaybackAnswer]
    passed_at: float | None = None


class ClipPlayer:
    def __init__(
        self, messages: CallMessages, sound: PlayableSound, *, settings: PlaySettings, notify: Callable[[str], None]
    ) -> None:
        self._messages = messages
        self._sound = sound
        self._settings = settings
        self._notify = notify
        self._now = asyncio.get_running_loop().time
        self._state = "sending"
        self._name = uuid4().hex[:12]
        self._clips: list[_SentClip] = []
        # When the clips before ours have been played.
        self._begins_at: float | None = None

    async def run(self) -> PlayResult:
        source = await self._sound.open(self._sound.clip_rate)
        try:
            while (pcm := await read_clip(source)) and await self._may_send_next():
                await self._send(pcm)
        finally:
            await source.close()
        if not self._clips:
            raise UsageError(f"{self._sound.name}: holds no audio")
        if not self._settings.wait:
            return PlayResult(PlayOutcome.SENT, None, self._seconds)
        self._state = "playing"
        return await self._wait_for_end()

    async def stop(self) -> None:
        """Withdraw whatever has not been played; clips of other tools are not affected."""
        unanswered = [clip.clip_id for clip in self._clips if not clip.answer.done()]
        # The next one may just have been sent.
        for clip_id in (*unanswered, self._next_id):
            await self._messages.withdraw_clip(clip_id)
        await self._messages.sync()

    def progress(self) -> PlayProgress:
        heard = 0.0
        if self._begins_at is not None:
            heard = min(max(0.0, self._now() - self._begins_at), self._seconds)
        return PlayProgress(self._state, self._seconds, heard, self._sound.seconds or self._seconds or None)

    @property
    def _next_id(self) -> str:
        return f"{self._name}-{len(self._clips) + 1}"

    @property
    def _seconds(self) -> float:
        return sum(clip.seconds for clip in self._clips)

    async def _may_send_next(self) -> bool:
        if not self._clips:
            return True
        last = self._clips[-1]
        # A queued clip would begin at once, on top of one that interrupts.
        if self._settings.interrupt or last.answer.done():
            return (await self._result(last)).outcome is PlayOutcome.PLAYED
        return True

    async def _send(self, pcm: bytes) -> None:
        first = not self._clips
        interrupt = self._settings.interrupt
        if first and interrupt:
            await self._interrupt_others()
        ahead = 0.0 if interrupt or not first else await self._seconds_ahead()
        clip_id = self._next_id
        rate = self._sound.clip_rate
        text = await clip_command(pcm, rate, clip_id=clip_id, queue=not interrupt)
        sent_at = self._now()
        clip = _SentClip(clip_id, len(pcm) / SAMPLE_BYTES / rate, await self._messages.send_clip(clip_id, text))
        self._clips.append(clip)
        # The server answers when jambonz has the clip, unless the clip is dropped while it waits for that.
        if await run_unless(clip.answer, self._messages.sync()):
            clip.passed_at = self._now()
            if self._begins_at is None:
                self._begins_at = max(clip.passed_at, sent_at + ahead)

    async def _seconds_ahead(self) -> float:
        synced = await self._messages.sync()
        ahead = synced.clip_seconds or 0.0
        if synced.waiting_clips or ahead:
            self._state = "waiting"
            self._notify("other clips of this call play first")
        return ahead

    async def _interrupt_others(self) -> None:
        # jambonz goes on with the next clip at each killAudio, and the server repeats it.
        await self._messages.send_kill_audio()
        while (await self._messages.sync()).stopping:  # noqa: ASYNC110 - the server has to be asked
            await asyncio.sleep(_POLL_INTERVAL)

    async def _wait_for_end(self) -> PlayResult:
        heard = 0.0
        result = PlayResult(PlayOutcome.PLAYED, PlayEvidence.PLAY_DONE, 0.0)
        for clip in self._clips:
            result = await self._result(clip)
            heard += result.seconds
            if result.outcome is not PlayOutcome.PLAYED:
                # killAudio stops one clip, and the next begins (listenctl-protocol(7) 5.1).
                await self.stop()
                break
        return PlayResult(result.outcome, result.evidence, heard, result.detail)

    async def _result(self, clip: _SentClip) -> PlayResult:
        now = self._now()
        before = sum(one.seconds for one in self._clips[: self._clips.index(clip)])
        expected = (now if self._begins_at is None else self._begins_at) + before
        answer = await wait_until(clip.answer, expected + clip.seconds + ANSWER_WAIT)
        # A clip that was dropped before its turn never began.
        began_at = inf if clip.passed_at is None else expected
        return judge_clip(answer, clip.seconds, passed_at=clip.passed_at or now, began_at=began_at)
