"""Secrets of TLS sessions in the NSS key log format: what SSLKEYLOGFILE of browsers, curl, Python and Node contains."""

from enum import StrEnum
from pathlib import Path

from listenctl.errors import UsageError

CLIENT_RANDOM_BYTES = 32

# 250 bytes of memory each; a pcapng file can have any number of them.
MAX_SECRETS = 200_000


class SecretLabel(StrEnum):
    """The labels that are used; others, like EXPORTER_SECRET and RSA, are skipped."""

    MASTER = "CLIENT_RANDOM"
    CLIENT_HANDSHAKE = "CLIENT_HANDSHAKE_TRAFFIC_SECRET"
    SERVER_HANDSHAKE = "SERVER_HANDSHAKE_TRAFFIC_SECRET"
    CLIENT_TRAFFIC = "CLIENT_TRAFFIC_SECRET_0"
    SERVER_TRAFFIC = "SERVER_TRAFFIC_SECRET_0"


_LABELS = frozenset(SecretLabel)


class KeyLog:
    """The known secrets; more can be added at any time, and the oldest are dropped when there are too many."""

    def __init__(self, text: str | bytes = "") -> None:
        self._secrets: dict[tuple[str, bytes], bytes] = {}
        self.added_count = 0  # secrets ever added
        self.add_lines(text)

    def __len__(self) -> int:
        return len(self._secrets)

    def copy(self) -> "KeyLog":
        """Return the secrets known now, to which others can be added."""
        copied = KeyLog()
        copied._secrets = self._secrets.copy()
        copied.added_count = self.added_count
        return copied

    def add_lines(self, text: str | bytes) -> None:
        if isinstance(text, bytes):
            text = text.decode("ascii", "replace")
        for line in text.splitlines():
            self._add_line(line)

    def find_secret(self, label: SecretLabel, client_random: bytes) -> bytes | None:
        """Return a secret of the session whose ClientHello has ``client_random``."""
        return self._secrets.get((label, client_random))

    def _add_line(self, line: str) -> None:
        label, *values = line.split()[:4] or [""]
        if label not in _LABELS or len(values) != 2:
            return
        try:
            client_random, secret = map(bytes.fromhex, values)
        except ValueError:
            return
        # A master secret has 48 bytes, any other as many as the hash of the cipher suite.
        if len(client_random) != CLIENT_RANDOM_BYTES or len(secret) not in (32, 48):
            return
        while len(self._secrets) >= MAX_SECRETS:
            del self._secrets[next(iter(self._secrets))]
        self._secrets[SecretLabel(label), client_random] = secret
        self.added_count += 1


class KeyLogFile(KeyLog):
    """
    The secrets in a file, which is read again as it grows; raises UsageError if it can't be read, or has none and isn't
    read ``live``.
    """

    def __init__(self, path: Path, *, live: bool = False) -> None:
        super().__init__()
        self._path = path
        self._read_bytes = 0
        try:
            self._read_new_lines()
        except OSError as exc:
            raise UsageError(f"{path}: can't read the key log: {exc.strerror or exc}") from exc
        if not self and not live:
            raise UsageError(f"{path}: contains no TLS secrets; give a file written by SSLKEYLOGFILE")

    def find_secret(self, label: SecretLabel, client_random: bytes) -> bytes | None:
        found = super().find_secret(label, client_random)
        if found is None and self._grown():
            self._read_new_lines()
            found = super().find_secret(label, client_random)
        return found

    def _grown(self) -> bool:
        try:
            return self._path.stat().st_size > self._read_bytes
        except OSError:
            return False

    def _read_new_lines(self) -> None:
        with self._path.open("rb") as file:
            file.seek(self._read_bytes)
            for line in file:
                # An incomplete last line is used, and read again when it is complete.
                self.add_lines(line)
                if line.endswith(b"\n"):
                    self._read_bytes += len(line)
