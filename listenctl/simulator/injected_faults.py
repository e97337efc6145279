"""
Trouble on purpose: what the faults that were asked for do to one call.

Nothing here waits, sends or knows the time. The call asks at each turn what it may do, and what becomes of what it
sends; *elapsed* is seconds since the handshake was answered.
"""

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
"""When a stall or a pause begins, in seconds, unless it says."""
BURST_MARGIN = 0.5
"""Seconds that the buffer must hold beyond a burst, or what is captured meanwhile would overflow it."""

_SHORTEST = 0.001
_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")
_INTEGER = re.compile(r"[0-9]{1,12}")
_DIGITS = re.compile(r"[0-9*#A-D]{1,100}")
# What a header may name (RFC 9110 5.6.2).
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,200}")


class ClosingMode(StrEnum):
    """How a call ends by itself: with Close and FIN, with a reset, or not at all (protocol.md 13)."""

    HANG_UP = "hang-up"
    ABORT = "abort"
    SHUT_DOWN = "shut-down"


@dataclass(frozen=True, slots=True)
class Fault:
    """
    One trouble to make.

    Attributes:
        text: its value as given, or the default.
        number: the same if it is a number: seconds, samples or bytes.
        start: when a stall or a pause begins, in seconds.
    """

    kind: FaultKind
    text: str = ""
    number: float = 0.0
    start: float = 0.0

    @property
    def name(self) -> str:
        """The name of its kind."""
        return self.kind.name

    def covers(self, elapsed: float) -> bool:
        """Tell whether a stall or a pause goes on at that time."""
        return self.start <= elapsed < self.start + self.number


@dataclass(frozen=True, slots=True)
class FaultNote:
    """A fault that has begun, for the report; ``time`` is seconds since the handshake."""

    name: str
    value: str
    detail: str
    time: float


def parse_fault(spec: str) -> Fault:
    """Read one ``--fault``: ``NAME`` or ``NAME=VALUE``."""
    name, equals, value = spec.partition("=")
    kind = FAULT_KINDS.get(name)
    if kind is None:
        raise UsageError(f"--fault {name[:40]!r}: there is no such fault; give one of {', '.join(FAULT_KINDS)}")
    if equals and not kind.value:
        raise UsageError(f"--fault {spec[:80]!r}: takes no value; give {kind.usage}")
    try:
        return _read(kind, value if equals else kind.default)
    except ValueError as exc:
        raise UsageError(f"--fault {spec[:80]!r}: {exc}; give {kind.usage}") from exc


def _read(kind: FaultKind, text: str) -> Fault:
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
        raise ValueError(f"can't read {text[:40]!r}")
    return text


def _between(least: float, most: float, text: str) -> float:
    if not least <= float(text) <= most:
        raise ValueError(f"{text} is not from {least:g} to {most:.9g}")
    return float(text)


