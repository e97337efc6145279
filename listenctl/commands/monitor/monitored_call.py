"""One live call as a monitor has it: its audio as it comes, and what its row shows."""

from dataclasses import dataclass, field
from typing import Any, Literal, Self

from listenctl.media.measure_levels import LevelMeasurer
from listenctl.protocol.audio import AudioFormat
from listenctl.terminal.level_meter import ChannelLevel, LevelDelay, MeterBallistics

State = Literal["live", "paused", "waiting"]

_WINDOW = 0.05
# Audio comes as soon as it is there, in messages of 20 ms; bars may be as late as the sound is.
_BAR_DELAY = 0.1
# jambonz sends nothing while a listen is paused (protocol.md 3.4).
_PAUSE = 1.0
_MAX_RATE = 384_000
_MAX_DIGITS = 16


@dataclass(frozen=True, slots=True)
class CallRow:
    """One call at one moment; ``place`` counts the calls that are heard from the left, 0 is not heard."""

    id: str
    caller: str
    callee: str
    sample_rate: int
    mix_type: str
    duration: float
    state: State
    levels: tuple[ChannelLevel, ...]
    digits: str = ""
    skipped: float = 0.0
    place: int = 0


@dataclass(slots=True)
class HeardCall:
    """
    A live call; times are on the loop's clock.

    Attributes:
        skipped: seconds of sound that the server dropped because we were too slow.
    """

    id: str
    format: AudioFormat
    started: float
    caller: str = ""
    callee: str = ""
    mix_type: str = ""
    digits: str = ""
    skipped: float = 0.0
    _last_audio: float | None = None
    _meter: LevelMeasurer = field(init=False)
    _playback: LevelDelay = field(init=False)
    _ballistics: MeterBallistics = field(init=False)

    def __post_init__(self) -> None:
        self.change_format(self.format)

    @classmethod
    def listed(cls, call: dict[str, Any], now: float) -> Self:
        """Make one of what `GET /calls` says of a call."""
        return cls(
            id=str(call.get("call")),
            format=_format(call),
            started=now - float(call.get("duration") or 0.0),
            caller=str(call.get("from") or ""),
            callee=str(call.get("to") or ""),
            mix_type=_mix_type(call),
            digits=str(call.get("digits") or "")[-_MAX_DIGITS:],
        )

    @classmethod
    def reported(cls, report: dict[str, Any], now: float) -> Self:
        """Make one of a ``call-started`` event."""
        metadata = report.get("metadata")
        parties = metadata if isinstance(metadata, dict) else {}
        return cls.listed(report | {"from": parties.get("from"), "to": parties.get("to"), "duration": 0.0}, now)

    def change_format(self, audio_format: AudioFormat) -> None:
        """Take the audio from now on as ``audio_format``."""
        self.format = audio_format
        self._meter = LevelMeasurer(audio_format, _WINDOW)
        self._playback = LevelDelay(self._meter.window, _BAR_DELAY)
        self._ballistics = MeterBallistics(audio_format.channels)

    def take_audio(self, data: bytes, now: float) -> bytes:
        """Measure audio and return its whole sample frames."""
        pcm = data[: len(data) - len(data) % self.format.frame_bytes]
        self._last_audio = now
        self._playback.feed(now, self._meter.feed(pcm))
        return pcm

    def take_digit(self, digit: str) -> None:
        """Show a key that was pressed."""
        self.digits = (self.digits + digit)[-_MAX_DIGITS:]

    def skip(self, samples: object) -> float:
        """Take note that the server dropped so many samples per channel; return them in seconds."""
        seconds = self.format.duration(samples) if isinstance(samples, int) and samples > 0 else 0.0
        self.skipped += seconds
        return seconds

    def row(self, now: float, place: int) -> CallRow:
        """Return what to show at ``now``."""
        return CallRow(
            id=self.id,
            caller=self.caller,
            callee=self.callee,
            sample_rate=self.format.sample_rate,
            mix_type=self.mix_type,
            duration=now - self.started,
            state=self._state(now),
            levels=self._ballistics.update(self._playback.show(now), now),
            digits=self.digits,
            skipped=self.skipped,
            place=place,
        )

    def _state(self, now: float) -> State:
        if self._last_audio is None:
            return "waiting"
        return "paused" if now - self._last_audio > _PAUSE else "live"


def _format(call: dict[str, Any]) -> AudioFormat:
    rate = call.get("sample_rate")
    usable = isinstance(rate, int) and 0 < rate <= _MAX_RATE
    return AudioFormat(rate if usable else 8000, 2 if call.get("channels") == 2 else 1)  # type: ignore[arg-type]


def _mix_type(call: dict[str, Any]) -> str:
    return str(call.get("mix_type") or ("stereo" if call.get("channels") == 2 else "mono"))
