"""What became of the marks and clips of one call: what was sent, matched with what jambonz answered."""

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from listenctl.events import MAX_TEXT, Report, describe_command
from listenctl.media.files.read_clip_wav import read_clip_wav
from listenctl.protocol.application_commands import PlayAudio
from listenctl.protocol.audio import Resampler
from listenctl.protocol.jambonz_messages import Mark, PlayDone
from listenctl.protocol.jambonz_model.clip_decoder import ClipReader
from listenctl.protocol.jambonz_model.command_verdicts import CommandOutcome, PlayoutOutbox, Verdict
from listenctl.protocol.jambonz_model.profiles import Profile

MAX_RECORDS = 10_000
"""Marks and clips that are listed of one call; more are counted."""


@dataclass(slots=True, eq=False)
class MarkRecord:
    """A mark; ``due`` is when jambonz should have answered it as far as can be told."""

    name: str
    at: float
    position: int | None
    packet: int | None
    result: str | None = None
    answered: float | None = None
    due: float | None = None
    verdicts: list[str] = field(default_factory=list)

    def judge(self, at: float, verdict: Verdict) -> None:
        """Take notice of what should have become of it at ``at``."""
        self.due = _note(self.verdicts, verdict, at, self.due)

    @property
    def round_trip(self) -> float | None:
        """Seconds from the mark to its answer."""
        return None if self.answered is None else self.answered - self.at

    def to_json(self) -> Report:
        """Return it as it stands in `listenctl-inspect(5)`."""
        return {
            "name": self.name,
            "time": round(self.at, 3),
            "position": self.position,
            "packet": self.packet,
            "result": self.result,
            "answered": _rounded(self.answered),
            "round_trip": _rounded(self.round_trip),
            "expected": _rounded(self.due),
            "verdicts": self.verdicts,
        }


@dataclass(slots=True, eq=False)
class ClipRecord:
    """A clip; ``seconds`` is how long it is as jambonz reads it, None where it can't be read."""

    command: Report
    id: object
    at: float
    position: int | None
    packet: int | None
    seconds: float | None
    decoded_rate: int | None
    done: float | None = None
    reason: str | None = None
    played_ms: float | None = None
    due: float | None = None
    verdicts: list[str] = field(default_factory=list)

    def judge(self, at: float, verdict: Verdict) -> None:
        """Take notice of what should have become of it at ``at``."""
        self.due = _note(self.verdicts, verdict, at, self.due)

    def to_json(self) -> Report:
        """Return it as it stands in `listenctl-inspect(5)`."""
        described = {name: value for name, value in self.command.items() if name != "type"}
        return {
            **described,
            "time": round(self.at, 3),
            "position": self.position,
            "packet": self.packet,
            "seconds": _rounded(self.seconds),
            "played_rate": self.decoded_rate,
            "done": _rounded(self.done),
            "played_ms": self.played_ms,
            "reason": self.reason,
            "expected": _rounded(self.due),
            "verdicts": self.verdicts,
        }


# Made for every frame of a stream; a frozen dataclass takes three times as long.
class MessagePlace(NamedTuple):
    """When and where something was sent, and what is kept of it if it is a mark or a clip."""

    at: float
    position: int | None = None
    packet: int | None = None
    record: MarkRecord | ClipRecord | None = None


class SentMarks:
    """Match the marks of a call with their answers, by name and in order."""

    def __init__(self) -> None:
        self.records: list[MarkRecord] = []
        self.sent = 0
        self._open: dict[str, deque[MarkRecord]] = {}

    def add(self, record: MarkRecord) -> None:
        """Take a mark."""
        self.sent += 1
        if len(self.records) < MAX_RECORDS:
            self.records.append(record)
            self._open.setdefault(record.name, deque()).append(record)

    def answer(self, at: float, mark: Mark) -> bool:
        """Take an answer; False if no such mark is open."""
        name = mark.name[:MAX_TEXT]
        waiting = self._open.get(name)
        if not waiting:
            # What is beyond the list was sent, but isn't known by its name.
            return self.sent > MAX_RECORDS
        record = waiting.popleft()
        record.result, record.answered = mark.event, at
        if not waiting:
            del self._open[name]
        return True

    @property
    def over_listed(self) -> int:
        """How many aren't listed."""
        return self.sent - len(self.records)

    def forget(self) -> None:
        """Take a clearMarks: what is open isn't answered any more."""
        for record in self.unanswered:
            record.result = "forgotten"
        self._open.clear()

    @property
    def unanswered(self) -> list[MarkRecord]:
        """The marks that are still open, in order."""
        return [record for record in self.records if record.result is None]


class SentClips:
    """Match the clips of a call with their playDones, by id and in order."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self.records: list[ClipRecord] = []
        self.sent = 0
        self._open: dict[str, deque[ClipRecord]] = {}

    def add(self, at: float, command: PlayAudio, position: int | None, packet: int | None) -> ClipRecord:
        """Take a clip."""
        self.sent += 1
        seconds, rate = self._read(command)
        described = describe_command(command)
        record = ClipRecord(described, described["id"], at, position, packet, seconds, rate)
        if len(self.records) < MAX_RECORDS:
            self.records.append(record)
            self._open.setdefault(_key(command.id), deque()).append(record)
        return record

    def answer(self, at: float, done: PlayDone) -> bool:
        """Take a playDone; False if no such clip is open."""
        key = _key(done.id)
        waiting = self._open.get(key)
        if not waiting:
            return self.sent > MAX_RECORDS
        record = waiting.popleft()
        record.done, record.reason, record.played_ms = at, done.reason, done.duration_ms
        if not waiting:
            del self._open[key]
        return True

    @property
    def over_listed(self) -> int:
        """How many aren't listed."""
        return self.sent - len(self.records)

    def _read(self, command: PlayAudio) -> tuple[float | None, int | None]:
        clip = ClipReader(self._profile, 1, _unchanged, read_clip_wav, PlayoutOutbox()).read(command)
        return (clip.source_samples / clip.source_rate, clip.source_rate) if clip else (None, None)


def _note(verdicts: list[str], verdict: Verdict, at: float, due: float | None) -> float | None:
    """Add a verdict to those that there are; return when the end is due."""
    if verdict.reason:
        verdicts.append(verdict.reason)
    return at if verdict.outcome is CommandOutcome.FINISHED else due


def _key(clip_id: object) -> str:
    return str(clip_id)[:MAX_TEXT]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _unchanged(_from_rate: int, _to_rate: int) -> Resampler:
    """Make what leaves samples as they are: only how many there are matters."""
    return _same


def _same(samples: bytes, *, last: bool = False) -> bytes:  # noqa: ARG001 - a resampler's parameter
    return samples
