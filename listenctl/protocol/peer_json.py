"""JSON from a peer: reading never raises, and gives no lone surrogates, no infinities, no deep nesting."""

import json
import math
import re
import sys
from collections.abc import Mapping
from typing import TypeAlias

MAX_DEPTH = 64
MAX_DIGITS = 300
MAX_COUNT = 1 << 48
MAX_ITEMS = 100_000
"""Values in one text: 84 MB of small lists would take 2 GB of memory."""
UNBOUNDED = sys.maxsize  # values in a file of ours, or in a capture that is read at once

JsonFields: TypeAlias = dict[str, object]

# Matches everything but a lone surrogate, escapes as a whole: the ``\ud800`` in ``\\ud800`` is no surrogate.
_UNPAIRED = re.compile(
    r"(?:[^\\]|\\(?!u[dD][89a-fA-F]).)++"
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})",
    re.DOTALL,
)


def read_text(raw: bytes) -> str:
    """Return ``raw`` as text, with U+FFFD for invalid UTF-8 and for escapes of lone surrogates."""
    text = raw.decode("utf-8", "replace")
    # The substitution takes a quarter of a second on a clip of 20 MB.
    return _UNPAIRED.sub(lambda run: r"\ufffd" if run[1] else run[0], text) if r"\u" in text else text


def decode(text: str, at: int = 0, *, strict: bool = False, max_items: int = MAX_ITEMS) -> tuple[object, int] | None:
    """
    Return the JSON value at ``at`` and the index after it, or None; ``strict`` rejects raw control characters. A text
    with more than ``max_items`` values is not read, where commas and brackets in strings may count, too.
    """
    if len(text) > max_items // 2 and (not at or text[:at].isspace()) and sum(map(text.count, ",[{")) > max_items:
        return None
    try:
        value, end = (_STRICT if strict else _LAX).raw_decode(text, at)
    except (ValueError, RecursionError):
        return None
    return None if _too_deep(value) else (value, end)


def encode(value: object, *, sort_keys: bool = False) -> str:
    """Return ``value`` as the media server writes it: no spaces, non-ASCII characters unescaped."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=sort_keys)


def parse_number(value: object) -> float | None:
    """Return a number, or the number in a string of decimal digits; None for anything else."""
    match value:
        case bool():
            return None
        case int() | float():
            return value
        case str() if value.isascii() and value.isdecimal() and len(value) <= MAX_DIGITS:
            return int(value)
    return None


def object_in(fields: Mapping[str, object], name: str) -> JsonFields:
    value = fields.get(name)
    return value if isinstance(value, dict) else {}


def list_in(fields: Mapping[str, object], name: str) -> list[object]:
    value = fields.get(name)
    return value if isinstance(value, list) else []


def string_in(fields: Mapping[str, object], name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def number_in(fields: Mapping[str, object], name: str) -> float | None:
    value = fields.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def count_in(fields: Mapping[str, object], name: str) -> int:
    """Return the whole number in a field, at most ``MAX_COUNT``; 0 if it is negative or the field holds no number."""
    return min(max(0, int(number_in(fields, name) or 0)), MAX_COUNT)


def _too_deep(value: object) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return False
    return True


def _children(value: object) -> list[object]:
    match value:
        case dict():
            return list(value.values())
        case list():
            return value
    return []


# JSON allows numbers that would be infinite in Python and make our own JSON invalid; they stay text.
def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) <= MAX_DIGITS else digits


def _float(digits: str) -> float | str:
    value = float(digits)
    return value if math.isfinite(value) else digits


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


_STRICT = json.JSONDecoder(parse_int=_integer, parse_float=_float, parse_constant=_refuse_constant)
_LAX = json.JSONDecoder(parse_int=_integer, parse_float=_float, parse_constant=_refuse_constant, strict=False)
