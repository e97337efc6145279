"""The results of replayed calls, as they are reported in JSON, and their totals."""

from dataclasses import dataclass, field
from typing import ClassVar

from listenctl.net.client_connection import ConnectionEnd
from listenctl.replay.compare_answers import AnswerComparison


@dataclass(slots=True, kw_only=True)
class ReplayResult:
    """How a call was played to a server."""

    call: int
    copy: int  # the number of the simultaneous copy, from 1
    round: int  # the number of the repetition, from 1
    call_sid: str | None = None
    seconds: float = 0.0
    frames: int = 0  # frames played; ``unplayed`` were left when the call ended, None if they weren't counted
    bytes: int = 0
    unplayed: int | None = 0
    early: float = 0.0
    cut_short: bool = False  # the server ended the call before its time
    lost: int = 0  # places where frames of jambonz are missing in the capture
    lateness: float | None = None  # the most seconds that a frame was late; None if no frame had a deadline
    end: ConnectionEnd | None = None
    taken: bool = False  # the server received everything and ended its side in order
    interrupted: bool = False
    error: str = ""  # why the server wasn't reached, or what was wrong with how it ended the call
    notes: list[str] = field(default_factory=list)
    comparison: AnswerComparison | None = None

    @property
    def connected(self) -> bool:
        return self.end is not None

    @property
    def ok(self) -> bool:
        """Whether the call was played to its end, and answered as in the capture if that was to be compared."""
        differs = self.comparison is not None and self.comparison.count
        return self.connected and not (self.error or self.cut_short or self.interrupted or differs)

    def as_json(self) -> dict[str, object]:
        end = self.end
        return {
            "call": self.call,
            "copy": self.copy,
            "round": self.round,
            "call_sid": self.call_sid,
            "ok": self.ok,
            "seconds": round(self.seconds, 3),
            "frames": self.frames,
            "bytes": self.bytes,
            "unplayed_frames": self.unplayed,
            "cut_short": self.cut_short,
            "lost": self.lost,
            "lateness_ms": None if self.lateness is None else round(self.lateness * 1000, 1),
            "end": end and {"by": end.by, "code": end.code, "reason": end.reason, "detail": end.detail},
            "taken": self.taken,
            "interrupted": self.interrupted,
            "error": self.error or None,
            "notes": self.notes,
            "comparison": self.comparison.as_json() if self.comparison else None,
        }


@dataclass(slots=True, kw_only=True)
class ApplicationResult:
    """How the application's side of a call was played to a client."""

    connected: ClassVar[bool] = True
    """A client without a call has no result."""

    call: int
    caller: int  # the number of the client, from 1
    seconds: float = 0.0
    frames: int = 0  # frames sent; ``unsent`` were left when the call ended, None if they weren't counted
    unsent: int | None = 0
    lost: int = 0  # places where frames of the application are missing in the capture
    lateness: float | None = None  # the most seconds that a frame was late; None if no frame had a deadline
    received_texts: int = 0  # what the client sent; so with the next field
    received_audio_bytes: int = 0
    missed_texts: int = 0
    closed: int | None = None  # the code of the first Close frame of either side
    interrupted: bool = False
    error: str = ""

    @property
    def ok(self) -> bool:
        return not (self.error or self.unsent or self.missed_texts or self.interrupted)

    def as_json(self) -> dict[str, object]:
        return {
            "call": self.call,
            "caller": self.caller,
            "ok": self.ok,
            "seconds": round(self.seconds, 3),
            "frames": self.frames,
            "unsaid_frames": self.unsent,
            "lost": self.lost,
            "lateness_ms": None if self.lateness is None else round(self.lateness * 1000, 1),
            "texts_heard": self.received_texts,
            "audio_bytes_heard": self.received_audio_bytes,
            "texts_missed": self.missed_texts,
            "closed": self.closed,
            "interrupted": self.interrupted,
            "error": self.error or None,
        }


@dataclass(slots=True)
class ReplayTotals:
    played: int = 0
    connected: int = 0
    ok: int = 0
    error: str = ""

    def add_result(self, result: ReplayResult | ApplicationResult) -> None:
        self.played += 1
        self.connected += result.connected
        self.ok += result.ok
        self.error = self.error or result.error
