"""Records of the marks and clips of one call, each with its answer and what playout expects of it."""

from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from listenctl.inspection.rule_violations import MessagePlace
from listenctl.json_lines import MAX_TEXT, JsonObject
from listenctl.protocol.application_commands import MarkCommand, PlayAudio
from listenctl.protocol.call_sharing.mark_and_clip_names import is_generated_name
from listenctl.protocol.jambonz_messages import Mark, PlayDone
from listenctl.protocol.jambonz_model.command_verdicts import PlayoutOutbox, VerdictReason
from listenctl.protocol.jambonz_model.profiles import Profile

MAX_RECORDS = 10_000
"""Listed marks, clips and keys of one call; further ones are only counted."""


@dataclass(slots=True, eq=False, kw_only=True)
class _PlayoutRecord:
    """``due`` is when jambonz should have answered, None if unknown."""

    at: float
    position: int | None
    packet: int | None
    due: float | None = None
    verdicts: list[VerdictReason] = field(default_factory=list)

    def add_verdict(self, at: float, reason: VerdictReason, *, finished: bool) -> None:
        if reason:
            self.verdicts.append(reason)
        if finished:
            self.due = at


@dataclass(slots=True, eq=False, kw_only=True)
class MarkRecord(_PlayoutRecord):
    name: str
    result: str | None = None
    answered: float | None = None

    @property
    def is_of_tool(self) -> bool:
        """Whether a tool that was attached to a server of listenctl sent it, for example to probe the call."""
        return is_generated_name(self.name)

    @property
    def round_trip(self) -> float | None:
        return None if self.answered is None else self.answered - self.at

    def to_json(self) -> JsonObject:
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


@dataclass(slots=True, eq=False, kw_only=True)
class ClipRecord(_PlayoutRecord):
    """A clip and its playDone; ``seconds`` is its duration as jambonz decodes it, None if jambonz can't."""

    command: JsonObject
    id: object
    seconds: float | None
    decoded_rate: int | None
    done: float | None = None
    reason: str | None = None
    played_ms: float | None = None

    @property
    def result(self) -> str | None:
        """How it ended: ``done``, or ``killed`` if a killAudio stopped it; None if no playDone came."""
        if self.done is None:
            return None
        return "killed" if VerdictReason.KILLED in self.verdicts else "done"

    def add_verdict(self, at: float, reason: VerdictReason, *, finished: bool) -> None:
        if reason is VerdictReason.KILLED and self.done is not None:
            return  # It ended before the killAudio, a little earlier than expected.
        super(ClipRecord, self).add_verdict(at, reason, finished=finished)

    def to_json(self) -> JsonObject:
        described = {name: value for name, value in self.command.items() if name != "type"}
        return {
            **described,
            "time": round(self.at, 3),
            "position": self.position,
            "packet": self.packet,
            "seconds": _rounded(self.seconds),
            "played_rate": self.decoded_rate,
            "result": self.result,
            "done": _rounded(self.done),
            "played_ms": self.played_ms,
            "reason": self.reason,
            "expected": _rounded(self.due),
            "verdicts": self.verdicts,
        }


_Record = TypeVar("_Record", MarkRecord, ClipRecord)


class _SentRecords(Generic[_Record]):
    """Match what was sent with its answers, by key and in order."""

    def __init__(self) -> None:
        self.records: list[_Record] = []
        self._sent = 0
        self._open: dict[str, deque[_Record]] = {}

    @property
    def over_listed(self) -> int:
        """Number of marks or clips that ``records`` omits."""
        return self._sent - len(self.records)

    def _add(self, key: str, record: _Record) -> None:
        self._sent += 1
        if len(self.records) < MAX_RECORDS:
            self.records.append(record)
            self._open.setdefault(key, deque()).append(record)

    def _take_open(self, key: str) -> _Record | None:
        waiting = self._open.get(key)
        if not waiting:
            return None
        record = waiting.popleft()
        if not waiting:
            del self._open[key]
        return record


class SentMarks(_SentRecords[MarkRecord]):
    def add_mark(self, mark: MarkCommand, place: MessagePlace) -> MarkRecord:
        name = mark.name[:MAX_TEXT]
        record = MarkRecord(name=name, at=place.at, position=place.position, packet=place.packet)
        self._add(name, record)
        return record

    def answer_mark(self, at: float, mark: Mark) -> bool:
        """Take an answer; return whether such a mark may be outstanding."""
        record = self._take_open(mark.name[:MAX_TEXT])
        if record:
            record.result, record.answered = mark.event, at
        return record is not None or self.over_listed > 0

    def clear_marks(self) -> None:
        """Take a clearMarks: outstanding marks will not be answered."""
        for record in self.unanswered:
            record.result = "forgotten"
        self._open.clear()

    @property
    def unanswered(self) -> list[MarkRecord]:
        return [record for record in self.records if record.result is None]


class SentClips(_SentRecords[ClipRecord]):
    def __init__(self, profile: Profile) -> None:
        super().__init__()
        self._profile = profile

    def add_clip(self, clip: PlayAudio, place: MessagePlace) -> ClipRecord:
        # Imported here, because few calls have clips and the start-up counts.
        from listenctl.events import CommandEvent
        from listenctl.media.files.libsndfile import read_clip_wav
        from listenctl.protocol.jambonz_model.clip_decoder import ClipDecoder

        described = CommandEvent.of(clip).serialize()
        decoded = ClipDecoder(self._profile, 1, None, read_clip_wav, PlayoutOutbox()).decode_clip(clip)
        record = ClipRecord(
            command=described,
            id=described["id"],
            at=place.at,
            position=place.position,
            packet=place.packet,
            seconds=decoded.source_samples / decoded.source_rate if decoded else None,
            decoded_rate=decoded.source_rate if decoded else None,
        )
        self._add(_key_of(clip.id), record)
        return record

    def answer_clip(self, at: float, done: PlayDone) -> bool:
        """Take a playDone; return whether such a clip may be outstanding."""
        record = self._take_open(_key_of(done.id))
        if record:
            record.done, record.reason, record.played_ms = at, done.reason, done.duration_ms
        return record is not None or self.over_listed > 0


def _key_of(clip_id: object) -> str:
    return str(clip_id)[:MAX_TEXT]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
