"""The faults of ``--fault``, observed in media servers or the network to them (listenctl-protocol(7) 2.6, 3.3, 13)."""

from dataclasses import dataclass
from enum import StrEnum


class FaultValue(StrEnum):
    NONE = ""
    SECONDS = "SECONDS"
    WINDOW = "SECONDS[@START]"
    SAMPLES = "SAMPLES"
    BYTES = "BYTES"
    DIGITS = "DIGITS"
    NAME = "NAME"


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One kind of fault."""

    name: str
    effect: str  # what the call does; ``{}`` is the value
    value: FaultValue = FaultValue.NONE
    default: str = ""
    most: float = 0.0  # the largest number allowed
    decides: tuple[str, ...] = ()
    """What only one fault of a call can decide; empty if the fault can be given repeatedly."""

    @property
    def usage(self) -> str:
        return f"{self.name}={self.value}" if self.value else self.name

    def describe(self, value: str) -> str:
        return self.effect.format(value.partition("@")[0])


_SECONDS, _WINDOW = FaultValue.SECONDS, FaultValue.WINDOW
_FIRST_TEXT = ("first text",)
_FIRST_TEXT_TIME = ("time of the first text",)
_SUBPROTOCOL = ("subprotocol",)
_END = ("end",)
_HOUR, _DAY = 3600.0, 86_400.0

_KINDS = (
    FaultKind(
        "first-frame-apostrophe",
        "the first text lacks an apostrophe and has a stray one after its end",
        decides=_FIRST_TEXT,
    ),
    FaultKind("first-frame-quotes", "quotes inside a value of the first text are not escaped", decides=_FIRST_TEXT),
    FaultKind("first-frame-newline", "a string in the first text contains a raw newline", decides=_FIRST_TEXT),
    FaultKind("first-frame-cut", "the first text is cut off after 8192 bytes", decides=_FIRST_TEXT),
    FaultKind("first-frame-empty", "the first text is {{}}", decides=_FIRST_TEXT),
    FaultKind("first-frame-not-json", "the first text is not JSON", decides=_FIRST_TEXT),
    FaultKind(
        "no-first-frame",
        "the first text is never sent, as with applications other than jambonz",
        decides=_FIRST_TEXT + _FIRST_TEXT_TIME,
    ),
    FaultKind(
        "first-frame-binary", "audio comes first, immediately followed by the first text", decides=_FIRST_TEXT_TIME
    ),
    FaultKind(
        "late-first-frame",
        "the first text is sent {} s after the start, while audio flows",
        _SECONDS,
        default="5",
        most=_HOUR,
        decides=_FIRST_TEXT_TIME,
    ),
    FaultKind(
        "glued-texts",
        "the digits {} are pressed during the handshake; texts sent together are joined, including the first one",
        FaultValue.DIGITS,
        default="12",
        decides=("joined texts",),
    ),
    FaultKind(
        "burst",
        "the first binary message contains {} s of audio from before the connection",
        _SECONDS,
        default="1.5",
        most=5.0,
        decides=("burst",),
    ),
    FaultKind(
        "stall",
        "nothing is sent for {} s; when the buffer of jambonz is full, all audio in it is lost, "
        "and the next message lacks its first 16 bytes",
        _WINDOW,
        default="3",
        most=_HOUR,
    ),
    FaultKind(
        "pause", "no audio is sent for {} s, and nothing announces that; texts are still sent", _WINDOW, "3", _HOUR
    ),
    FaultKind("odd-chunks", "binary messages end in the middle of a sample", decides=("odd chunks",)),
    FaultKind(
        "skew",
        "the right channel is delayed by {} samples",
        FaultValue.SAMPLES,
        default="160",
        most=640_000.0,
        decides=("skew",),
    ),
    FaultKind(
        "slow-reader",
        "only {} bytes per second of what the server sends are read",
        FaultValue.BYTES,
        default="0",
        most=1e9,
        decides=("reading",),
    ),
    FaultKind("abrupt-end", "the connection is reset at the end, without a Close frame", decides=_END),
    FaultKind(
        "graceful-shutdown",
        "at the end, an empty binary message is sent and the connection stays open, as with a media server that shuts "
        "down; the call gives up after {} s",
        _SECONDS,
        default="60",
        most=_DAY,
        decides=_END,
    ),
    FaultKind(
        "subprotocol",
        "{} is offered instead of audio.jambonz.org",
        FaultValue.NAME,
        default="wrong.example.org",
        decides=_SUBPROTOCOL,
    ),
    FaultKind("no-subprotocol", "no subprotocol is offered", decides=_SUBPROTOCOL),
)

FAULT_KINDS = {kind.name: kind for kind in _KINDS}
