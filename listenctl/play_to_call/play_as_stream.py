"""
Play a sound as a stream, from taking the turn to knowing that the caller has heard all of it.
Marks come early, late or never (listenctl-protocol(7) 6.4), so the clock checks the one after the last audio.
"""

import asyncio
from collections.abc import Callable
from uuid import uuid4

from listenctl.errors import UsageError
from listenctl.media.sources.audio_sources import AudioSource
from listenctl.play_to_call.call_messages import (
    MARK_EARLY,
    MARK_GRACE,
    CallMessages,
    PlaybackAnswer,
    run_unless,
    wait_for_answer,
    wait_until,
)
from listenctl.play_to_call.delivery_mode import KnownBy, PlayMode
from listenctl.play_to_call.play_result import PlayEvidence, PlayOutcome, PlayProgress, PlayResult
from listenctl.play_to_call.playable_sound import PlayableSound
from listenctl.play_to_call.rate_probe import IDLE_MARK_WAIT, PROBED_RATES
from listenctl.play_to_call.settings import PlaySettings
from listenctl.play_to_call.stream_sender import KILL_PAUSE, STREAM_CHUNK, STREAM_PAD, StreamSender
from listenctl.protocol.call_sharing.tool_messages import Synced
from listenctl.protocol.jambonz_messages import Mark

_SLOWER_BY = 0.1
"""Seconds between the answer of a mark and the one at another rate: two ticks, and the time to send it."""


