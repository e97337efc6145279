"""
Hand-written JSON, with the types that jambonz's validator requires; a wrong one is a UsageError with its place. It says
that jambonz rejects the application only where both validators do, that of 0.9 and the published schema.
"""

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Self

from listenctl.errors import UsageError
from listenctl.protocol import peer_json

_VALUE_IN_ERROR = 40
REJECTED = "jambonz rejects the application"


@dataclass(frozen=True, slots=True)
class VerbJson:
    """The members of one object."""

    fields: Mapping[str, object]
    path: str  # place of the object in the document, such as ``[1].dial.listen``
    where: str
    checked: bool = True  # whether both validators check the types of the members

    @classmethod
    def from_value(cls, value: object, path: str, where: str, *, rejected: bool = True) -> Self:
        """Return an object; ``rejected`` is whether both validators reject anything else."""
        if not isinstance(value, dict):
            raise UsageError(f"{where}: {path} {_wrong('an object', value, rejected=rejected)}")
        return cls(value, path, where)

    def get_string(self, name: str) -> str | None:
        value = self.fields.get(name)
        if isinstance(value, str) or name not in self.fields:
            return value if isinstance(value, str) else None
        raise self.member_error(name, _wrong("a string", value, rejected=self.checked))

    def get_flag(self, name: str) -> bool | None:
        value = self.fields.get(name)
        if isinstance(value, bool) or name not in self.fields:
            return value if isinstance(value, bool) else None
        raise self.member_error(name, _wrong("true or false", value, rejected=self.checked))

    def get_number(self, name: str) -> float | None:
        """Return a number, None if the member is missing or 0, which jambonz treats alike."""
        if name not in self.fields:
            return None
        value = self.fields[name]
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.member_error(name, _wrong("a number", value, rejected=self.checked))
        if value < 0 or not math.isfinite(value):
            raise self.member_error(name, f"must not be negative: {value}")
        return value or None

    def get_whole_number(self, name: str, most: int) -> int | None:
        """Return a whole number from 1 to ``most``; None as in ``get_number``."""
        value = self.get_number(name)
        if value is None:
            return None
        if value != int(value) or value > most:
            raise self.member_error(name, f"must be a whole number up to {most}, not {value:g}")
        return int(value)

    def get_choice(self, name: str, choices: Collection[str]) -> str | None:
        value = self.fields.get(name)
        if isinstance(value, str) and value in choices:
            return value
        if name not in self.fields:
            return None
        raise self.member_error(name, _wrong(f"one of {', '.join(choices)}", value, rejected=self.checked))

    def get_object(self, name: str, *, rejected: bool = True) -> Self | None:
        """
        Return an object, None if the member is missing or null, which the validator of 0.9 accepts as an object;
        ``rejected`` is as in ``from_value``.
        """
        value = self.fields.get(name)
        if value is None:
            return None
        found = self.from_value(value, f"{self.path}.{name}", self.where, rejected=rejected and self.checked)
        return found if self.checked else replace(found, checked=False)

    def unknown_members(self, known: Collection[str]) -> list[str]:
        """Return the paths of the members that are not ``known``; jambonz accepts ``_`` anywhere."""
        return [f"{self.path}.{name}" for name in self.fields if name != "_" and name not in known]

    def member_error(self, name: str, problem: str) -> UsageError:
        return UsageError(f"{self.where}: {self.path}.{name} {problem}")


def read_document(raw: bytes, where: str) -> object:
    try:
        return read_json(peer_json.read_text(raw.decode("utf-8-sig").encode()), where)
    except UnicodeDecodeError as exc:
        raise UsageError(f"{where}: byte {exc.start} is not UTF-8; save the file as UTF-8") from exc


def read_json(text: str, where: str) -> object:
    start = len(text) - len(text.lstrip())
    value, end = peer_json.decode(text, start, strict=True) or (None, -1)
    if end < 0 or text[end:].strip():
        raise UsageError(f"{where}: {_fault(text)}")
    return value


def _fault(text: str) -> str:
    try:
        json.loads(text)
    except json.JSONDecodeError as exc:
        return f"line {exc.lineno}, column {exc.colno}: {exc.msg}; give one JSON value"
    except (ValueError, RecursionError):
        pass
    return "is not readable as JSON: a constant such as NaN, or too many levels"


def _wrong(wanted: str, value: object, *, rejected: bool) -> str:
    brief = peer_json.encode(value)
    shown = brief if len(brief) <= _VALUE_IN_ERROR else f"{brief[:_VALUE_IN_ERROR]}…"
    return f"must be {wanted}, not {shown}" + (f"; {REJECTED}" if rejected else "")
