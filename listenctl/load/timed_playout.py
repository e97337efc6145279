"""
Playout for load calls: only the times are computed at which audio ends and marks and clips are answered.
Unlike ``jambonz_model.playout`` it has no pre-buffer and no faults: a mark is answered one tick after its audio.
"""

from collections import deque
from dataclasses import dataclass, replace

from listenctl.media.files.libsndfile import read_clip_wav
from listenctl.protocol.application_commands import ClearMarks, Command, KillAudio, MarkCommand, PlayAudio
from listenctl.protocol.audio import SAMPLE_BYTES
from listenctl.protocol.jambonz_messages import Mark, PlayDone
from listenctl.protocol.jambonz_model.clip_decoder import ClipDecoder
from listenctl.protocol.jambonz_model.command_verdicts import PlayoutOutbox
from listenctl.protocol.jambonz_model.mark_playout import MAX_MARKS
from listenctl.protocol.jambonz_model.profiles import CURRENT

TICK = 0.02
CALL_RATE = 8000


@dataclass(frozen=True, slots=True)
class TimedAnswer:
    due: float
    received: float
    message: Mark | PlayDone


class TimedPlayout:
    def __init__(self, stream_rate: int | None) -> None:
        self._stream_rate = stream_rate
        self._end = 0.0
        self._pending: deque[TimedAnswer] = deque()

    @property
    def next_due(self) -> float | None:
        return self._pending[0].due if self._pending else None

    def take_audio(self, size: int, now: float) -> None:
        if self._stream_rate is not None:
            self._end = max(self._end, now) + size / SAMPLE_BYTES / self._stream_rate

    def take_command(self, command: Command, now: float) -> bool:
        """Execute a command as far as it concerns playout; return whether it is a clip with audio that is played."""
        match command:
            case MarkCommand(name) if self._stream_rate is not None and len(self._pending) <= MAX_MARKS:
                self._pending.append(TimedAnswer(max(self._end, now) + TICK, now, Mark(name, "playout")))
            case ClearMarks() if self._stream_rate is not None:
                self._pending.clear()
            case PlayAudio() if self._stream_rate is None:
                return self._play_clip(command, now)
            case KillAudio():
                self._kill(now)
        return False

    def take_due_answers(self, now: float) -> list[TimedAnswer]:
        due: list[TimedAnswer] = []
        while self._pending and self._pending[0].due <= now:
            due.append(self._pending.popleft())
        return due

    def _play_clip(self, command: PlayAudio, now: float) -> bool:
        clip = ClipDecoder(CURRENT, CALL_RATE, None, read_clip_wav, PlayoutOutbox()).decode_clip(command)
        if clip is None:
            return False
        seconds = clip.source_samples / clip.source_rate
        self._end = max(self._end, now) + seconds
        done = clip.play_done(CURRENT.play_done, played=round(seconds * CALL_RATE), killed=False)
        self._pending.append(TimedAnswer(self._end, now, done))
        return clip.source_samples > 0

    def _kill(self, now: float) -> None:
        """Drop a stream and clear its marks, or end a clip; queued clips move up (listenctl-protocol(7) 5.1, 6.3)."""
        if self._stream_rate is not None:
            self._end = now
            self._pending = deque(replace(one, due=now + TICK, message=_cleared(one.message)) for one in self._pending)
        elif self._pending:
            saved = self._pending[0].due - now
            self._pending = deque(replace(one, due=one.due - saved) for one in self._pending)
            self._end -= saved


def _cleared(message: Mark | PlayDone) -> Mark | PlayDone:
    return replace(message, event="cleared") if isinstance(message, Mark) else message
