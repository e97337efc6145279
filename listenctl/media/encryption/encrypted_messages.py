"""
The format of an encrypted recording (`listenctl-recording(5)`): a first line, messages, and a last line.

Each message is a whole age file behind a line with its length, so a file that was cut can be decrypted up to its last
whole message. Anyone who can write can also remove, repeat or exchange messages. What reveals this is encrypted: the
number of each message, and an id of the file that nobody else can know.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Self

from listenctl.media.encryption.age_keys import AGE_MAGIC
from listenctl.protocol.audio import MAX_RATE, AudioFormat
from listenctl.protocol.peer_json import decode

FIRST_LINE = b"listenctl-encrypted 1\n"
LAST_LINE = b"end\n"
"""It says that the recording is complete, also to those who have no key; its last message says it to the others."""
MAX_AUDIO = 1 << 20
"""Bytes of audio in one message."""
MAX_MESSAGE = 4 << 20

_LENGTH_LINE = re.compile(rb"(\d{1,7})\n")
_MESSAGE = re.compile(rb"(\d{1,7})\n" + re.escape(AGE_MAGIC))
_LINE_BYTES = 8
_BLOCK = 1 << 16
_MAX_SIZE = 1 << 48


@dataclass(frozen=True, slots=True)
class AudioMessage:
    """Puts ``silence`` bytes of silence, and then audio, at byte ``at`` of the audio so far; what is there moves."""

    file: str
    number: int
    audio_format: AudioFormat
    at: int
    silence: int = 0
    audio: bytes = b""
    last: bool = False

    def serialize(self) -> bytes:
        head = {
            "v": 1,
            "file": self.file,
            "number": self.number,
            "sample_rate": self.audio_format.sample_rate,
            "channels": self.audio_format.channels,
            "at": self.at,
            "silence": self.silence,
            "last": self.last,
        }
        return json.dumps(head).encode() + b"\n" + self.audio

    @classmethod
    def parse(cls, data: bytes) -> Self | None:
        """Read a decrypted message, None if it isn't one; it may come from anyone who knows a recipient."""
        head, _, audio = data.partition(b"\n")
        match decode(head.decode(errors="replace")):
            case (
                {
                    "v": 1,
                    "file": str(file),
                    "number": int(number),
                    "sample_rate": int(sample_rate),
                    "channels": 1 | 2 as channels,
                    "at": int(at),
                    "silence": int(silence),
                    "last": bool(last),
                },
                _,
            ) if 0 < sample_rate <= MAX_RATE and min(number, at, silence) >= 0 and max(at, silence) < _MAX_SIZE:
                return cls(file, number, AudioFormat(sample_rate, int(channels)), at, silence, audio, last)
        return None


def frame_message(message: bytes) -> bytes:
    return b"%d\n%b" % (len(message), message)


class MessageReader:
    """Cut a file into messages, in bounded memory; where it is damaged, it goes on at the next message."""

    def __init__(self, file: BinaryIO) -> None:
        self.ended = False  # whether the last line was read
        self.skipped_bytes = 0  # that belong to no whole message
        self._file = file
        self._buffer = bytearray()

    def read_first_line(self) -> bool:
        """Return whether this is an encrypted recording."""
        self._fill(len(FIRST_LINE))
        if not self._buffer.startswith(FIRST_LINE):
            return False
        del self._buffer[: len(FIRST_LINE)]
        return True

    def read_messages(self) -> Iterator[bytes]:
        """Yield whole messages, still encrypted."""
        while self._fill(1):
            self._fill(_LINE_BYTES)
            if self._buffer == LAST_LINE:
                self.ended = True
                return
            found = _LENGTH_LINE.match(self._buffer)
            size = int(found[1]) if found else 0
            if not found or size > MAX_MESSAGE or not self._fill(found.end() + size):
                self._find_message()
                continue
            message = bytes(self._buffer[found.end() : found.end() + size])
            del self._buffer[: found.end() + size]
            yield message

    def _find_message(self) -> None:
        """Skip to the next message whose beginning is there, or to the end of the file."""
        here = _MESSAGE.match(self._buffer)
        start = here.end() if here else 1
        while True:
            if found := _MESSAGE.search(self._buffer, start):
                self._skip(found.start())
                return
            self._skip(max(0, len(self._buffer) - _LINE_BYTES - len(AGE_MAGIC)))
            start = 0
            if not self._fill(len(self._buffer) + 1):
                # The mark of a complete recording counts, whatever is missing before it.
                self._skip(len(self._buffer) - (len(LAST_LINE) if self._buffer.endswith(LAST_LINE) else 0))
                return

    def _skip(self, length: int) -> None:
        self.skipped_bytes += length
        del self._buffer[:length]

    def _fill(self, length: int) -> bool:
        """Read until the buffer has ``length`` bytes; return False if the file ends before that."""
        while len(self._buffer) < length:
            block = self._file.read(_BLOCK)
            if not block:
                return False
            self._buffer += block
        return True
