"""
The messages in which another process asks a simulated call to press DTMF digits, over the call's own socket.
A request ``press`` is answered with ``key`` for each digit, then with ``pressed``, or with ``error``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from listenctl.errors import ListenctlError, NotFoundError
from listenctl.protocol import peer_json
from listenctl.protocol.dtmf_digits import (
    DIGIT_MS,
    DTMF_KEYS,
    GAP_MS,
    MAX_DIGIT_MS,
    MAX_GAP_MS,
    MIN_DIGIT_MS,
    PAUSE,
    PAUSE_SECONDS,
)

MAX_DIGITS = 1000
DIGIT_PRESSED = '{"type":"key"}'


@dataclass(frozen=True, slots=True)
class DtmfRequest:
    digits: str
    duration_ms: int = DIGIT_MS
    gap_ms: int = GAP_MS

    @classmethod
    def parse(cls, message: str | bytes) -> Self | None:
        decoded = peer_json.decode(message) if isinstance(message, str) else None
        match decoded and decoded[0]:
            case {"type": "press", "digits": str(digits), "durationMs": int(duration), "gapMs": int(gap)}:
                known = 0 < len(digits) <= MAX_DIGITS and set(digits) <= set(DTMF_KEYS + PAUSE)
                return cls(digits, duration, gap) if known and _within(duration, gap) else None
        return None

    def serialize(self) -> str:
        fields = {"digits": self.digits, "durationMs": self.duration_ms, "gapMs": self.gap_ms}
        return peer_json.encode({"type": "press"} | fields)

    def steps(self) -> Iterator[tuple[float, str]]:
        """Yield each digit after the seconds to wait for it; a pause at the end has an empty digit."""
        wait = 0.0
        for digit in self.digits:
            if digit == PAUSE:
                wait += PAUSE_SECONDS
            else:
                yield wait, digit
                wait = (self.duration_ms + self.gap_ms) / 1000
        if self.digits.endswith(PAUSE):
            yield wait, ""


def _within(duration_ms: int, gap_ms: int) -> bool:
    return MIN_DIGIT_MS <= duration_ms <= MAX_DIGIT_MS and 0 <= gap_ms <= MAX_GAP_MS


def request_done(*, passed: bool) -> str:
    """Return the answer when all digits were pressed; ``passed``: they were sent to the server."""
    return peer_json.encode({"type": "pressed", "passed": passed})


def request_refused(detail: str, *, ended: bool = False) -> str:
    """Return the answer when they weren't, with the reason; ``ended``: the call has ended."""
    return peer_json.encode({"type": "error", "detail": detail, "ended": ended})


def read_answer(message: str | bytes) -> bool | None:
    """Return None for a pressed digit, at the end whether digits are sent to the server; raises a refusal."""
    decoded = peer_json.decode(message) if isinstance(message, str) else None
    match decoded and decoded[0]:
        case {"type": "key"}:
            return None
        case {"type": "pressed", "passed": bool(passed)}:
            return passed
        case {"type": "error", "detail": str(detail), "ended": ended}:
            raise (NotFoundError if ended else ListenctlError)(detail)
    raise ListenctlError("the socket doesn't belong to a simulated call of listenctl")
