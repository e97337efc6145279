"""JSON lines and the times in them, as in everything that other programs read."""

import json
from datetime import UTC, datetime
from typing import Any, TypeAlias

VERSION = 1
"""The value of ``v`` in every object."""

# The years 1 to 9999, which RFC 3339 can write; a damaged capture has others.
_FIRST, _LAST = -62_135_596_800.0, 253_402_300_799.0

MAX_TEXT = 1000
"""Characters of an application's text that are reported."""

JsonObject: TypeAlias = dict[str, object]
ReportedEvent: TypeAlias = dict[str, Any]
"""An event as a JSON object; its kind decides which fields it has (`listenctl-events(5)`)."""


def moment(at: float) -> datetime:
    """Return a Unix time in UTC, limited to the years that a calendar has."""
    return datetime.fromtimestamp(min(max(at, _FIRST), _LAST), UTC)


def timestamp(at: float) -> str:
    """Return a Unix time as RFC 3339 in UTC with milliseconds."""
    return moment(at).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_timestamp(text: str) -> float | None:
    """Return the Unix time of an ISO 8601 text, None if it is none."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def json_line(value: JsonObject) -> str:
    """Return a JSON object as one line; lone surrogates from the wire are escaped."""
    return json.dumps(value, ensure_ascii=False).encode(errors="backslashreplace").decode()
