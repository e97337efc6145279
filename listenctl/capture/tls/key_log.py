"""The secrets of TLS sessions as browsers, curl, OpenSSL, Python and Node write them (NSS key log, SSLKEYLOGFILE)."""

from enum import StrEnum
from pathlib import Path

from listenctl.errors import UsageError

CLIENT_RANDOM_BYTES = 32

# 250 bytes each in memory; a pcapng file can hold any number of them.
MAX_SECRETS = 200_000


class SecretLabel(StrEnum):
    """What a line of a key log is for; others (EXPORTER_SECRET, RSA…) are of no use to us."""

    MASTER = "CLIENT_RANDOM"
    CLIENT_HANDSHAKE = "CLIENT_HANDSHAKE_TRAFFIC_SECRET"
    SERVER_HANDSHAKE = "SERVER_HANDSHAKE_TRAFFIC_SECRET"
    CLIENT_TRAFFIC = "CLIENT_TRAFFIC_SECRET_0"
    SERVER_TRAFFIC = "SERVER_TRAFFIC_SECRET_0"


_LABELS = frozenset(SecretLabel)


class KeyLog:
    """The secrets at hand; more may be added at any time, the oldest go when there are too many."""

    def __init__(self, text: str | bytes = "") -> None:
        self._secrets: dict[tuple[str, bytes], bytes] = {}
        self.added = 0
        """How many secrets were ever added."""
        self.add(text)

    def __len__(self) -> int:
        return len(self._secrets)

    def add(self, text: str | bytes) -> int:
        """Add the lines of a key log, and return how many are of use; what is none is left out."""
        if isinstance(text, bytes):
            text = text.decode("ascii", "replace")
        before = self.added
        for line in text.splitlines():
            self._add_line(line)
        return self.added - before

    def find(self, label: SecretLabel, client_random: bytes) -> bytes | None:
        """Return a secret of the session that began with ``client_random``."""
        return self._secrets.get((label, client_random))

    def _add_line(self, line: str) -> None:
        label, *values = line.split()[:4] or [""]
        if label not in _LABELS or len(values) != 2:
            return
        try:
            client_random, secret = map(bytes.fromhex, values)
        except ValueError:
            return
        # A master secret has 48 bytes, another as many as the hash of its cipher suite.
        if len(client_random) != CLIENT_RANDOM_BYTES or len(secret) not in (32, 48):
            return
        while len(self._secrets) >= MAX_SECRETS:
            del self._secrets[next(iter(self._secrets))]
        self._secrets[SecretLabel(label), client_random] = secret
        self.added += 1


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