class InjectedFaults:
    """
    What the faults do to one call, in the order in which a call meets it.

    Attributes:
        backlog: seconds of audio that are captured before the connection is up, and leave in the first message.
        early_digits: keys that are pressed during the handshake; their texts leave together with the first one.
        read_rate: bytes a second that are read of what the server sends; None for as many as there are.
        ending: how the call ends.
        patience: seconds until a connection is given up that nobody closes.

    Raises:
        UsageError: Two faults contradict each other, or there is no right channel to be late.
    """

    def __init__(self, faults: Sequence[Fault] = (), *, channels: int = 1) -> None:
        self._faults = {fault.name: fault for fault in faults}
        self._stalls = tuple(fault for fault in faults if fault.name == "stall")
        self._pauses = tuple(fault for fault in faults if fault.name == "pause")
        _refuse_contradictions(faults, channels)
        self._notes = sorted((_note(fault) for fault in faults), key=lambda note: note.time)
        # Samples are only moved, so the host's byte order doesn't matter.
        self._late_channel = array("h", bytes(2 * int(self._number("skew"))))
        self.backlog = self._number("burst")
        self.early_digits = self._text("glued-texts")
        self.read_rate = self._number("slow-reader") if "slow-reader" in self._faults else None
        self.ending = self._ending()
        self.patience = self._number("graceful-shutdown")

    def subprotocol(self, default: str | None) -> str | None:
        """Return the subprotocol to offer, None for none, where ``default`` would be."""
        return None if "no-subprotocol" in self._faults else self._text("subprotocol") or default

    def buffer_seconds(self, default: float) -> float:
        """Return how much audio jambonz keeps for the server, so that a burst still comes in one message."""
        return max(default, self.backlog + BURST_MARGIN) if self.backlog else default

    def first_text(self, good: bytes) -> bytes | None:
        """Return what is sent instead of a good first text; None if nothing is."""
        if "no-first-frame" in self._faults:
            return None
        broken = (name.removeprefix("first-frame-") for name in self._faults)
        return next((BROKEN_FIRST_TEXTS[name](good) for name in broken if name in BROKEN_FIRST_TEXTS), good)

    def first_text_is_due(self, elapsed: float, *, audio_sent: bool) -> bool:
        """Tell whether the first text may leave: before any audio, or else audio goes ahead of it."""
        if "first-frame-binary" in self._faults:
            return audio_sent
        return elapsed >= self._number("late-first-frame")

    def together(self, texts: Sequence[bytes]) -> tuple[bytes, ...]:
        """Return the texts that wait to be sent at the same moment as the messages in which they go out."""
        return (b"".join(texts),) if "glued-texts" in self._faults and texts else tuple(texts)

    def gate(self, elapsed: float) -> bool:
        """Tell whether anything may be sent, text or audio; if not, it waits and may overflow (protocol.md 3.3)."""
        return not any(stall.covers(elapsed) for stall in self._stalls)

    def captures(self, elapsed: float) -> bool:
        """Tell whether audio is taken from the call; what is said while it is not is missing, without padding."""
        return not any(pause.covers(elapsed) for pause in self._pauses)

    def skew(self, samples: bytes) -> bytes:
        """Return interleaved stereo with the right channel late, silent at first."""
        if not self._late_channel:
            return samples
        both = array("h", samples)
        self._late_channel.extend(both[1::2])
        both[1::2] = self._late_channel[: len(both) // 2]
        del self._late_channel[: len(both) // 2]
        return both.tobytes()

    def cut(self, message: bytes) -> tuple[bytes, ...]:
        """Return the messages in which this binary one goes out: two with an odd number of bytes, or itself."""
        if "odd-chunks" not in self._faults or len(message) < 2:
            return (message,)
        middle = len(message) // 2 | 1
        return message[:middle], message[middle:]

    def reads(self, elapsed: float, received: int) -> bool:
        """Tell whether to read more, after so many bytes."""
        return self.read_rate is None or received < self.read_rate * elapsed

    def notes(self, elapsed: float) -> tuple[FaultNote, ...]:
        """Return the faults that have begun since the last time."""
        begun = tuple(note for note in self._notes if note.time <= elapsed)
        del self._notes[: len(begun)]
        return begun

    def _number(self, name: str) -> float:
        return self._faults[name].number if name in self._faults else 0.0

    def _text(self, name: str) -> str:
        return self._faults[name].text if name in self._faults else ""

    def _ending(self) -> ClosingMode:
        if "abrupt-end" in self._faults:
            return ClosingMode.ABORT
        return ClosingMode.SHUT_DOWN if "graceful-shutdown" in self._faults else ClosingMode.HANG_UP


def _refuse_contradictions(faults: Sequence[Fault], channels: int) -> None:
    shared = Counter(thing for fault in faults for thing in fault.kind.shares)
    for thing, wanted in shared.items():
        if wanted > 1:
            names = " and ".join(fault.name for fault in faults if thing in fault.kind.shares)
            raise UsageError(f"--fault {names}: only one can decide about the {thing}; leave the others out")
    if channels != 2 and any(fault.name == "skew" for fault in faults):
        raise UsageError("--fault skew: there is no right channel to be late; give --mix-type stereo")


def _note(fault: Fault) -> FaultNote:
    return FaultNote(fault.name, fault.text, fault.kind.say(fault.text), fault.start)
