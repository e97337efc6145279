"""
Streaming audio to a call at the speed at which it is heard, a little ahead of it.

jambonz takes any amount at once, but what it has can't be taken back but by killing all of it, and nothing says how far
ahead one is (protocol.md 6.2). So audio is sent shortly before it is due, and a late wake-up makes nothing later late.
"""

from collections.abc import Awaitable, Callable

from listenctl.media.pacing import Clock, SystemClock
from listenctl.protocol.audio import SAMPLE_BYTES, SampleAssembler

_MARKER = b"\xff\xff"
_NEIGHBOUR = b"\xfe\xff"


def replace_marker_samples(pcm: bytes) -> bytes:
    """Return whole little-endian 16-bit samples with -2 in the place of -1; nobody hears the difference."""
    at = pcm.find(_MARKER)
    if at < 0:
        return pcm
    moved = bytearray(pcm)
    while at >= 0:
        # Two such bytes may also be halves of two samples.
        if at % 2 == 0:
            moved[at : at + 2] = _NEIGHBOUR
        at = pcm.find(_MARKER, at + 2 - at % 2)
    return bytes(moved)


STREAM_LEAD = 0.2
"""Seconds; more than the 160 ms that jambonz wants before it begins to play."""
STREAM_CHUNK = 0.02
STREAM_PAD = 0.16
"""Seconds of zeros behind the last audio: as much as the pre-buffer ever holds back, whatever the rates."""
KILL_PAUSE = 0.04
"""Seconds without audio after a killAudio, which also clears what comes before the next tick (protocol.md 6.3)."""


class StreamSender:
    """
    Send one stream.

    Args:
        send: passes a binary message on.
        sample_rate: of the stream, in Hz.
        lead: seconds that the audio is sent before the clock reaches it.
        exact: send samples of value -1 as they are.

    Attributes:
        sent_seconds: what was put, without padding.
        ends_at: when all that was put has been played, by the clock; what jambonz had to play before isn't known here.
    """

    def __init__(
        self,
        send: Callable[[bytes], Awaitable[None]],
        sample_rate: int,
        *,
        lead: float = STREAM_LEAD,
        exact: bool = False,
        clock: Clock | None = None,
    ) -> None:
        self._send = send
        self._sample_rate = sample_rate
        self._lead = lead
        self._exact = exact
        self._clock = clock or SystemClock()
        self._chunk_bytes = round(STREAM_CHUNK * sample_rate) * SAMPLE_BYTES
        self._samples = SampleAssembler(SAMPLE_BYTES)
        self._sent = 0
        # Deadlines count from here, in samples, so that nothing is rounded again and again.
        self._start = self._clock.now()
        self._since_start = 0
        self._silent_until = self._start

    @property
    def sent_seconds(self) -> float:
        """Seconds of audio that were sent."""
        return self._sent / self._sample_rate

    @property
    def ends_at(self) -> float:
        """When the clock reaches the end of what was sent."""
        return self._start + self._since_start / self._sample_rate

    @property
    def lead(self) -> float:
        """Seconds of audio that were sent and that the clock hasn't reached."""
        return max(0.0, self.ends_at - self._clock.now())

    async def send_audio(self, pcm: bytes) -> None:
        """Send audio of any size, each part when it is due; half a sample waits for its other half."""
        whole = self._samples.feed(pcm)
        for at in range(0, len(whole), self._chunk_bytes):
            await self._put_chunk(whole[at : at + self._chunk_bytes])

    async def send_padding(self) -> None:
        """Send the zeros without which the end stays in jambonz's pre-buffer (protocol.md 6.2); more may follow."""
        await self._wait_after_kill()
        await self._send(bytes(round(STREAM_PAD * self._sample_rate) * SAMPLE_BYTES))

    def note_kill(self) -> None:
        """Note that a killAudio was sent just now: what was sent is played no more, and what follows has to wait."""
        self._restart(self._clock.now())
        self._silent_until = self._start + KILL_PAUSE

    async def _put_chunk(self, chunk: bytes) -> None:
        await self._wait_after_kill()
        now = self._clock.now()
        if now > self.ends_at:
            # All that was sent has been played, and what follows is heard from now on.
            self._restart(now)
        # Half a chunk later than the lead asks for, so that it is kept on the average.
        await self._clock.sleep(max(0.0, self.ends_at + STREAM_CHUNK / 2 - self._lead - now))
        await self._send(chunk if self._exact else replace_marker_samples(chunk))
        samples = len(chunk) // SAMPLE_BYTES
        self._sent += samples
        self._since_start += samples

    async def _wait_after_kill(self) -> None:
        if (delay := self._silent_until - self._clock.now()) > 0:
            await self._clock.sleep(delay)

    def _restart(self, now: float) -> None:
        self._start = now
        self._since_start = 0
