"""Detect whether a call plays a stream or clips, and at which rate; the wire doesn't say (listenctl-protocol(7) 2)."""

from collections import deque
from dataclasses import dataclass
from itertools import pairwise

from listenctl.json_lines import MAX_TEXT
from listenctl.percentiles import median
from listenctl.protocol.application_commands import Command, MarkCommand, PlayAudio
from listenctl.protocol.audio import SAMPLE_BYTES
from listenctl.protocol.jambonz_messages import JambonzMessage, Mark, PlayDone

_RATES = (8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 64000)
# Maximum deviation of a measured rate: paced streams have jitter, but their median is exact.
_MAX_DEVIATION = 0.08
_MIN_STEP, _MAX_STEP = 0.004, 0.25
_MIN_STEPS, _MAX_STEPS = 10, 500
_MIN_BETWEEN_MARKS = 0.2
_MAX_MARKS = 200


@dataclass(frozen=True, slots=True)
class CallMode:
    """Whether and how a call plays a stream."""

    stream_rate: int  # in Hz, 0 if clips are played
    source: str  # where this is known from
    stated: bool = False  # the user or the metadata says so

    @property
    def streams(self) -> bool:
        """Whether binary audio is played; otherwise clips are."""
        return self.stream_rate > 0


class CallModeEvidence:
    """Derive the mode from the messages of a call."""

    def __init__(self) -> None:
        self.received_rate = 8000  # sample rate of the audio from jambonz, the last resort
        self._measured_rates: list[float] = []
        self._last: tuple[float, int] | None = None
        self._sent_bytes = 0
        self._mark_places: dict[str, int] = {}
        self._answers: deque[tuple[float, int]] = deque(maxlen=_MAX_MARKS)
        self._audio_first = False
        self._clip_answered = False
        self.mark_answered = False
        self.has_audio = False
        self.has_clips = False

    @property
    def proven(self) -> bool:
        """Whether answers of jambonz prove the mode, and the rate of a stream is known."""
        return self._clip_answered or (self.mark_answered and self._rate_by_pace() is not None)

    def take_audio(self, at: float, size: int) -> None:
        if not self.has_audio:
            self.has_audio = True
            self._audio_first = not self.has_clips
        if self._last:
            before, last_size = self._last
            if _MIN_STEP < at - before < _MAX_STEP and len(self._measured_rates) < _MAX_STEPS:
                self._measured_rates.append(last_size / SAMPLE_BYTES / (at - before))
        self._last = (at, size)
        self._sent_bytes += size

    def take_command(self, command: Command) -> None:
        if isinstance(command, PlayAudio):
            self.has_clips = True
        elif isinstance(command, MarkCommand) and len(self._mark_places) < _MAX_MARKS:
            self._mark_places[command.name[:MAX_TEXT]] = self._sent_bytes

    def take_answer(self, at: float, message: JambonzMessage) -> None:
        match message:
            case PlayDone():
                self._clip_answered = True
            case Mark(name=name, event=event):
                self.mark_answered = True
                if event == "playout" and (place := self._mark_places.get(name[:MAX_TEXT])) is not None:
                    self._answers.append((at, place))

    def decide(self) -> CallMode:
        if self._clip_answered and not self.mark_answered:
            return CallMode(0, "playDone")
        if not self.mark_answered and not self._audio_first:
            return CallMode(0, "clips" if self.has_clips else "default")
        if rate := self._rate_by_pace():
            return CallMode(rate, "pace")
        if rate := self._rate_by_marks():
            return CallMode(rate, "marks")
        return CallMode(self.received_rate, "received")

    def _rate_by_pace(self) -> int | None:
        return _nearest_rate(self._measured_rates) if len(self._measured_rates) >= _MIN_STEPS else None

    def _rate_by_marks(self) -> int | None:
        return _nearest_rate(
            [
                (place - before) / SAMPLE_BYTES / (at - since)
                for (since, before), (at, place) in pairwise(self._answers)
                if at - since > _MIN_BETWEEN_MARKS and place > before
            ]
        )


def _nearest_rate(rates: list[float]) -> int | None:
    if not rates:
        return None
    rate = median(rates)
    best = min(_RATES, key=lambda one: abs(one - rate))
    return best if abs(best - rate) <= _MAX_DEVIATION * best else None
