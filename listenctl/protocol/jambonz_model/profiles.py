"""
What tells the implementations of the jambonz side apart, in how they play what they are sent (protocol.md 0, 8).

A profile is data; ``current`` is the last public media server with its faults, the others differ from it where the
documentation or the facts do. What isn't known of ``next`` is taken from ``current``, but for marks, which are
presumably reworked.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

from listenctl.protocol.jambonz_messages import JambonzMessage, PlayDone

_ESCAPES = {r"\"": '"', r"\n": "\n", r"\t": "\t", r"\s": " "}


class PlayDoneForm(StrEnum):
    """How much a playDone says: nothing, or its numbers as strings or as numbers (protocol.md 4)."""

    BARE = "bare"
    STRINGS = "strings"
    NUMBERS = "numbers"


@dataclass(frozen=True, slots=True)
class Profile:
    """
    One implementation.

    Attributes:
        streams: takes binary audio and marks at all.
        exact_stream: plays a stream as documented: at once, with marks where they belong. Otherwise with the
            pre-buffer, the tail and the faults of protocol.md 6.2 to 6.4.
        honours_enabled: ``bidirectionalAudio.enabled`` switches streaming off too (protocol.md 5.2).
        crashes_without_type: a playAudio without a string ``audioContentType`` ends the media server.
        reads_string_rates: takes ``"8000"`` for 8000.
        raw_sample_bytes: the bytes that are read as one sample of a raw clip, by rate; 0 where nothing can read it.
        start_ticks: ticks from the start of a clip until it is heard; one, after the times of real calls.
        queues_always: clips queue without ``queuePlay``, instead of nesting.
        max_waiting: clips that wait behind the one that plays.
        kill_empties_queue: killAudio stops what waits too.
        play_done: the form of a playDone.
        glues_texts: texts that leave together become one (protocol.md 4).
        mangles_play_done: quotes and escapes of its ``id`` don't survive the command line (protocol.md 2.6).
    """

    name: str
    streams: bool
    exact_stream: bool
    honours_enabled: bool
    crashes_without_type: bool
    reads_string_rates: bool
    raw_sample_bytes: Mapping[int, int]
    start_ticks: int
    queues_always: bool
    max_waiting: int
    kill_empties_queue: bool
    play_done: PlayDoneForm
    glues_texts: bool
    mangles_play_done: bool

    def serialize_messages(self, messages: Iterable[JambonzMessage]) -> tuple[str, ...]:
        """Return the texts in which messages go out that leave together."""
        texts = tuple(self._text(message) for message in messages)
        return ("".join(texts),) if self.glues_texts and texts else texts

    def _text(self, message: JambonzMessage) -> str:
        text = message.serialize()
        return _mangle(text) if self.mangles_play_done and isinstance(message, PlayDone) else text


CURRENT = Profile(
    name="current",
    streams=True,
    exact_stream=False,
    honours_enabled=False,
    crashes_without_type=True,
    reads_string_rates=False,
    raw_sample_bytes=MappingProxyType({8000: 2, 16000: 2, 24000: 3, 32000: 4, 48000: 0, 64000: 0}),
    start_ticks=1,
    queues_always=False,
    max_waiting=11,
    kill_empties_queue=False,
    play_done=PlayDoneForm.STRINGS,
    glues_texts=False,
    mangles_play_done=True,
)
OLD = replace(CURRENT, name="old", streams=False, glues_texts=True)
NEXT = replace(
    CURRENT,
    name="next",
    exact_stream=True,
    honours_enabled=True,
    crashes_without_type=False,
    play_done=PlayDoneForm.NUMBERS,
    mangles_play_done=False,
)
IDEAL = replace(
    NEXT,
    name="ideal",
    reads_string_rates=True,
    raw_sample_bytes=MappingProxyType(dict.fromkeys((8000, 16000, 24000, 32000, 48000, 64000), 2)),
    start_ticks=0,
    queues_always=True,
    max_waiting=10,
    kill_empties_queue=True,
    play_done=PlayDoneForm.BARE,
)

PROFILES = MappingProxyType({profile.name: profile for profile in (IDEAL, CURRENT, OLD, NEXT)})


def _mangle(text: str) -> str:
    """Do to a text what FreeSWITCH's splitter of arguments does; an odd apostrophe ends up behind it."""
    for escape, char in _ESCAPES.items():
        text = text.replace(escape, char)
    return text.replace("'", "") + "'" * (text.count("'") % 2)
