"""DTMF digits as options: which digits are valid, and when each is pressed."""

import re
from typing import TYPE_CHECKING

from listenctl.errors import UsageError
from listenctl.protocol.dtmf_digits import DTMF_KEYS, PAUSE

if TYPE_CHECKING:
    from listenctl.simulator.plan import DtmfPress

_PRESS = re.compile(r"(\d+(?:\.\d*)?|\.\d+):([0-9*#A-Da-d]+)")


def parse_keys(text: str, *, spacing: float = 0.3) -> "tuple[DtmfPress, ...]":
    """
    Parse ``2.0:1 3.5:#``: times in seconds and keys, in the order of their times.

    Several keys at one time, as in ``2.0:12#``, are pressed ``spacing`` seconds apart.

    Raises:
        UsageError: keys or times are missing.
    """
    from listenctl.simulator.plan import DtmfPress

    presses = []
    for word in text.split():
        found = _PRESS.fullmatch(word)
        if found is None:
            raise UsageError(
                f"--dtmf {word!r}: write SECONDS:KEYS, such as 2.0:1 or '2.0:12 3.5:#'; keys are {DTMF_KEYS}"
            )
        at = float(found[1])
        presses += [DtmfPress(at + place * spacing, digit) for place, digit in enumerate(found[2].upper())]
    return tuple(sorted(presses, key=lambda press: press.time))


def space_digits(digits: str, *, first: float, digit_ms: int, gap_ms: int) -> "tuple[DtmfPress, ...]":
    """
    Return digits pressed one after the other from the second ``first`` on; ``w`` is a pause. Raises UsageError if a
    digit is invalid, or there are none.
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
    Return valid digits, with ``w`` for a pause.

    Raises UsageError if one is invalid, or there are none or too many.
    """
    from listenctl.media.sources.tones import normalize_digits
    from listenctl.simulator.dtmf_requests import MAX_DIGITS

    if not digits.strip(PAUSE):
        raise UsageError("there are no digits to send")
    if len(digits) > MAX_DIGITS:
        raise UsageError(f"{len(digits)} digits are too many; send at most {MAX_DIGITS} at once")
    return normalize_digits(digits)
