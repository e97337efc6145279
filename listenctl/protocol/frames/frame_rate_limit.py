"""
How many frames one peer may send: a flood of tiny frames must not take the time of other calls.

A frame costs about the same time however short it is, so frames are bounded beside bytes. A turn on the event loop
takes ``FRAMES_PER_TURN`` of one peer. Small frames, which carry hardly any audio, are also bounded over time:
beyond ``FRAME_RATE`` a peer is read more slowly, and a peer that keeps it up for ``FLOOD_AFTER`` floods. Jambonz sends
at most a hundred frames of audio and fifty marks a second. A replay at higher speed brings more of both in the same
time, so audio explains some more.

A server that is busy, with other floods as well, reads a peer at less than the rate, and can't know how fast it sends.
A peer whose frames then never come to an end floods, too.
"""

FRAMES_PER_TURN = 256
FRAME_RATE = 1000.0
"""Small frames for each second, beyond those of a backlog."""
AUDIO_OF_FRAME = 80
"""
Bytes of audio that explain one more small frame, if those of a second are used up: 200 frames for each second of audio
at 8 kHz. It is more than a small frame has, and depends on no format that the peer declares.
"""
SAVED_SECONDS = 5.0
"""Seconds of the rate that may arrive at once: with ``FRAME_RATE``, a backlog of a minute, with a mark every 20 ms."""
MOST_SAVED = FRAME_RATE * SAVED_SECONDS
FLOOD_AFTER = 5.0
"""Seconds for which a peer may exceed the rate, without a pause, before it floods."""
BACKLOG_AFTER = 3 * FLOOD_AFTER
"""Seconds for which more frames may always be waiting, if nearly all of those that were read are small."""
SMALL_FRAME = 64
"""Bytes below which a binary frame is small: 10 ms of audio have at least 160."""


class FrameRateLimit:
    """Bound the small frames of one peer; ``now`` is in seconds on any clock."""

    __slots__ = ("_behind_since", "_exceeded_since", "_left", "_most", "_rate", "_unexplained", "_updated_at")

    def __init__(self, now: float, rate: float = FRAME_RATE) -> None:
        self._rate = rate
        self._most = rate * SAVED_SECONDS
        self._left = self._most
        self._updated_at = now
        self._exceeded_since: float | None = None
        self._behind_since: float | None = None
        self._unexplained = 0.0  # small frames since then that audio doesn't explain

    def add_frames(self, frames: int, now: float, audio: int = 0) -> None:
        """Count small frames that arrived with ``audio`` bytes of audio."""
        self._refill(now, audio)
        self._left -= frames
        if self._behind_since is not None:
            self._unexplained += frames - audio / AUDIO_OF_FRAME
        if self._left <= 0 and self._exceeded_since is None:
            self._exceeded_since = now

    def may_read(self, now: float) -> bool:
        """Return whether the peer may be read now."""
        if self._exceeded_since is None:
            return True
        self._refill(now)
        return self._left > 0

    def fall_behind(self, now: float) -> bool:
        """Record that more of the peer waits than may be read now; return whether it floods."""
        if self._behind_since is None:
            self._behind_since, self._unexplained = now, 0.0
        endless = now - self._behind_since >= BACKLOG_AFTER and self._unexplained > self._most
        return endless or self.is_flooded(now)

    def catch_up(self) -> None:
        """Record that all that has arrived is read."""
        self._behind_since = None

    def is_flooded(self, now: float) -> bool:
        self._refill(now)
        return self._exceeded_since is not None and now - self._exceeded_since >= FLOOD_AFTER

    def _refill(self, now: float, audio: int = 0) -> None:
        earned = max(self._rate * (now - self._updated_at), audio / AUDIO_OF_FRAME)
        self._left = min(self._most, self._left + earned)
        self._updated_at = now
        # What a flood leaves until it is read again is far less.
        if self._left >= self._most / 2:
            self._exceeded_since = None
