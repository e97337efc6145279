"""
Stream audio to a call in real time, slightly ahead of playback: audio that was sent can only be stopped as a
whole.
Deadlines count in samples from the start, so a late wake-up delays nothing after it (listenctl-protocol(7) 6.2).
"""

import asyncio
from collections.abc import Awaitable, Callable

from listenctl.play_to_call.stream_lead import STREAM_LEAD
from listenctl.protocol.audio import SAMPLE_BYTES, SampleAssembler

STREAM_CHUNK = 0.02
STREAM_PAD = 0.16
"""Seconds of zeros after the last audio: the most that the pre-buffer holds back, at any rate."""
KILL_PAUSE = 0.04
"""Seconds without audio after a killAudio, which clears what comes before the next tick (listenctl-protocol(7) 6.3)."""

_MARKER = b"\xff\xff"
_REPLACEMENT = b"\xfe\xff"


def replace_marker_samples(pcm: bytes) -> bytes:
    """Return whole 16-bit samples with -2 for each -1, which jambonz takes for a mark; the difference is inaudible."""
    at = pcm.find(_MARKER)
    if at < 0:
        return pcm
    replaced = bytearray(pcm)
    while at >= 0:
        # At an odd offset the two bytes belong to two samples.
        if at % 2 == 0:
            replaced[at : at + 2] = _REPLACEMENT
        at = pcm.find(_MARKER, at + 2 - at % 2)
    return bytes(replaced)


class StreamSender:
    def __init__(
        self,
        send: Callable[[bytes], Awaitable[None]],
        sample_rate: int,
        *,
        lead: float = STREAM_LEAD,
        exact: bool = False,
    ) -> None:
        self._send = send
        self._sample_rate = sample_rate
        self._lead = lead
        self._exact = exact
        self._now = asyncio.get_running_loop().time
        self._chunk_bytes = round(STREAM_CHUNK * sample_rate) * SAMPLE_BYTES
        self._samples = SampleAssembler(SAMPLE_BYTES)
        self._sent = 0
        self._start = self._now()
        self._since_start = 0
        self._silent_until = self._start

    @property
    def sent_seconds(self) -> float:
        return self._sent / self._sample_rate

    @property
    def ends_at(self) -> float:
        """When playback of everything sent ends, not counting what jambonz had to play before."""
        return self._start + self._since_start / self._sample_rate

    @property
    def lead(self) -> float:
        return max(0.0, self.ends_at - self._now())

    async def send_audio(self, pcm: bytes) -> None:
        """Send audio of any length, each chunk when it is due; half a sample waits for its other half."""
        whole = self._samples.feed(pcm)
        for at in range(0, len(whole), self._chunk_bytes):
            await self._send_chunk(whole[at : at + self._chunk_bytes])

    async def send_padding(self) -> None:
        """Send zeros, without which the end stays in the pre-buffer (listenctl-protocol(7) 6.2)."""
        await self._wait_after_kill()
        await self._send(bytes(round(STREAM_PAD * self._sample_rate) * SAMPLE_BYTES))

    def note_kill(self) -> None:
        """Take into account that a killAudio was sent just now: what was sent is dropped, and what follows waits."""
        self._restart(self._now())
        self._silent_until = self._start + KILL_PAUSE

    async def _send_chunk(self, chunk: bytes) -> None:
        await self._wait_after_kill()
        now = self._now()
        if now > self.ends_at:
            # Everything sent has been played, so this chunk is played at once.
            self._restart(now)
        # Half a chunk later than the lead requires, so that the average lead is right.
        await asyncio.sleep(max(0.0, self.ends_at + STREAM_CHUNK / 2 - self._lead - now))
        await self._send(chunk if self._exact else replace_marker_samples(chunk))
        samples = len(chunk) // SAMPLE_BYTES
        self._sent += samples
        self._since_start += samples

    async def _wait_after_kill(self) -> None:
        if (delay := self._silent_until - self._now()) > 0:
            await asyncio.sleep(delay)

    def _restart(self, now: float) -> None:
        self._start = now
        self._since_start = 0
