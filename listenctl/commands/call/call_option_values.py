"""Values of the options of a simulated call that take more than a word to say."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from listenctl.errors import UsageError

if TYPE_CHECKING:
    from listenctl.simulator.plan import DtmfPress

DIGITS = "0123456789*#ABCD"

_PRESS = re.compile(r"(\d+(?:\.\d*)?|\.\d+):([0-9*#A-Da-d]+)")
_FIELD = re.compile(r"(?P<key>[^=]+?)(?P<json>:?)=(?P<value>.*)", re.DOTALL)


def parse_keys(text: str, *, spacing: float = 0.3) -> "tuple[DtmfPress, ...]":
    """
    Understand ``2.0:1 3.5:#``: times in seconds and keys, in the order in which the keys are pressed.

    Several keys at one time, as in ``2.0:12#``, are pressed ``spacing`` seconds after each other.

    Raises:
        UsageError: it says no keys, or no times.
    """
    from listenctl.simulator.plan import DtmfPress

    presses = []
    for word in text.split():
        found = _PRESS.fullmatch(word)
        if found is None:
            raise UsageError(f"--dtmf {word!r}: write SECONDS:KEYS, such as 2.0:1 or '2.0:12 3.5:#'; keys are {DIGITS}")
        at = float(found[1])
        presses += [DtmfPress(at + place * spacing, digit) for place, digit in enumerate(found[2].upper())]
    return tuple(sorted(presses, key=lambda press: press.time))


def space_digits(digits: str, *, first: float, digit_ms: int, gap_ms: int) -> "tuple[DtmfPress, ...]":
    """
    Return digits pressed one after the other from the second ``first`` on, with gaps between; ``w`` is a pause.

    Raises:
        UsageError: no phone has a key for one, or there are none.
    """
    from listenctl.simulator.dtmf_requests import DtmfRequest
    from listenctl.simulator.plan import DtmfPress

    presses, time = [], first
    for wait, digit in DtmfRequest(check_digits(digits), digit_ms, gap_ms).steps():
        time += wait
        presses += [DtmfPress(round(time, 3), digit, digit_ms / 1000)] if digit else []
    return tuple(presses)


def check_digits(digits: str) -> str:
    """
    Return digits as a phone has them, and ``w`` for a pause.

    Raises:
        UsageError: it hasn't all of them, there are none, or too many.
    """
    from listenctl.media.sources.tones import check_digits as check_keys
    from listenctl.simulator.dtmf_requests import MAX_DIGITS

    if not digits.strip("w"):
        raise UsageError("there are no digits to send")
    if len(digits) > MAX_DIGITS:
        raise UsageError(f"{len(digits)} digits are too many; send at most {MAX_DIGITS} at once")
    return check_keys(digits)


def parse_metadata(arguments: Sequence[str]) -> dict[str, object]:
    """
    Understand metadata: ``key=text``, ``key:=JSON``, or ``@file.json`` with an object; later ones go before earlier.

    Raises:
        UsageError: one is none of these, or a file can't be read.
    """
    metadata: dict[str, object] = {}
    for argument in arguments:
        metadata |= _read_object(Path(argument[1:])) if argument.startswith("@") else _parse_field(argument)
    return metadata


def _parse_field(argument: str) -> dict[str, object]:
    found = _FIELD.fullmatch(argument)
    if found is None:
        raise UsageError(f"--metadata {argument!r}: write KEY=TEXT, KEY:=JSON or @FILE")
    if not found["json"]:
        return {found["key"]: found["value"]}
    try:
        return {found["key"]: _parse_json(found["value"])}
    except ValueError as exc:
        raise UsageError(f"--metadata {argument!r}: the value isn't JSON; for text write {found['key']}=TEXT") from exc


def _read_object(path: Path) -> dict[str, object]:
    try:
        value = _parse_json(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise UsageError(f"{path}: can't be read: {exc.strerror}") from exc
    except ValueError as exc:
        raise UsageError(f"{path}: isn't JSON: {exc}") from exc
    if not isinstance(value, dict):
        raise UsageError(f"{path}: metadata are a JSON object, {{...}}")
    return value


def _parse_json(text: str) -> object:
    value: object = json.loads(text, parse_constant=_refuse_constant)
    return value


def _refuse_constant(name: str) -> object:
    # Python reads and writes NaN and Infinity; JSON has neither.
    raise ValueError(f"{name} is no JSON")
