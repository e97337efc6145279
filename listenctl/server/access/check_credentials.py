"""
Who may connect: HTTP Basic credentials, as ``wsAuth`` of the `listen` verb sends them (listenctl-protocol(7) 1.4).

scrypt takes tens of milliseconds by design, so hashes are verified in threads, a few at a time. A header that was right
is remembered by its keyed digest, so that a thousand calls cost one computation.
"""

import base64
import binascii
import hashlib
import hmac
import logging
import os
import secrets
from collections.abc import Coroutine
from functools import partial
from pathlib import Path
from typing import TypeAlias, TypeVar

from listenctl.errors import UsageError
from listenctl.media.files.kept_names import replace_file
from listenctl.protocol.opening_handshake import MAX_CREDENTIAL_CHARACTERS
from listenctl.server.access.verification_queue import VerificationQueue

SCRYPT_COST = 2**14
SCRYPT_BLOCK = 8
SCRYPT_MEMORY = 64 * 1024 * 1024
KEY_BYTES = 32
REMEMBERED = 1000
THREADS = 2

K = TypeVar("K")
V = TypeVar("V")

logger = logging.getLogger(__name__)


class SharedCredentials:
    """One ``user:password`` for all clients, from an environment variable."""

    def __init__(self, credentials: str) -> None:
        if not all(credentials.partition(":")):
            raise UsageError("LISTENCTL_AUTH must be user:password, neither of them empty")
        if len(credentials) - 1 > MAX_CREDENTIAL_CHARACTERS:
            limit = MAX_CREDENTIAL_CHARACTERS
            raise UsageError(f"LISTENCTL_AUTH is longer than the {limit} characters that jambonz sends")
        self._credentials = os.fsencode(credentials)

    def check_authorization(self, authorization: str | None, client: str = "") -> bool:  # noqa: ARG002 - as below
        return hmac.compare_digest(decode_basic(authorization) or b"", self._credentials)


class CredentialsFile:
    """The users of a file as ``listenctl passwd`` writes it, read again when it changes; UsageError if invalid."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._key = secrets.token_bytes(KEY_BYTES)
        self._remembered: dict[bytes, tuple[str, str]] = {}  # the entry that a digest was right for
        self._let_in: dict[tuple[str, str], None] = {}  # names of users and addresses that they came from
        self._queue = VerificationQueue(THREADS)
        # A user who isn't in the file must take as long as one who is.
        self._nobody = hash_password(secrets.token_hex())
        self._stamp = 0
        self._fault = ""
        self._users: dict[str, str] = {}
        self._load()

    def check_authorization(
        self, authorization: str | None, client: str = ""
    ) -> bool | Coroutine[None, None, bool | None]:
        """Return whether a header of ``client``, its address, is right; None if too many others are being checked."""
        credentials = decode_basic(authorization)
        if credentials is None:
            return False
        self._reload()
        digest = hmac.digest(self._key, credentials, "sha256")
        return digest in self._remembered or self._verify(credentials, digest, client)

    async def _verify(self, credentials: bytes, digest: bytes, client: str) -> bool | None:
        user, _, password = credentials.decode(errors="surrogateescape").partition(":")
        known = self._users.get(user)
        verify = partial(verify_password, password, known or self._nobody)
        # All calls of a media server that comes back arrive at once, and share one verification.
        verified = await self._queue.verify(digest, verify, client, first=(user, client) in self._let_in)
        if not verified or known is None or known != self._users.get(user):
            return None if verified is None else False
        _remember(self._remembered, digest, (user, known))
        _remember(self._let_in, (user, client), None)
        return True

    def _reload(self) -> None:
        try:
            if self._path.stat().st_mtime_ns != self._stamp:
                self._load()
        except (OSError, UsageError) as exc:
            # While the file is being written or is broken, the users of its last valid version stay.
            if str(exc) != self._fault:
                self._fault = str(exc)
                logger.warning("%s; the users that it had before may still connect", exc)

    def _load(self) -> None:
        try:
            self._stamp = self._path.stat().st_mtime_ns
            text = self._path.read_text()
        except (OSError, UnicodeDecodeError) as exc:
            raise UsageError(_unreadable(self._path, exc)) from exc
        self._users = parse_users(text, str(self._path))
        # An edit must not have everybody verified again at once.
        self._remembered = {
            digest: (user, known)
            for digest, (user, known) in self._remembered.items()
            if self._users.get(user) == known
        }


def _remember(remembered: dict[K, V], key: K, value: V) -> None:
    while len(remembered) >= REMEMBERED:
        del remembered[next(iter(remembered))]
    remembered[key] = value


def parse_users(text: str, name: str) -> dict[str, str]:
    """Parse an auth file; blank lines and lines that begin with # are ignored."""
    users = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        user, _, hashed = line.strip().partition(":")
        if not user or not hashed.startswith("scrypt$") or _hash_parts(hashed) is None:
            raise UsageError(f"{name}, line {number}: not user:hash; write entries with `listenctl passwd`")
        users[user] = hashed
    return users


def set_user(path: Path, user: str, hashed: str | None) -> None:
    """Add a user to an auth file, or remove it if ``hashed`` is None; raises UsageError if file or user is wrong."""
    try:
        text = path.read_text() if path.exists() else ""
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(_unreadable(path, exc)) from exc
    users = parse_users(text, str(path))
    if hashed is None and user not in users:
        raise UsageError(f"{path}: no user {user!r} found")
    lines = [line for line in text.splitlines() if line.partition(":")[0].strip() != user]
    lines += [] if hashed is None else [f"{user}:{hashed}"]
    try:
        replace_file(path, "".join(f"{line}\n" for line in lines).encode())
    except OSError as exc:
        raise UsageError(f"{path}: can't write the file: {exc.strerror}") from exc


def decode_basic(authorization: str | None) -> bytes | None:
    """Return ``user:password`` of a Basic header, None if there is none."""
    scheme, _, value = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(value.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None


def hash_password(password: str) -> str:
    """Return a salted scrypt hash, one word without a colon."""
    salt = os.urandom(16)
    return "$".join(["scrypt", str(SCRYPT_COST), _encode(salt), _encode(_scrypt(password, salt, SCRYPT_COST))])


def verify_password(password: str, hashed: str) -> bool:
    parts = _hash_parts(hashed)
    if parts is None:
        return False
    cost, salt, key = parts
    return hmac.compare_digest(_scrypt(password, salt, cost), key)


def _hash_parts(hashed: str) -> tuple[int, bytes, bytes] | None:
    try:
        _, cost, salt, key = hashed.split("$")
        parts = int(cost), base64.b64decode(salt, validate=True), base64.b64decode(key, validate=True)
    except ValueError:
        return None
    # scrypt's cost is a power of two; a much larger one than ours would stop the server.
    return parts if 1 < parts[0] <= SCRYPT_COST * 4 and not parts[0] & (parts[0] - 1) and parts[2] else None


def _scrypt(password: str, salt: bytes, cost: int) -> bytes:
    secret = password.encode(errors="surrogateescape")
    return hashlib.scrypt(secret, salt=salt, n=cost, r=SCRYPT_BLOCK, p=1, maxmem=2 * SCRYPT_MEMORY, dklen=KEY_BYTES)


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _unreadable(path: Path, exc: OSError | UnicodeDecodeError) -> str:
    return f"{path}: can't read the file: {exc.strerror if isinstance(exc, OSError) else 'it is not a text file'}"


CredentialsCheck: TypeAlias = SharedCredentials | CredentialsFile
"""Checks the Authorization header of a handshake."""
