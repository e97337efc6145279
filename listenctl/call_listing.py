"""
The live calls of a server as its control socket lists them: the answer to ``GET /calls`` (`listenctl-control(5)`).

A server of another version may have other fields: what is missing or of the wrong type is read as empty, 0 or None.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Self

from listenctl.json_lines import PARTY_NAMES, VERSION, JsonObject, parse_timestamp, timestamp
from listenctl.protocol.peer_json import count_in, number_in, string_in

_JSON_NAMES = PARTY_NAMES | {"id": "call"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedServer:
    url: str
    pid: int
    name: str
    recording: bool

    @classmethod
    def parse(cls, fields: Mapping[str, object]) -> Self:
        return cls(
            url=string_in(fields, "url"),
            pid=count_in(fields, "pid"),
            name=string_in(fields, "name"),
            recording=fields.get("recording") is True,
        )

    def serialize(self) -> JsonObject:
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedCall:
    """
    A live call.

    Attributes:
        started: Unix time.
        caller, callee, direction: from the metadata, which can hold anything; None if they are missing.
        recording: path of the file.
        unwritten_seconds: what a crash would cost of the recording.
        attached: number of tools.
        stream_rate: 0 if the call plays clips, None if it is not known.
    """

    id: str
    call_sid: str | None
    started: float | None
    duration: float
    caller: object
    callee: object
    direction: object
    sample_rate: int
    channels: int
    mix_type: str | None
    remote: str
    target: str
    recording: str | None
    digits: str
    gap_seconds: float
    unwritten_seconds: float
    attached: int
    stream_rate: int | None

    @property
    def layout(self) -> str:
        """The mix type, or what the number of channels suggests."""
        return self.mix_type or ("stereo" if self.channels == 2 else "mono")

    @classmethod
    def parse(cls, fields: Mapping[str, object]) -> Self:
        rate = fields.get("stream_rate")
        return cls(
            id=string_in(fields, "call"),
            call_sid=string_in(fields, "call_sid") or None,
            started=parse_timestamp(string_in(fields, "started")),
            duration=number_in(fields, "duration") or 0.0,
            caller=fields.get("from"),
            callee=fields.get("to"),
            direction=fields.get("direction"),
            sample_rate=count_in(fields, "sample_rate"),
            channels=count_in(fields, "channels"),
            mix_type=string_in(fields, "mix_type") or None,
            remote=string_in(fields, "remote"),
            target=string_in(fields, "target"),
            recording=string_in(fields, "recording") or None,
            digits=string_in(fields, "digits"),
            gap_seconds=number_in(fields, "gap_seconds") or 0.0,
            unwritten_seconds=number_in(fields, "unwritten_seconds") or 0.0,
            attached=count_in(fields, "attached"),
            stream_rate=rate if isinstance(rate, int) else None,
        )

    def serialize(self) -> JsonObject:
        report = {_JSON_NAMES.get(name, name): value for name, value in asdict(self).items()}
        started = None if self.started is None else timestamp(self.started)
        times = {
            "duration": round(self.duration, 3),
            "gap_seconds": round(self.gap_seconds, 3),
            "unwritten_seconds": round(self.unwritten_seconds, 3),
        }
        return report | {"started": started} | times


@dataclass(frozen=True, slots=True)
class CallListing:
    """A server and its live calls, oldest first."""

    server: ListedServer
    calls: Sequence[ListedCall]

    @classmethod
    def parse(cls, value: object) -> Self | None:
        """Read a JSON value; None if it isn't a listing."""
        match value:
            case {"server": dict(server), "calls": list(calls)} if all(isinstance(call, dict) for call in calls):
                return cls(ListedServer.parse(server), [ListedCall.parse(call) for call in calls])
        return None

    def serialize(self) -> JsonObject:
        calls = [call.serialize() for call in self.calls]
        return {"v": VERSION, "server": self.server.serialize(), "calls": calls}