class StreamPlayer:
    def __init__(
        self,
        messages: CallMessages,
        sound: PlayableSound,
        mode: PlayMode,
        *,
        settings: PlaySettings,
        notify: Callable[[str], None],
    ) -> None:
        self._messages = messages
        self._sound = sound
        self._mode = mode
        self._settings = settings
        self._notify = notify
        self._now = asyncio.get_running_loop().time
        self._state = "waiting"
        # Seconds of others' audio that are played before ours.
        self._ahead = 0.0
        self._idle = False
        # Whether jambonz has ever answered a mark of this call, as only streaming does.
        self._proven = mode.known_by is KnownBy.PROBE
        self._sender = StreamSender(messages.send_audio, mode.sample_rate, lead=settings.lead, exact=settings.exact)

    async def run(self) -> PlayResult:
        await self._take_turn()
        first_mark = await self._send_first_mark()
        self._state = "playing"
        source = await self._sound.open(self._mode.sample_rate)
        try:
            # Audio after the mark would take it into the resampler, which may lose it (listenctl-protocol(7) 6.4).
            if first_mark is not None:
                self._proven = await wait_until(first_mark, self._now() + IDLE_MARK_WAIT) is not None
            complete = await run_unless(self._messages.killed, self._send(source))
        finally:
            await source.close()
        if not complete:
            return self._interrupted()
        if not self._sender.sent_seconds:
            raise UsageError(f"{self._sound.name}: holds no audio")
        self._state = "finishing"
        await self._sender.send_padding()
        mark = await self._messages.send_mark(f"end-{uuid4().hex[:12]}") if self._settings.wait else None
        await self._messages.release_turn()
        await self._messages.sync()
        if mark is None:
            return PlayResult(PlayOutcome.SENT, None, self._sender.sent_seconds)
        result = await self._wait_for_end(mark)
        if result.outcome is PlayOutcome.UNKNOWN:
            await self._messages.withdraw_rate()
        return result

    async def stop(self) -> None:
        # Once all of it is played, a killAudio would stop somebody else's sound.
        if self._sender.sent_seconds and self._now() < self._ends_at():
            await self._messages.send_kill_audio()
            await self._messages.sync()
            # The next stream would lose its beginning if it came at once (listenctl-protocol(7) 6.3).
            await asyncio.sleep(KILL_PAUSE)

    def progress(self) -> PlayProgress:
        sent = self._sender.sent_seconds
        lead = self._sender.lead if sent else None
        return PlayProgress(self._state, sent, self._heard_seconds(), self._sound.seconds, lead)

    async def _take_turn(self) -> None:
        mode = self._mode
        granted = await self._messages.request_turn(mode.sample_rate, probed=mode.known_by.is_probed)
        synced = await self._messages.sync()
        if self._settings.interrupt:
            synced = await self._kill_until(granted)
            self._sender.note_kill()
        elif not granted.done():
            self._notify("another tool is streaming to this call; waiting for its turn to end")
            await wait_for_answer(granted)
            synced = await self._messages.sync()
            # The turn may have ended with a killAudio.
            self._sender.note_kill()
        self._warn_about_rate(synced)
        self._proven = self._proven or synced.mark_answered
        # Where the rate is unknown, audio may still be playing.
        self._idle = synced.playout == 0.0
        self._ahead = synced.playout or 0.0

    def _warn_about_rate(self, synced: Synced) -> None:
        if self._mode.known_by is not KnownBy.OPTION or synced.stream_rate in (None, self._mode.sample_rate):
            return
        if who := {"metadata": "the call's metadata says", "probe": "a probe found"}.get(synced.stream_rate_from or ""):
            what = f"{synced.stream_rate} Hz" if synced.stream_rate else "that the call takes clips"
            self._notify(f"--stream-rate is {self._mode.sample_rate} Hz, but {who} {what}")

    async def _kill_until(self, granted: asyncio.Future[None]) -> Synced:
        """Stop the stream that plays, and those that would be next: a killAudio makes each of them lose its turn."""
        while True:
            await self._messages.send_kill_audio()
            synced = await self._messages.sync()
            if granted.done():
                return synced

    async def _send_first_mark(self) -> "asyncio.Future[PlaybackAnswer] | None":
        """Send a mark while nothing plays: at any rate, a call that takes a stream answers it at once."""
        if not self._settings.wait or self._proven or not self._idle:
            return None
        return await self._messages.send_mark(f"begin-{uuid4().hex[:12]}")

    async def _send(self, source: AudioSource) -> None:
        samples = round(STREAM_CHUNK * self._mode.sample_rate)
        while pcm := await source.read(samples):
            await self._sender.send_audio(pcm)

    async def _wait_for_end(self, mark: "asyncio.Future[PlaybackAnswer]") -> PlayResult:
        end = self._ends_at()
        answer = await wait_until(mark, end + STREAM_PAD + MARK_GRACE)
        if answer is None:
            return await self._judge_unanswered()
        if isinstance(answer.message, Mark) and answer.message.event == "cleared":
            # Only silence lies between the sound and the mark, and it doesn't matter if that is killed.
            return self._interrupted(answer.at) if answer.at < end else self._played(PlayEvidence.CLOCK)
        early = end - answer.at
        if problem := self._rate_problem(answer.at - end - STREAM_PAD):
            return PlayResult(PlayOutcome.UNKNOWN, None, 0.0, problem)
        if early <= MARK_EARLY:
            return self._played(PlayEvidence.MARK)
        if await wait_until(self._messages.killed, end) is not None:
            return self._interrupted()
        detail = (
            f"by the clock; jambonz answered the mark after it {early:.1f} s too early, as it does for samples of "
            "value -1 and where it resamples"
        )
        return self._played(PlayEvidence.CLOCK, detail)

    async def _judge_unanswered(self) -> PlayResult:
        if self._messages.killed.done():
            return self._interrupted()
        synced = await self._messages.sync()
        if not (self._proven or synced.mark_answered):
            detail = "jambonz has never answered a mark of this call, so nothing proves that it takes a stream"
            return PlayResult(PlayOutcome.UNKNOWN, None, 0.0, detail)
        doubtful = self._mode.known_by.is_claim and self._mode.sample_rate > min(PROBED_RATES)
        if doubtful and not synced.marks_may_be_lost:
            detail = f"jambonz did not answer the mark after it, as if it played slower; {self._wrong_rate()}"
            return PlayResult(PlayOutcome.UNKNOWN, None, 0.0, detail)
        detail = (
            "by the clock; jambonz did not answer the mark after it, as happens after killAudio and clearMarks, and "
            "where more audio follows at a rate other than the call's"
        )
        doubt = f"; or {self._mode.sample_rate} Hz is the wrong rate" if doubtful else ""
        return self._played(PlayEvidence.CLOCK, detail + doubt)

    def _rate_problem(self, late: float) -> str:
        """Return why an answer that came ``late`` after its time contradicts a claimed rate, empty if it doesn't."""
        if not self._mode.known_by.is_claim or self._settings.exact:
            return ""
        if late < -STREAM_PAD:
            return f"jambonz answered the mark after it too early, as if it played faster; {self._wrong_rate()}"
        seconds = self._sender.sent_seconds + STREAM_PAD
        # A busy machine answers late too, but hardly by what another rate adds.
        slower = (seconds * (self._mode.sample_rate / rate - 1) for rate in PROBED_RATES)
        if any(added > MARK_EARLY and abs(late - added) < _SLOWER_BY for added in slower):
            problem = f"jambonz answered the mark after it {late:.1f} s too late, as if it played slower"
            return f"{problem}; {self._wrong_rate()}"
        return ""

    def _wrong_rate(self) -> str:
        return f"{self._mode.sample_rate} Hz may be the wrong rate; without --stream-rate it is probed"

    def _played(self, evidence: PlayEvidence, detail: str = "") -> PlayResult:
        return PlayResult(PlayOutcome.PLAYED, evidence, self._sender.sent_seconds, detail)

    def _interrupted(self, at: float | None = None) -> PlayResult:
        evidence = PlayEvidence.MARK if at else None
        return PlayResult(PlayOutcome.INTERRUPTED, evidence, self._heard_seconds(at), "stopped by killAudio")

    def _ends_at(self) -> float:
        return self._sender.ends_at + self._ahead

    def _heard_seconds(self, at: float | None = None) -> float:
        to_come = max(0.0, self._ends_at() - (self._now() if at is None else at))
        return max(0.0, self._sender.sent_seconds - to_come)
