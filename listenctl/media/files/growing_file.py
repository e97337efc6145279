"""What growing files of recordings have in common: they keep their names, and are closed once."""

import os
from abc import ABC, abstractmethod

from listenctl.media.files.kept_names import keeps_name, restore_name
from listenctl.media.files.new_files import NewFile
from listenctl.protocol.audio import AudioFormat


class GrowingFile(ABC):
    """A file of audio; a method that raises OSError leaves it as valid as it was."""

    def __init__(self, new_file: NewFile) -> None:
        self.path = new_file.path
        self.size = 0
        """Bytes of audio."""
        self._fd = new_file.fd

    @abstractmethod
    def append_audio(self, data: bytes) -> None: ...

    @abstractmethod
    def append_silence(self, length: int) -> None:
        """Append ``length`` bytes of silence, which take no space on disk."""

    @abstractmethod
    def reserve_space(self, at: int, length: int) -> None:
        """Reserve the space for ``insert_silence``, so that a full disk is noticed before anything is moved."""

    @abstractmethod
    def insert_silence(self, at: int, length: int) -> None: ...

    @abstractmethod
    def remove_last(self, length: int) -> None:
        """Remove what was just appended, because another file of the same call could not be written."""

    @abstractmethod
    def change_format(self, audio_format: AudioFormat) -> None: ...

    @abstractmethod
    def complete_audio(self) -> None: ...

    @abstractmethod
    def sync(self) -> None: ...

    def keeps_name(self) -> bool:
        return keeps_name(self._fd, self.path)

    def finish_file(self) -> bool:
        """
        Complete the file, and return whether it had lost its name, which it has again; ``path`` may be another then.

        Raises OSError if that failed; it can be tried again before ``close``.
        """
        self.complete_audio()
        if self.keeps_name():
            return False
        self.path = restore_name(self._fd, self.path)
        return True

    def close(self) -> None:
        """Complete and close the file; a second time it does nothing, even if the first one raised OSError."""
        if self._fd < 0:
            return
        try:
            self.complete_audio()
        finally:
            # Cleared first: a failed close frees the number, too, and another file may get it.
            fd, self._fd = self._fd, -1
            os.close(fd)
