"""A recording that is encrypted while it grows: each write is a message that nothing after it can damage."""

import os
from collections.abc import Sequence
from contextlib import suppress

from listenctl.media.encryption.age_keys import AgeRecipients
from listenctl.media.encryption.encrypted_messages import (
    FIRST_LINE,
    LAST_LINE,
    MAX_AUDIO,
    AudioMessage,
    frame_message,
)
from listenctl.media.files.growing_file import GrowingFile
from listenctl.media.files.new_files import NewFile, write_all
from listenctl.protocol.audio import AudioFormat


class EncryptedFile(GrowingFile):
    """
    One encrypted file on disk; ``size`` counts its audio.

    What was written is never read or changed again, because only the recipients can. Silence in the middle is therefore
    a message at the end, which says where it belongs.
    """

    def __init__(self, new_file: NewFile, audio_format: AudioFormat, recipients: AgeRecipients) -> None:
        super().__init__(new_file)
        self._recipients = recipients
        self._format = audio_format
        self._file_id = os.urandom(16).hex()
        self._messages = 0
        self._complete = False
        self._overhang = False  # whether there may be bytes after the last whole message
        write_all(self._fd, FIRST_LINE, 0)
        self._end = len(FIRST_LINE)
        self._before_last = (self._end, 0)  # end and number of messages before the last write

    def append_audio(self, data: bytes) -> None:
        self._write(
            [
                self._message(number, self.size + start, audio=data[start : start + MAX_AUDIO])
                for number, start in enumerate(range(0, len(data), MAX_AUDIO))
            ]
        )
        self.size += len(data)

    def append_silence(self, length: int) -> None:
        self.insert_silence(self.size, length)

    def reserve_space(self, at: int, length: int) -> None:  # noqa: ARG002 - silence takes the space of a message
        self._overhang = True
        os.posix_fallocate(self._fd, self._end, self._recipients.overhead)

    def insert_silence(self, at: int, length: int) -> None:
        self._write([self._message(0, at, silence=length)])
        self.size += length

    def remove_last(self, length: int) -> None:
        self.size -= length
        self._end, self._messages = self._before_last
        self._overhang = True

    def change_format(self, audio_format: AudioFormat) -> None:
        """Change the format of all audio; each message says it, and the last one counts."""
        self._format = audio_format

    def complete_audio(self) -> None:
        if not self._complete:
            self._write([self._message(0, self.size, last=True)], LAST_LINE)
            self._complete = True
        self._cut_overhang()

    def sync(self) -> None:
        os.fsync(self._fd)

    def _message(
        self, number: int, at: int, *, silence: int = 0, audio: bytes = b"", last: bool = False
    ) -> AudioMessage:
        return AudioMessage(self._file_id, self._messages + number, self._format, at, silence, audio, last)

    def _write(self, messages: Sequence[AudioMessage], after: bytes = b"") -> None:
        """Append messages, all of them or none."""
        framed = [frame_message(self._recipients.encrypt(message.serialize())) for message in messages]
        data = b"".join([*framed, after])
        overhang, self._overhang = self._overhang, True
        write_all(self._fd, data, self._end)
        self._overhang = overhang
        self._before_last = (self._end, self._messages)
        self._end += len(data)
        self._messages += len(messages)
        with suppress(OSError):  # Tried again by the next write, and reported when the file is completed.
            self._cut_overhang()

    def _cut_overhang(self) -> None:
        if self._overhang:
            os.ftruncate(self._fd, self._end)
            self._overhang = False
