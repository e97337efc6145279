"""Fields of JSON objects that may hold anything: what isn't of the type asked for is taken for missing."""

from datetime import datetime

Object = dict[str, object]
MAX_COUNT = 1 << 48


def object_in(fields: Object, name: str) -> Object:
    """Return an object, empty if there is none."""
    value = fields.get(name)
    return value if isinstance(value, dict) else {}


def list_in(fields: Object, name: str) -> list[object]:
    """Return an array, empty if there is none."""
    value = fields.get(name)
    return value if isinstance(value, list) else []


def string_in(fields: Object, name: str) -> str:
    """Return a string, empty if there is none."""
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def count_in(fields: Object, name: str) -> int:
    """Return a whole number that isn't negative, 0 if there is none."""
    value = fields.get(name)
    return min(max(0, int(value)), MAX_COUNT) if isinstance(value, int | float) and not isinstance(value, bool) else 0


def time_in(fields: Object, name: str) -> float | None:
    """Return the Unix time that stands there as ISO 8601, None if there is none."""
    try:
        return datetime.fromisoformat(string_in(fields, name)).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
