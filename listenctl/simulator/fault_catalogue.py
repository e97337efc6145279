"""
Every trouble that a simulated call can make on purpose: its name, its value, and what a good server does about it.

Each is something that a jambonz media server has been seen to do, or the network to it (protocol.md 2.6, 3.3, 13).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class FaultValue(StrEnum):
    """What may follow the ``=`` of a fault; the text is the name that the help gives it."""

    NONE = ""
    SECONDS = "SECONDS"
    WINDOW = "SECONDS[@START]"
    SAMPLES = "SAMPLES"
    BYTES = "BYTES"
    DIGITS = "DIGITS"
    NAME = "NAME"


@dataclass(frozen=True, slots=True)
class FaultKind:
    """
    One kind of trouble.

    Attributes:
        does: what the call does.
        good_server: what a server should do then.
        value: what follows the ``=``.
        default: the value when there is no ``=``.
        most: the largest number that it takes.
        shares: what it has for itself, so that no other fault can have it too; nothing where it may come repeatedly.
    """

    name: str
    does: str
    good_server: str
    value: FaultValue = FaultValue.NONE
    default: str = ""
    most: float = 0.0
    shares: tuple[str, ...] = ()

    @property
    def usage(self) -> str:
        """How it is written: ``burst=SECONDS``."""
        return f"{self.name}={self.value}" if self.value else self.name

    def say(self, value: str) -> str:
        """Return what the call does where ``value`` was given: ``nothing is sent for 3 s``."""
        amount = value.partition("@")[0]
        words, said = next(((words, said) for words, said in _PLACES if words in self.does), ("", ""))
        return self.does.replace(words, said.format(amount), 1) if words else self.does


# Where a value stands in what a fault does, and how it is put there.
_PLACES = (
    ("so many seconds", "{} s"),
    ("so many samples", "{} samples"),
    ("so many bytes", "{} bytes"),
    ("these digits", "the digits {}"),
    ("this subprotocol", "{}"),
)


_KEEPS_RAW_TEXT = "keeps the raw text, repairs what it can, and goes on with the call"

_FIRST_FRAMES = (
    FaultKind(
        "first-frame-apostrophe",
        "the first text has lost an apostrophe and has a stray one behind its end",
        _KEEPS_RAW_TEXT,
        shares=("first text",),
    ),
    FaultKind(
        "first-frame-quotes",
        "quotes inside a value of the first text aren't escaped",
        _KEEPS_RAW_TEXT,
        shares=("first text",),
    ),
    FaultKind(
        "first-frame-newline",
        "a string in the first text contains a raw newline",
        _KEEPS_RAW_TEXT,
        shares=("first text",),
    ),
    FaultKind(
        "first-frame-cut",
        "the first text is cut off after 8192 bytes",
        "reads the fields that came whole, and goes on with the call",
        shares=("first text",),
    ),
    FaultKind(
        "first-frame-empty",
        "the first text is {}",
        "goes on with the sample rate and the channels that it is configured for",
        shares=("first text",),
    ),
    FaultKind(
        "first-frame-not-json",
        "the first text is no JSON at all",
        "keeps the raw text and goes on with the sample rate and the channels that it is configured for",
        shares=("first text",),
    ),
    FaultKind(
        "no-first-frame",
        "no first text is ever sent, as by applications other than jambonz",
        "goes on with the sample rate and the channels that it is configured for, without waiting for long",
        shares=("first text", "time of the first text"),
    ),
    FaultKind(
        "first-frame-binary",
        "audio comes first, the first text right behind it",
        "keeps the audio and takes the text when it comes",
        shares=("time of the first text",),
    ),
    FaultKind(
        "late-first-frame",
        "the first text comes so many seconds after the beginning, while audio flows",
        "keeps the audio from the beginning, and says or records what the call is when it knows",
        value=FaultValue.SECONDS,
        default="5",
        most=3600.0,
        shares=("time of the first text",),
    ),
    FaultKind(
        "glued-texts",
        "these digits are pressed during the handshake; texts that leave together come as one, with the first text too",
        "parses one object after the other, and takes every digit",
        value=FaultValue.DIGITS,
        default="12",
        shares=("glue",),
    ),
)

_AUDIO = (
    FaultKind(
        "burst",
        "so many seconds of audio from before the connection come in the first binary message",
        "takes a message of that size, and doesn't take the audio for faster than real time",
        value=FaultValue.SECONDS,
        default="1.5",
        most=5.0,
        shares=("burst",),
    ),
    FaultKind(
        "stall",
        "nothing is sent for so many seconds; beyond the buffer of jambonz all that waits is lost, "
        "and the next message lacks its first 16 bytes",
        "says where how much is missing; left and right don't swap",
        value=FaultValue.WINDOW,
        default="3",
        most=3600.0,
    ),
    FaultKind(
        "pause",
        "for so many seconds there is no audio, and nothing says so; texts still come",
        "keeps the call, and says or fills the gap",
        value=FaultValue.WINDOW,
        default="3",
        most=3600.0,
    ),
    FaultKind(
        "odd-chunks",
        "binary messages end in the middle of a sample",
        "joins the halves; no sample is lost or shifted by a byte",
        shares=("odd chunks",),
    ),
    FaultKind(
        "skew",
        "the right channel is late by so many samples, in stereo",
        "records what comes; nothing on the wire tells",
        value=FaultValue.SAMPLES,
        default="160",
        most=640_000.0,
        shares=("skew",),
    ),
)

_CONNECTION = (
    FaultKind(
        "slow-reader",
        "only so many bytes a second are read of what the server sends",
        "bounds what it queues for the call, goes on receiving, and doesn't wait forever",
        value=FaultValue.BYTES,
        default="0",
        most=1e9,
        shares=("reading",),
    ),
    FaultKind(
        "abrupt-end",
        "the connection is reset at the end, without Close",
        "keeps all that came before, and finishes its recording",
        shares=("end",),
    ),
    FaultKind(
        "graceful-shutdown",
        "at the end an empty binary message comes and the connection is never closed, as by a media server that "
        "shuts down; it is given up after so many seconds",
        "takes the empty message for the end, and closes",
        value=FaultValue.SECONDS,
        default="60",
        most=86_400.0,
        shares=("end",),
    ),
    FaultKind(
        "subprotocol",
        "this subprotocol is offered instead of audio.jambonz.org",
        "refuses what it doesn't speak, or answers without a subprotocol; audio.drachtio.org is one to accept",
        value=FaultValue.NAME,
        default="wrong.example.org",
        shares=("subprotocol",),
    ),
    FaultKind(
        "no-subprotocol",
        "no subprotocol is offered",
        "accepts the call, or refuses it in the handshake",
        shares=("subprotocol",),
    ),
)


def _by_name(kinds: Iterable[FaultKind]) -> Mapping[str, FaultKind]:
    return MappingProxyType({kind.name: kind for kind in kinds})


FAULT_KINDS = _by_name((*_FIRST_FRAMES, *_AUDIO, *_CONNECTION))
