"""
Keys that are to be pressed in a simulated call, as another process says so over the call's own socket.

A text ``{"type":"press","digits":"12#","durationMs":200,"gapMs":100}`` is answered with ``key`` for each that is, and
with ``pressed`` behind the last, or with ``error``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from listenctl.errors import ListenctlError, NotFoundError
from listenctl.protocol import peer_json

KEYS = "0123456789*#ABCD"
PAUSE, PAUSE_SECONDS = "w", 0.5
MAX_DIGITS = 1000
DURATIONS_MS, GAPS_MS = (50, 24_000), (0, 60_000)
"""FreeSWITCH holds no key longer (protocol.md 4)."""


@dataclass(frozen=True, slots=True)
class DtmfRequest:
    """Keys, and ``w`` for a pause, one after the other."""

    digits: str
    duration_ms: int = 200
    gap_ms: int = 100

    @classmethod
    def parse(cls, message: str | bytes) -> Self | None:
        """Read a message; None if it is none, or no phone can do that."""
        decoded = peer_json.decode(message) if isinstance(message, str) else None
        match decoded and decoded[0]:
            case {"type": "press", "digits": str(digits), "durationMs": int(duration), "gapMs": int(gap)}:
                known = 0 < len(digits) <= MAX_DIGITS and set(digits) <= set(KEYS + PAUSE)
                return cls(digits, duration, gap) if known and _within(duration, gap) else None
        return None

    def serialize(self) -> str:
        """Return the text to send."""
        fields = {"digits": self.digits, "durationMs": self.duration_ms, "gapMs": self.gap_ms}
        return peer_json.encode({"type": "press"} | fields)

    def steps(self) -> Iterator[tuple[float, str]]:
        """Give each key behind the seconds to wait for it; the key is empty where that is all."""
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
    return DURATIONS_MS[0] <= duration_ms <= DURATIONS_MS[1] and GAPS_MS[0] <= gap_ms <= GAPS_MS[1]


def key_down() -> str:
    """Return what is told when a key has been pressed."""
    return peer_json.encode({"type": "key"})


def pressed(*, passed: bool) -> str:
    """Return the answer when all keys were pressed; ``passed``: the server is told of them."""
    return peer_json.encode({"type": "pressed", "passed": passed})


def refused(detail: str, *, ended: bool = False) -> str:
    """Return the answer when they weren't, with a sentence that says why; ``ended``: the call has."""
    return peer_json.encode({"type": "error", "detail": detail, "ended": ended})


def read_answer(message: str | bytes) -> bool | None:
    """
    Return None if one more key was pressed; if that were all, whether the server is told of them.

    Raises:
        NotFoundError: the call has ended.
        ListenctlError: they weren't pressed for another reason.
    """
    decoded = peer_json.decode(message) if isinstance(message, str) else None
    match decoded and decoded[0]:
        case {"type": "key"}:
            return None
        case {"type": "pressed", "passed": bool(passed)}:
            return passed
        case {"type": "error", "detail": str(detail), "ended": ended}:
            raise (NotFoundError if ended else ListenctlError)(detail)
    raise ListenctlError("what answers is no simulated call of listenctl")
