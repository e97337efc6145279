"""
Whether a call plays a stream or clips, and at which rate: nothing on the wire says so (protocol.md 2.2).

It is told by the user or by the metadata, or pieced together from what the application sends and jambonz answers.
"""

from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from listenctl.events import MAX_TEXT
from listenctl.protocol.application_commands import Command, MarkCommand, PlayAudio
from listenctl.protocol.audio import SAMPLE_BYTES
from listenctl.protocol.jambonz_messages import JambonzMessage, Mark, PlayDone

_RATES = (8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 64000)
# How far the measured pace may be off a rate: paced streams have jitter, but in the middle they are exact.
_NEAR = 0.08
_SHORTEST_STEP, _LONGEST_STEP = 0.004, 0.25
_FEWEST_STEPS = 10
_MOST_STEPS = 500
_SHORTEST_BETWEEN_MARKS = 0.2
_MOST_MARKS = 200


@dataclass(frozen=True, slots=True)
class CallMode:
    """``stream_rate`` in Hz, 0 where clips are played; ``source`` is what says so, ``stated`` if in so many words."""

    stream_rate: int
    source: str
    stated: bool = False

    @property
    def streams(self) -> bool:
        """Whether binary audio is played; if not, clips are."""
        return self.stream_rate > 0


class CallModeEvidence:
    """
    Collect what tells the mode.

    Attributes:
        received_rate: of the audio from jambonz, the last resort.
    """

    def __init__(self) -> None:
        self.received_rate = 8000
        self._steps: list[float] = []
        self._last: tuple[float, int] | None = None
        self._sent = 0
        self._mark_places: dict[str, int] = {}
        self._answers: deque[tuple[float, int]] = deque(maxlen=_MOST_MARKS)
        self._first = ""
        self.clip_answered = False
        self.mark_answered = False
        self.has_audio = False
        self.has_clips = False

    @property
    def proven(self) -> bool:
        """Whether jambonz has shown the mode by an answer, and the rate is known if it takes one."""
        return self.clip_answered or (self.mark_answered and self._paced() is not None)

    @property
    def found(self) -> bool:
        """Whether there is anything that depends on the mode."""
        return self.has_audio or self.has_clips or bool(self._mark_places)

    def audio(self, at: float, size: int) -> None:
        """Take a binary message of the application."""
        if not self.has_audio:
            self.has_audio = True
            self._first = self._first or "stream"
        if self._last:
            before, last_size = self._last
            if _SHORTEST_STEP < at - before < _LONGEST_STEP and len(self._steps) < _MOST_STEPS:
                self._steps.append(last_size / SAMPLE_BYTES / (at - before))
        self._last = (at, size)
        self._sent += size

    def command(self, command: Command) -> None:
        """Take a text of the application."""
        if isinstance(command, PlayAudio):
            self.has_clips = True
            self._first = self._first or "clips"
        elif isinstance(command, MarkCommand) and len(self._mark_places) < _MOST_MARKS:
            self._mark_places[command.name[:MAX_TEXT]] = self._sent

    def answer(self, at: float, message: JambonzMessage) -> None:
        """Take a text of jambonz."""
        match message:
            case PlayDone():
                self.clip_answered = True
            case Mark(name=name, event="playout"):
                self.mark_answered = True
                if (place := self._mark_places.get(name[:MAX_TEXT])) is not None:
                    self._answers.append((at, place))
            case Mark():
                self.mark_answered = True

    def decide(self) -> CallMode:
        """Return the mode that is most likely."""
        if self.clip_answered and not self.mark_answered:
            return CallMode(0, "playDone")
        if self.mark_answered or self._first == "stream":
            return self._stream()
        return CallMode(0, "clips" if self.has_clips else "default")

    def _stream(self) -> CallMode:
        if rate := self._paced():
            return CallMode(rate, "pace")
        if rate := self._by_marks():
            return CallMode(rate, "marks")
        return CallMode(self.received_rate, "received")

    def _paced(self) -> int | None:
        return _nearest(median(self._steps)) if len(self._steps) >= _FEWEST_STEPS else None

    def _by_marks(self) -> int | None:
        """Return the rate at which what is between two marks was played."""
        rates = [
            (place - before) / SAMPLE_BYTES / (at - since)
            for (since, before), (at, place) in pairwise(self._answers)
            if at - since > _SHORTEST_BETWEEN_MARKS and place > before
        ]
        return _nearest(median(rates)) if rates else None


def _nearest(rate: float) -> int | None:
    best = min(_RATES, key=lambda one: abs(one - rate))
    return best if abs(best - rate) <= _NEAR * best else None
