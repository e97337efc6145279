"""The faults of ``--fault``, parsed and applied to one call; *elapsed* is seconds since the handshake was answered."""

import re
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from listenctl.errors import UsageError
from listenctl.protocol.jambonz_model.first_text import BROKEN_FIRST_TEXTS
from listenctl.simulator.fault_catalogue import FAULT_KINDS, FaultKind, FaultValue

DEFAULT_START = "2"
"""Seconds into the call at which a stall or a pause begins by default."""
BURST_MARGIN = 0.5
"""Seconds that the buffer holds beyond a burst, so that audio captured meanwhile doesn't overflow it."""

_SHORTEST = 0.001
_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")
_INTEGER = re.compile(r"[0-9]{1,12}")
_DIGITS = re.compile(r"[0-9*#A-D]{1,100}")
# A token of an HTTP header (RFC 9110 5.6.2).
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,200}")


class ClosingMode(StrEnum):
    """How a call ends its connection: Close and FIN, a reset, or not at all (listenctl-protocol(7) 13)."""

    HANG_UP = "hang-up"
    ABORT = "abort"
    SHUT_DOWN = "shut-down"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault to inject."""

    kind: FaultKind
    text: str = ""
    number: float = 0.0  # the same as a number of seconds, samples or bytes
    start: float = 0.0  # when a stall or a pause begins, in seconds

    @property
    def name(self) -> str:
        return self.kind.name

    def covers(self, elapsed: float) -> bool:
        return self.start <= elapsed < self.start + self.number


def parse_fault(spec: str) -> Fault:
    name, equals, value = spec.partition("=")
    kind = FAULT_KINDS.get(name)
    if kind is None:
        raise UsageError(f"--fault {name[:40]!r}: unknown fault; use one of {', '.join(FAULT_KINDS)}")
    if equals and not kind.value:
        raise UsageError(f"--fault {spec[:80]!r}: takes no value; use {kind.usage}")
    try:
        return _parse_value(kind, value if equals else kind.default)
    except ValueError as exc:
        raise UsageError(f"--fault {spec[:80]!r}: {exc}; use {kind.usage}") from exc


def _parse_value(kind: FaultKind, text: str) -> Fault:
    match kind.value:
        case FaultValue.NONE:
            return Fault(kind)
        case FaultValue.DIGITS | FaultValue.NAME:
            return Fault(kind, _match(_DIGITS if kind.value == FaultValue.DIGITS else _TOKEN, text))
        case FaultValue.SAMPLES | FaultValue.BYTES:
            least = 1.0 if kind.value == FaultValue.SAMPLES else 0.0
            return Fault(kind, text, _between(least, kind.most, _match(_INTEGER, text)))
        case FaultValue.SECONDS:
            return Fault(kind, text, _between(_SHORTEST, kind.most, _match(_NUMBER, text)))
    length, at, start = text.partition("@")
    seconds = _between(_SHORTEST, kind.most, _match(_NUMBER, length))
    return Fault(kind, text, seconds, _between(0.0, kind.most, _match(_NUMBER, start if at else DEFAULT_START)))


def _match(pattern: re.Pattern[str], text: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is not a valid value")
    return text


def _between(least: float, most: float, text: str) -> float:
    if not least <= float(text) <= most:
        raise ValueError(f"{text} is not between {least:g} and {most:.9g}")
    return float(text)


class InjectedFaults:
    """The faults of one call, in the order in which the call meets them."""

    def __init__(self, faults: Sequence[Fault] = (), *, channels: int = 1) -> None:
        self._faults = {fault.name: fault for fault in faults}
        self._stalls = tuple(fault for fault in faults if fault.name == "stall")
        self._pauses = tuple(fault for fault in faults if fault.name == "pause")
        _check_conflicts(faults, channels)
        self._coming = sorted(faults, key=lambda fault: fault.start)
        # Samples are only moved, so the host's byte order doesn't matter.
        self._delayed_channel = array("h", bytes(2 * int(self._number("skew"))))
        self.backlog = self._number("burst")
        """Seconds of audio captured before the connection, which leave in the first message."""
        self.early_digits = self._text("glued-texts")
        """Digits pressed during the handshake; their texts leave together with the first one."""
        self.read_rate = self._number("slow-reader") if "slow-reader" in self._faults else None
        """Bytes per second to read of what the server sends; None for no limit."""
        self.closing_mode = self._closing_mode()
        self.shutdown_timeout = self._number("graceful-shutdown")
        """Seconds after which the call gives up a connection that nobody closes."""

    def subprotocol(self, default: str | None) -> str | None:
        return None if "no-subprotocol" in self._faults else self._text("subprotocol") or default

    def buffer_seconds(self, default: float) -> float:
        """Return the size of jambonz's send buffer: large enough for a burst to leave in one message."""
        return max(default, self.backlog + BURST_MARGIN) if self.backlog else default

    def first_text(self, good: bytes) -> bytes | None:
        if "no-first-frame" in self._faults:
            return None
        broken = (name.removeprefix("first-frame-") for name in self._faults)
        return next((BROKEN_FIRST_TEXTS[name](good) for name in broken if name in BROKEN_FIRST_TEXTS), good)

    def first_text_is_due(self, elapsed: float, *, audio_sent: bool) -> bool:
        """Return whether the first text may leave now; without a fault it leaves before any audio."""
        if "first-frame-binary" in self._faults:
            return audio_sent
        return elapsed >= self._number("late-first-frame")

    def join_texts(self, texts: Sequence[bytes]) -> tuple[bytes, ...]:
        return (b"".join(texts),) if "glued-texts" in self._faults and texts else tuple(texts)

    def allows_sending(self, elapsed: float) -> bool:
        """Return whether texts and audio may be sent; otherwise they wait (listenctl-protocol(7) 3.3)."""
        return not any(stall.covers(elapsed) for stall in self._stalls)

    def captures_audio(self, elapsed: float) -> bool:
        """Return whether audio is taken from the call; during a pause it is dropped, without padding."""
        return not any(pause.covers(elapsed) for pause in self._pauses)

    def delay_right_channel(self, samples: bytes) -> bytes:
        if not self._delayed_channel:
            return samples
        both = array("h", samples)
        self._delayed_channel.extend(both[1::2])
        both[1::2] = self._delayed_channel[: len(both) // 2]
        del self._delayed_channel[: len(both) // 2]
        return both.tobytes()

    def split_message(self, message: bytes) -> tuple[bytes, ...]:
        """Return the messages in which a binary one is sent: itself, or two with an odd number of bytes."""
        if "odd-chunks" not in self._faults or len(message) < 2:
            return (message,)
        middle = len(message) // 2 | 1
        return message[:middle], message[middle:]

    def allows_reading(self, elapsed: float, received_bytes: int) -> bool:
        return self.read_rate is None or received_bytes < self.read_rate * elapsed

    def begun_faults(self, elapsed: float) -> tuple[Fault, ...]:
        begun = tuple(fault for fault in self._coming if fault.start <= elapsed)
        del self._coming[: len(begun)]
        return begun

    def _number(self, name: str) -> float:
        return self._faults[name].number if name in self._faults else 0.0

    def _text(self, name: str) -> str:
        return self._faults[name].text if name in self._faults else ""

    def _closing_mode(self) -> ClosingMode:
        if "abrupt-end" in self._faults:
            return ClosingMode.ABORT
        return ClosingMode.SHUT_DOWN if "graceful-shutdown" in self._faults else ClosingMode.HANG_UP


def _check_conflicts(faults: Sequence[Fault], channels: int) -> None:
    decided = Counter(thing for fault in faults for thing in fault.kind.decides)
    for thing, count in decided.items():
        if count > 1:
            names = " and ".join(fault.name for fault in faults if thing in fault.kind.decides)
            raise UsageError(f"--fault {names}: each of these decides the {thing}; keep one of them")
    if channels != 2 and any(fault.name == "skew" for fault in faults):
        raise UsageError("--fault skew: there is no right channel to delay; use --mix-type stereo")
