"""What is to be played of a capture, and what became of it."""

from dataclasses import dataclass, field
from enum import StrEnum

from listenctl.net.call_target import CallTarget
from listenctl.net.client_connection import ConnectionEnd
from listenctl.replay.compare_answers import AnswerComparison, CompareSettings
from listenctl.replay.replay_script import CaptureFile


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayPlan:
    """
    What is played, where to, and how.

    Attributes:
        speed: how many times as fast as in the capture; None is as fast as it goes.
        same_sid: leave the callSid as it was.
        compare: hold the answers against those in the capture.
    """

    capture: CaptureFile
    target: CallTarget
    speed: float | None = 1.0
    same_sid: bool = False
    compare: CompareSettings | None = None


@dataclass(slots=True, kw_only=True)
class ReplayResult:
    """
    How a call was played.

    Attributes:
        call: its number in the capture.
        copy: counts those that were played at once, from 1.
        round: counts the repetitions, from 1.
        frames: played; ``unplayed`` were left when the call was ended, ``early`` seconds before the last by the server;
            None where they weren't counted.
        cut_short: whether that was before its time.
        lost: places where frames of jambonz are missing in the capture.
        lateness: seconds that a frame was late at most; None where none had its time.
        taken: whether the server took everything and ended its side in order.
        error: why the server wasn't reached, or what was wrong with how it ended the call.
        notes: other things to be said, for people.
    """

    call: int
    copy: int
    round: int
    call_sid: str | None = None
    seconds: float = 0.0
    frames: int = 0
    bytes: int = 0
    unplayed: int | None = 0
    early: float = 0.0
    cut_short: bool = False
    lost: int = 0
    lateness: float | None = None
    end: ConnectionEnd | None = None
    taken: bool = False
    interrupted: bool = False
    error: str = ""
    notes: list[str] = field(default_factory=list)
    comparison: AnswerComparison | None = None

    @property
    def connected(self) -> bool:
        """Whether the server took the call."""
        return self.end is not None

    @property
    def ok(self) -> bool:
        """Whether the call was played to its end, and answered as in the capture if that was asked."""
        differs = self.comparison is not None and self.comparison.count
        return self.connected and not (self.error or self.cut_short or self.interrupted or differs)

    def as_json(self) -> dict[str, object]:
        """Return it as it is reported."""
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


class ReplaySync(StrEnum):
    """What the moments of a captured application count from."""

    HANDSHAKE = "handshake"
    ANSWERS = "answers"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationPlan:
    """
    What is played to whoever calls.

    Attributes:
        speed: how many times as fast as in the capture; None is as fast as it goes.
        authorization: the header's value that a client has to send, None for none.
    """

    capture: CaptureFile
    speed: float | None = 1.0
    sync: ReplaySync = ReplaySync.HANDSHAKE
    authorization: str | None = None


@dataclass(slots=True, kw_only=True)
class ApplicationResult:
    """
    How the application's side of a call was played.

    Attributes:
        call: its number in the capture.
        caller: counts the calls that came, from 1.
        frames: said; ``unsaid`` were left when the call ended, None where they weren't counted.
        texts: heard from the client, and ``audio_bytes``.
        missed: texts of jambonz that were waited for in vain.
        closed: the code of the first Close, of whoever sent it.
    """

    call: int
    caller: int
    seconds: float = 0.0
    frames: int = 0
    unsaid: int | None = 0
    lost: int = 0
    lateness: float | None = None
    texts: int = 0
    audio_bytes: int = 0
    missed: int = 0
    closed: int | None = None
    interrupted: bool = False
    error: str = ""

    @property
    def connected(self) -> bool:
        """Whether there was a call, as ``ReplayResult`` has it; who isn't connected has no result here."""
        return True

    @property
    def ok(self) -> bool:
        """Whether everything was said, and all that was waited for came."""
        return not (self.error or self.unsaid or self.missed or self.interrupted)

    def as_json(self) -> dict[str, object]:
        """Return it as it is reported."""
        return {
            "call": self.call,
            "caller": self.caller,
            "ok": self.ok,
            "seconds": round(self.seconds, 3),
            "frames": self.frames,
            "unsaid_frames": self.unsaid,
            "lost": self.lost,
            "lateness_ms": None if self.lateness is None else round(self.lateness * 1000, 1),
            "texts_heard": self.texts,
            "audio_bytes_heard": self.audio_bytes,
            "texts_missed": self.missed,
            "closed": self.closed,
            "interrupted": self.interrupted,
            "error": self.error or None,
        }
