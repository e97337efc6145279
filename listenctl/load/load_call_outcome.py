"""The outcome of one call of a load, as the report sums it up and ``--per-call`` prints it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from listenctl.load.measure_echo import EchoResult
from listenctl.load.plan import CallFormat
from listenctl.net.client_connection import ConnectionEnd
from listenctl.percentiles import Histogram, Summary


class LoadCallEnding(StrEnum):
    COMPLETE = "complete"
    EARLY = "early"  # the server ended it in order before its time
    CUT = "cut"  # it was hung up before its time, because the load was interrupted
    FAILED = "failed"
    CANCELLED = "cancelled"  # it wasn't connected yet when the load was interrupted


@dataclass(slots=True)
class LoadCallOutcome:
    """The outcome of one call, filled in while it is held."""

    number: int
    call_sid: str
    format: CallFormat
    ending: LoadCallEnding = LoadCallEnding.CANCELLED
    problem: str = ""
    seconds: float = 0.0  # from the answered handshake to the hang-up
    handshake: float | None = None  # seconds; None if there was no connection
    first_audio: float | None = None
    frames: int = 0
    lost_samples: int = 0  # per channel, not read by the server in time
    unread: int = 0  # the most bytes that waited for the server to read
    ignored_bytes: int = 0  # binary audio that jambonz would not play
    ignored_clips: int = 0  # ``playAudio`` that jambonz would not play because the server streams
    lateness: Histogram = field(default_factory=Histogram, repr=False)
    marks: Histogram = field(default_factory=Histogram, repr=False)
    end: ConnectionEnd | None = None
    echo: EchoResult | None = None
    echo_delays: Histogram | None = field(default=None, repr=False)
    echo_gains: Sequence[float] | None = field(default=None, repr=False)

    def as_json(self) -> dict[str, object]:
        return {
            "call": self.number,
            "call_sid": self.call_sid,
            "sample_rate": self.format.sample_rate,
            "mix_type": self.format.mix_type,
            "ending": self.ending.value,
            "problem": self.problem or None,
            "seconds": round(self.seconds, 3),
            "frames": self.frames,
            "handshake_ms": milliseconds(self.handshake),
            "first_audio_ms": milliseconds(self.first_audio),
            "mark_ms": times(self.marks.summary()),
            "lateness_ms": times(self.lateness.summary()),
            "unread_bytes": self.unread,
            "lost_samples": self.lost_samples,
            "ignored_bytes": self.ignored_bytes,
            "ignored_clips": self.ignored_clips,
            "closed_by": self.end.by if self.end else None,
            "close_code": self.end.code if self.end else None,
            "close_reason": self.end.reason if self.end else None,
            "echo": None if self.echo is None else echo_as_json(self.echo),
        }


def echo_as_json(echo: EchoResult) -> dict[str, object]:
    return {
        "sent": echo.sent,
        "lost": echo.lost,
        "missed_at_start": echo.missed_at_start,
        "out_of_order": echo.out_of_order,
        "repeated": echo.repeated,
        "inverted": echo.inverted,
        "delay_ms": times(echo.delay),
        "gain_db": None if echo.gain is None else echo.gain.scaled(1, 2),
    }


def milliseconds(value: float | None) -> float | None:
    return None if value is None else round(value * 1000, 3)


def times(summary: Summary | None) -> dict[str, float] | None:
    """Convert a summary of seconds to milliseconds."""
    return None if summary is None else summary.scaled(1000)
