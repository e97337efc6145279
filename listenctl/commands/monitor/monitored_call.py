"""A live call of a monitor: levels of its audio, and its row in the view."""

from dataclasses import dataclass, field
from typing import Self

from listenctl.call_listing import ListedCall
from listenctl.json_lines import ReportedEvent
from listenctl.media.measure_levels import LevelMeasurer
from listenctl.protocol.audio import MAX_RATE, AudioFormat
from listenctl.terminal.level_meter import CallState, ChannelLevel, DelayedMeter

_WINDOW = 0.05
# Audio arrives in 20 ms messages. The bars may be as late as the sound.
_BAR_DELAY = 0.1
# jambonz sends nothing while a listen is paused (listenctl-protocol(7) 3.4).
_PAUSE = 1.0
_MAX_DIGITS = 16


@dataclass(frozen=True, slots=True)
class MonitoredCallRow:
    """The state of one call; ``place`` counts played calls from the left, 0 means not played."""

    id: str
    caller: str
    callee: str
    sample_rate: int
    mix_type: str
    duration: float
    state: CallState
    levels: tuple[ChannelLevel, ...]
    digits: str = ""
    skipped: float = 0.0
    place: int = 0


@dataclass(slots=True)
class MonitoredCall:
    """A live call; times are of the loop's clock."""

    id: str
    format: AudioFormat
    started: float
    caller: str = ""
    callee: str = ""
    mix_type: str = ""
    digits: str = ""
    skipped: float = 0.0  # seconds of audio that the server dropped because we were too slow
    _last_audio: float | None = None
    _measurer: LevelMeasurer = field(init=False)
    _meter: DelayedMeter = field(init=False)

    def __post_init__(self) -> None:
        self.change_format(self.format)

    @classmethod
    def listed(cls, call: ListedCall, now: float) -> Self:
        return cls(
            id=call.id,
            format=_format(call),
            started=now - call.duration,
            caller=str(call.caller or ""),
            callee=str(call.callee or ""),
            mix_type=call.layout,
            digits=call.digits[-_MAX_DIGITS:],
        )

    @classmethod
    def reported(cls, report: ReportedEvent, now: float) -> Self:
        """Make a call from a ``call-started`` event."""
        metadata = report.get("metadata")
        parties = metadata if isinstance(metadata, dict) else {}
        return cls.listed(ListedCall.parse(report | {"from": parties.get("from"), "to": parties.get("to")}), now)

    def change_format(self, audio_format: AudioFormat) -> None:
        self.format = audio_format
        self._measurer = LevelMeasurer(audio_format, _WINDOW)
        self._meter = DelayedMeter(audio_format.channels, self._measurer.window, _BAR_DELAY)

    def add_audio(self, data: bytes, now: float) -> bytes:
        """Measure audio; return its complete sample frames."""
        pcm = data[: len(data) - len(data) % self.format.frame_bytes]
        self._last_audio = now
        self._meter.add_windows(now, self._measurer.feed(pcm))
        return pcm

    def add_digit(self, digit: str) -> None:
        self.digits = (self.digits + digit)[-_MAX_DIGITS:]

    def add_skipped(self, samples: object) -> float:
        """Count samples per channel that the server dropped; return them in seconds."""
        seconds = self.format.duration_of(samples) if isinstance(samples, int) and samples > 0 else 0.0
        self.skipped += seconds
        return seconds

    def row(self, now: float, place: int) -> MonitoredCallRow:
        return MonitoredCallRow(
            id=self.id,
            caller=self.caller,
            callee=self.callee,
            sample_rate=self.format.sample_rate,
            mix_type=self.mix_type,
            duration=now - self.started,
            state=self._state(now),
            levels=self._meter.levels_at(now),
            digits=self.digits,
            skipped=self.skipped,
            place=place,
        )

    def _state(self, now: float) -> CallState:
        if self._last_audio is None:
            return "waiting"
        return "paused" if now - self._last_audio > _PAUSE else "live"


def _format(call: ListedCall) -> AudioFormat:
    rate = call.sample_rate if 0 < call.sample_rate <= MAX_RATE else 8000
    return AudioFormat(rate, 2 if call.channels == 2 else 1)
