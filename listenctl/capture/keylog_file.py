"""A key log that is still being written, as it is while calls are captured live."""

from pathlib import Path

from listenctl.capture.tls_keylog import KeyLog, SecretLabel
from listenctl.errors import UsageError


class KeyLogFile(KeyLog):
    """
    The secrets in a file; what is appended to it is read when a secret is asked for that isn't known.

    Raises:
        UsageError: the file can't be read.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._read = 0
        try:
            self._read_on()
        except OSError as exc:
            raise UsageError(f"{path}: can't read the key log: {exc.strerror or exc}") from exc

    def find(self, label: SecretLabel, client_random: bytes) -> bytes | None:
        """Return a secret of the session that began with ``client_random``."""
        found = super().find(label, client_random)
        if found is None and self._grown():
            self._read_on()
            found = super().find(label, client_random)
        return found

    def _grown(self) -> bool:
        try:
            return self._path.stat().st_size > self._read
        except OSError:
            return False

    def _read_on(self) -> None:
        """Read the whole lines that are new."""
        with self._path.open("rb") as file:
            file.seek(self._read)
            for line in file:
                # A line that is being written is read as far as it is there, and once more when it is complete.
                self.add(line)
                if line.endswith(b"\n"):
                    self._read += len(line)
