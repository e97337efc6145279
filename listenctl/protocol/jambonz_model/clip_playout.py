"""
The order in which clips play (protocol.md 5.1): who waits, who plays on top of whom, and who says that it is done.

Two programs share the work, and that shows: the feature server keeps the queue and starts clips, the media server plays
the one that was started last and then goes on with those below.
"""

from collections import deque
from dataclasses import dataclass

from listenctl.protocol.audio import SAMPLE_BYTES
from listenctl.protocol.jambonz_model.clip_decoder import Clip
from listenctl.protocol.jambonz_model.command_verdicts import CommandOutcome, PlayoutOutbox
from listenctl.protocol.jambonz_model.profiles import Profile


@dataclass(slots=True)
class _Playing:
    clip: Clip
    from_queue: bool
    ticks_to_start: int
    position: int = 0

    @property
    def is_over(self) -> bool:
        return not self.ticks_to_start and self.position >= len(self.clip.samples)


class ClipPlayer:
    """
    Play the clips of one call.

    killAudio stops one clip; that it may stop two nested ones (protocol.md 5.1) is not verified and not done here.
    """

    def __init__(self, profile: Profile, outbox: PlayoutOutbox) -> None:
        self._profile = profile
        self._outbox = outbox
        self._stack: list[_Playing] = []
        self._waiting: deque[Clip] = deque()
        # Whether the feature server comes back to the queue by itself, when a clip from there is over.
        self._serving_queue = False

    @property
    def buffered(self) -> int:
        """Samples of the clips that play or wait."""
        playing = sum(len(one.clip.samples) - one.position for one in self._stack)
        return (playing + sum(len(clip.samples) for clip in self._waiting)) // SAMPLE_BYTES

    def add(self, clip: Clip, *, queue: bool) -> None:
        """Play a clip at once, on top of what plays, or behind what waits."""
        if not queue:
            self.drop_waiting()
            self._start(clip, from_queue=False)
            self._serving_queue = False
        elif len(self._waiting) >= self._profile.max_waiting:
            self._say(
                clip,
                CommandOutcome.IGNORED,
                "queue-full",
                f"{len(self._waiting)} clips are waiting already",
                wrong=True,
            )
        elif self._serving_queue:
            self._waiting.append(clip)
            self._say(clip, CommandOutcome.QUEUED, "", f"waits as number {len(self._waiting)}")
        else:
            self._serving_queue = True
            self._start(clip, from_queue=True)

    def drop_waiting(self) -> None:
        """Empty the queue, as a clip does that doesn't queue."""
        self._empty_queue("queue-emptied", "dropped before its turn by a clip without queuePlay", wrong=True)

    def kill(self) -> bool:
        """Break what plays; the clip below or the next in the queue goes on at once. False if nothing played."""
        if self._profile.kill_empties_queue:
            self._empty_queue("killed", "stopped by killAudio before its turn")
        if not self._stack:
            return False
        killed = self._stack.pop()
        played = killed.position // SAMPLE_BYTES
        self._outbox.add_message(killed.clip.done(self._profile.play_done, played=played, killed=True))
        self._say(killed.clip, CommandOutcome.INTERRUPTED, "killed", f"stopped by killAudio after {played} samples")
        self._after(killed)
        return True

    def tick(self, samples: int) -> bytes:
        """Play up to so many samples; what is over makes way for what is next."""
        while self._stack and self._stack[-1].is_over:
            self._finish(self._stack.pop())
        if not self._stack:
            return b""
        playing = self._stack[-1]
        if playing.ticks_to_start:
            playing.ticks_to_start -= 1
            return b""
        audio = playing.clip.samples[playing.position : playing.position + samples * SAMPLE_BYTES]
        playing.position += len(audio)
        return audio

    def end(self) -> None:
        """Discard everything, because the listen has ended; nothing is said about it on the wire."""
        sentence = "cut off by the end of the listen"
        for playing in reversed(self._stack):
            self._say(playing.clip, CommandOutcome.INTERRUPTED, "ended", sentence)
        self._stack.clear()
        self._empty_queue("ended", sentence)

    def _start(self, clip: Clip, *, from_queue: bool) -> None:
        if self._stack:
            sentence = "plays at once, on top of a clip that goes on afterwards; set queuePlay to have it wait"
            self._say(clip, CommandOutcome.PLAYED, "on-top", sentence)
        else:
            self._say(clip, CommandOutcome.PLAYED, "", "plays")
        self._stack.append(_Playing(clip, from_queue, self._profile.start_ticks))

    def _finish(self, over: _Playing) -> None:
        played = over.position // SAMPLE_BYTES
        self._outbox.add_message(over.clip.done(self._profile.play_done, played=played, killed=False))
        self._say(over.clip, CommandOutcome.FINISHED, "", f"played to its end, {played} samples")
        self._after(over)

    def _after(self, over: _Playing) -> None:
        if not over.from_queue:
            return
        if self._waiting:
            self._start(self._waiting.popleft(), from_queue=True)
        else:
            self._serving_queue = False

    def _empty_queue(self, reason: str, sentence: str, *, wrong: bool = False) -> None:
        for clip in self._waiting:
            self._say(clip, CommandOutcome.INTERRUPTED, reason, sentence, wrong=wrong)
        self._waiting.clear()

    def _say(self, clip: Clip, outcome: CommandOutcome, reason: str, sentence: str, *, wrong: bool = False) -> None:
        self._outbox.add_verdict(outcome, reason, sentence, wrong=wrong, command=clip.command)
