"""JSON lines and the times in them, as in everything that other programs read."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from json.encoder import encode_basestring
from math import isfinite
from types import NoneType
from typing import Any, TypeAlias

VERSION = 1
"""The value of ``v`` in every object."""

PARTY_NAMES = {"caller": "from", "callee": "to"}
"""The names of the parties in JSON, which are those of the metadata."""

# The years 1 to 9999, which RFC 3339 can write; a damaged capture has others.
_FIRST, _LAST = -62_135_596_800.0, 253_402_300_799.0

# All are in the basic plane, so that four digits are enough.
_UNSAFE = re.compile(
    "[\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb]"
)

MAX_TEXT = 1000
"""Characters of an application's text that are reported."""

_ENCODER = json.JSONEncoder(ensure_ascii=False)

JsonObject: TypeAlias = dict[str, object]
ReportedEvent: TypeAlias = dict[str, Any]
"""An event as a JSON object; its kind decides which fields it has (`listenctl-events(5)`)."""


def moment(at: float) -> datetime:
    """Return a Unix time in UTC, limited to the years that a calendar has."""
    return datetime.fromtimestamp(min(max(at, _FIRST), _LAST), UTC)


def timestamp(at: float) -> str:
    """Return a Unix time as RFC 3339 in UTC with milliseconds."""
    return moment(at).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def parse_timestamp(text: str) -> float | None:
    """Return the Unix time of an ISO 8601 text, None if it is none."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def json_line(value: object) -> str:
    """
    Return a JSON value as one line.

    What a terminal obeys or a reader can't see (C1 controls, bidirectional and zero-width marks) is escaped, and so
    are lone surrogates from the wire.
    """
    return _escape(_encode(value))


def json_document(fields: JsonObject) -> str:
    """Return a JSON object for people: a line for each field, each field of a field, and each object of a list."""
    return _escape("{\n  " + ",\n  ".join(_members(fields, _encode_over_lines)) + "\n}\n")


def _members(fields: JsonObject, encode_other: Callable[[object], str]) -> list[str]:
    # A sidecar has more than fifty; with a Python call for each value it takes twice as long.
    return [
        f"{encode_basestring(name)}: {_ENCODE_SCALAR.get(value.__class__, encode_other)(value)}"
        for name, value in fields.items()
    ]


def _encode_over_lines(value: object) -> str:
    match value:
        case dict() if value:
            parts, brackets = _members(value, _ENCODER.encode), "{}"
        case [dict(), *_]:
            parts, brackets = [_ENCODER.encode(part) for part in value], "[]"
        case []:
            return "[]"  # as most lists are
        case _:
            return _encode(value)
    return f"{brackets[0]}\n    " + ",\n    ".join(parts) + f"\n  {brackets[1]}"


def _encode(value: object) -> str:
    # ``json.dumps`` makes an encoder for each value, which takes ten times as long.
    encode: Callable[[object], str] = _ENCODE_SCALAR.get(value.__class__, _ENCODER.encode)
    return encode(value)


def _encode_float(value: float) -> str:
    return repr(value) if isfinite(value) else _ENCODER.encode(value)


def _escape(text: str) -> str:
    if text.isascii() and "\x7f" not in text:
        return text
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


_ENCODE_SCALAR: dict[type, Callable[..., str]] = {
    str: encode_basestring,
    int: repr,
    float: _encode_float,
    bool: {True: "true", False: "false"}.__getitem__,
    NoneType: {None: "null"}.__getitem__,
}
