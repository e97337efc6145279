"""
A sound as a stream, from taking the turn to learning that the caller has heard all of it.

A mark behind the last audio tells the end. Marks come early, late or never (protocol.md 6.4), so the clock judges them:
one that comes before all can have been played isn't believed, and one that doesn't come isn't waited for.
"""

import asyncio
from collections.abc import Callable
from uuid import uuid4

from listenctl.errors import UsageError
from listenctl.media.pacing import Clock
from listenctl.media.sources.audio_sources import AudioSource
from listenctl.play_to_call.call_messages import CallMessages, PlaybackAnswer
from listenctl.play_to_call.delivery_mode import KnownBy, PlayMode
from listenctl.play_to_call.play_result import PlayEvidence, PlayOutcome, PlayProgress, PlayResult
from listenctl.play_to_call.playable_sound import PlayableSound
from listenctl.play_to_call.rate_probe import IDLE_MARK_WAIT
from listenctl.play_to_call.settings import PlaySettings
from listenctl.play_to_call.stream_sender import KILL_PAUSE, STREAM_CHUNK, STREAM_PAD, StreamSender
from listenctl.protocol.call_sharing.tool_messages import Synced
from listenctl.protocol.jambonz_messages import Mark

EARLY = 0.25
"""Seconds before the end by the clock from which an answer can't be right."""
GRACE = 1.0
"""Seconds after the end by the clock until which an answer is waited for."""


