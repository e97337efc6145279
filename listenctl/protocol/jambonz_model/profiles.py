"""
The implementations of the jambonz side, and how they differ in playing what they receive (listenctl-protocol(7) 0, 8).
``current`` is jambonz 0.9 with the last public media server and its faults; ``next`` is jambonz 11 with mediajam, which
equals it as far as is known, except for marks.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

from listenctl.protocol.jambonz_messages import JambonzMessage, PlayDone

_ESCAPES = {r"\"": '"', r"\n": "\n", r"\t": "\t", r"\s": " "}


class PlayDoneForm(StrEnum):
    """What a playDone contains: nothing, numbers as strings, or numbers (listenctl-protocol(7) 4)."""

    BARE = "bare"
    STRINGS = "strings"
    NUMBERS = "numbers"


@dataclass(frozen=True, slots=True)
class Profile:
    """One implementation."""

    name: str
    streams: bool  # supports binary audio and marks
    exact_stream: bool
    """Plays a stream as documented, instead of with the faults of listenctl-protocol(7) 6.2 to 6.4."""
    honours_enabled: bool  # ``bidirectionalAudio.enabled`` also disables streaming (listenctl-protocol(7) 5.2)
    crashes_without_type: bool  # a playAudio without a string ``audioContentType`` crashes the media server
    rejects_unknown_options: bool  # an option that the validator doesn't know makes it reject the application
    reads_string_rates: bool  # reads ``"8000"`` as 8000
    raw_sample_bytes: Mapping[int, int]  # bytes read as one sample of a raw clip, by rate; 0 where there is no reader
    start_ticks: int  # ticks from the start of a clip until it is audible; one in real calls
    queues_always: bool  # clips queue without ``queuePlay`` instead of interrupting each other
    max_waiting: int  # clips that wait behind the one that plays
    kill_empties_queue: bool  # killAudio also stops waiting clips
    play_done: PlayDoneForm  # the form of a playDone
    glues_texts: bool  # texts that are sent together become one (listenctl-protocol(7) 4)
    mangles_play_done: bool  # quotes and escapes of its ``id`` are lost on the command line (listenctl-protocol(7) 2.6)

    def serialize_messages(self, messages: Iterable[JambonzMessage]) -> tuple[str, ...]:
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
    rejects_unknown_options=True,
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
    rejects_unknown_options=False,
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
    """Return a text as FreeSWITCH's command line changes it; an odd apostrophe moves to its end."""
    for escape, char in _ESCAPES.items():
        text = text.replace(escape, char)
    return text.replace("'", "") + "'" * (text.count("'") % 2)
