"""An event on its way to a webhook or a command, and what both have in common."""

import json
import os
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, Self

from listenctl.json_lines import VERSION, JsonObject, ReportedEvent, json_line


class HookKind(StrEnum):
    WEBHOOK = "webhook"
    COMMAND = "command"


@dataclass(slots=True, eq=False)
class HookDelivery:
    """One event for one target; its id is the same at every attempt, so that a target can tell a repeated event."""

    id: str
    kind: HookKind
    target: str  # the URL, or the command line
    call: str | None
    body: bytes  # the event as JSON, which takes less memory than the event
    attempts: int = 0
    error: str = ""  # why the last attempt failed

    @classmethod
    def of(cls, kind: HookKind, target: str, call: str | None, body: bytes) -> Self:
        # Without a dot, which separates the parts of what is signed.
        return cls(f"msg_{os.urandom(16).hex()}", kind, target, call, body)

    @property
    def event(self) -> ReportedEvent:
        event: ReportedEvent = json.loads(self.body)
        return event

    def serialize(self) -> JsonObject:
        return {
            "v": VERSION,
            "id": self.id,
            str(self.kind): self.target,
            "attempts": self.attempts,
            "error": self.error,
            "event": self.event,
        }

    @classmethod
    def parse(cls, line: str) -> Self | None:
        """Parse a line of a dead-letter file; None if it is none."""
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            return None
        if not isinstance(found, dict):
            return None
        kind = next((kind for kind in HookKind if isinstance(found.get(kind), str)), None)
        name, event, attempts = found.get("id"), found.get("event"), found.get("attempts")
        if kind is None or not isinstance(name, str) or not isinstance(event, dict) or not isinstance(attempts, int):
            return None
        call = event.get("call")
        if not isinstance(call, str | None):
            return None
        return cls(name, kind, found[kind], call, json_line(event).encode(), attempts, str(found.get("error", "")))


@dataclass(frozen=True, slots=True)
class HookFailure:
    """Why an attempt failed."""

    problem: str
    retry_after: float = 0.0  # seconds for which the target wants to be left alone
    gone: bool = False  # whether the target wants no more events
    unreachable: bool = False  # whether there was no answer at all


class HookTarget(Protocol):
    @property
    def kind(self) -> HookKind: ...

    @property
    def address(self) -> str:
        """The URL, or the command line."""

    @property
    def shown(self) -> str:
        """The same for people, without secrets."""

    @property
    def at_once(self) -> int:
        """The most events that it gets at the same time."""

    async def attempt(self, delivery: HookDelivery) -> HookFailure | None:
        """Give it an event; None means that it has taken it."""