class StreamPlayer:
    """
    Play one sound as a stream.

    Args:
        tell: takes a sentence about what is being waited for.
    """

    def __init__(
        self,
        dialogue: CallMessages,
        sound: PlayableSound,
        mode: PlayMode,
        *,
        settings: PlaySettings,
        clock: Clock,
        tell: Callable[[str], None],
    ) -> None:
        self._dialogue = dialogue
        self._sound = sound
        self._mode = mode
        self._settings = settings
        self._clock = clock
        self._tell = tell
        self._state = "waiting"
        # Seconds of others' audio that are played before ours.
        self._ahead = 0.0
        self._idle = False
        # Whether jambonz has ever answered a mark of this call, as it does where it streams only.
        self._proven = mode.known_by is KnownBy.PROBE
        self._sender = StreamSender(
            dialogue.send_audio, mode.sample_rate, lead=settings.lead, exact=settings.exact, clock=clock
        )

    async def run(self) -> PlayResult:
        """Play it."""
        await self._take_turn()
        asked = await self._ask_for_proof()
        self._state = "playing"
        source = await self._sound.open(self._mode.sample_rate)
        try:
            await self._wait_for_proof(asked)
            complete = await self._dialogue.run_unless(self._dialogue.killed, self._send(source))
        finally:
            await source.close()
        if not complete:
            return self._interrupted()
        if not self._sender.sent_seconds:
            raise UsageError(f"{self._sound.name}: holds no audio")
        self._state = "finishing"
        await self._sender.send_padding()
        mark = await self._dialogue.send_mark(f"end-{uuid4().hex[:12]}") if self._settings.wait else None
        await self._dialogue.release_turn()
        await self._dialogue.sync()
        if mark is None:
            return PlayResult(PlayOutcome.SENT, None, self._sender.sent_seconds)
        return await self._end(mark)

    async def stop(self) -> None:
        """Stop what of it is still to be heard."""
        # Afterwards it would be somebody else's sound.
        if self._sender.sent_seconds and self._clock.now() < self._ends_at():
            await self._dialogue.send_kill_audio()
            await self._dialogue.sync()
            # Whoever streams next, at once, would lose its beginning (protocol.md 6.3).
            await self._clock.sleep(KILL_PAUSE)

    def progress(self) -> PlayProgress:
        """Return how far it is."""
        sent = self._sender.sent_seconds
        return PlayProgress(self._state, sent, self._heard(), self._sound.seconds, self._sender.lead if sent else None)

    async def _take_turn(self) -> None:
        # A guess isn't for others to go by.
        said = None if self._mode.known_by is KnownBy.GUESS else self._mode.sample_rate
        granted = await self._dialogue.request_turn(said)
        synced = await self._dialogue.sync()
        if self._settings.interrupt:
            synced = await self._kill_until(granted)
            self._sender.note_kill()
        elif not granted.done():
            self._tell("another tool streams to this call; waiting for its turn to end")
            await self._dialogue.wait_for_answer(granted)
            synced = await self._dialogue.sync()
            # Its turn may have ended by a killAudio.
            self._sender.note_kill()
        self._proven = self._proven or synced.mark_answered
        # Where nobody knows the rate, something may still be to be played.
        self._idle = synced.playout == 0.0
        self._ahead = synced.playout or 0.0

    async def _kill_until(self, granted: asyncio.Future[None]) -> Synced:
        """Silence who streams, and those who would be next, each of which a killAudio makes lose its turn."""
        while True:
            await self._dialogue.send_kill_audio()
            synced = await self._dialogue.sync()
            if granted.done():
                return synced

    async def _ask_for_proof(self) -> "asyncio.Future[PlaybackAnswer] | None":
        """Set a mark where nothing plays: whatever the rates, it is answered at once if the call takes a stream."""
        if not self._settings.wait or self._proven or not self._idle:
            return None
        return await self._dialogue.send_mark(f"begin-{uuid4().hex[:12]}")

    async def _wait_for_proof(self, asked: "asyncio.Future[PlaybackAnswer] | None") -> None:
        # Audio behind it would take the mark along into the resampler, which may lose it (protocol.md 6.4).
        if asked is not None:
            self._proven = await self._dialogue.wait_until(asked, self._clock.now() + IDLE_MARK_WAIT) is not None

    async def _send(self, source: AudioSource) -> None:
        samples = round(STREAM_CHUNK * self._mode.sample_rate)
        while pcm := await source.read(samples):
            await self._sender.send_audio(pcm)

    async def _end(self, mark: "asyncio.Future[PlaybackAnswer]") -> PlayResult:
        end = self._ends_at()
        answer = await self._dialogue.wait_until(mark, end + STREAM_PAD + GRACE)
        if answer is None:
            return await self._unanswered()
        if isinstance(answer.message, Mark) and answer.message.event == "cleared":
            # Between the last sound and the mark there is silence, which may as well be killed.
            return self._interrupted(answer.at) if answer.at < end else self._played(PlayEvidence.CLOCK)
        early = end - answer.at
        if early <= EARLY:
            return self._played(PlayEvidence.MARK)
        if await self._dialogue.wait_until(self._dialogue.killed, end) is not None:
            return self._interrupted()
        detail = f"by the clock; jambonz answered the mark behind it {early:.1f} s too early, {_why_early()}"
        return self._played(PlayEvidence.CLOCK, detail)

    async def _unanswered(self) -> PlayResult:
        if self._dialogue.killed.done():
            return self._interrupted()
        if not (self._proven or (await self._dialogue.sync()).mark_answered):
            detail = "jambonz has never answered a mark of this call, so nothing proves that it takes a stream"
            return PlayResult(PlayOutcome.UNKNOWN, None, 0.0, detail)
        detail = (
            "by the clock; jambonz didn't answer the mark behind it, as happens after killAudio and clearMarks, and "
            "where more audio follows at a rate that isn't the call's"
        )
        return self._played(PlayEvidence.CLOCK, detail)

    def _played(self, evidence: PlayEvidence, detail: str = "") -> PlayResult:
        return PlayResult(PlayOutcome.PLAYED, evidence, self._sender.sent_seconds, detail)

    def _interrupted(self, at: float | None = None) -> PlayResult:
        return PlayResult(
            PlayOutcome.INTERRUPTED, PlayEvidence.MARK if at else None, self._heard(at), "stopped by killAudio"
        )

    def _ends_at(self) -> float:
        return self._sender.ends_at + self._ahead

    def _heard(self, at: float | None = None) -> float:
        to_come = max(0.0, self._ends_at() - (self._clock.now() if at is None else at))
        return max(0.0, self._sender.sent_seconds - to_come)


def _why_early() -> str:
    return "as it does for samples of value -1 and where it resamples"
