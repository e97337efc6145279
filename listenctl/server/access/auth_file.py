"""The auth file: its users, what they prove themselves with, and what they may do. `listenctl passwd` writes it."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Self

from listenctl.errors import UsageError
from listenctl.media.files.kept_names import replace_file
from listenctl.server.access.secret_hashes import is_password_hash, is_token_hash

logger = logging.getLogger(__name__)


class Right(StrEnum):
    RECORD = "record"  # to connect calls
    CONTROL = "control"  # nothing yet: it is for control over the network


DEFAULT_RIGHTS = frozenset({Right.RECORD})
"""Of an entry that names none."""


@dataclass(frozen=True, slots=True)
class User:
    name: str
    hashed: str = field(repr=False)  # of the password or token
    rights: frozenset[Right] = DEFAULT_RIGHTS

    @classmethod
    def parse(cls, line: str) -> Self:
        """Parse an entry; raises ValueError with what is wrong."""
        name, _, rest = line.partition(":")
        hashed, colon, rights = rest.partition(":")
        if not name or not (is_password_hash(hashed) or is_token_hash(hashed)):
            raise ValueError("not user:hash; write entries with `listenctl passwd`")
        return cls(name, hashed, parse_rights(rights) if colon else DEFAULT_RIGHTS)

    def serialize(self) -> str:
        rights = "" if self.rights == DEFAULT_RIGHTS else ":" + ",".join(sorted(self.rights))
        return f"{self.name}:{self.hashed}{rights}"


class AuthFile:
    """A file that is read again when it changes; raises UsageError if it is invalid at first."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._version = (0, 0)
        self._fault = ""
        self._users: Mapping[str, User] = self._parse()

    def read_users(self) -> Mapping[str, User]:
        """Return the users by name, the same object as long as the file has not changed."""
        try:
            status = self._path.stat()
            # Permissions count, too: without them, the file could not be read before.
            version = status.st_ino, status.st_ctime_ns
            if version != self._version:
                self._version = version
                self._users = self._parse()
            self._fault = ""
        except (OSError, UsageError) as exc:
            # While the file is being written or is broken, the users of its last valid version stay.
            if str(exc) != self._fault:
                self._fault = str(exc)
                logger.warning("%s; the users that it had before may still connect", exc)
        return self._users

    def _parse(self) -> dict[str, User]:
        return parse_users(_read(self._path), str(self._path))


def parse_users(text: str, name: str) -> dict[str, User]:
    """Parse an auth file; blank lines and lines that begin with # are ignored."""
    users = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            user = User.parse(line.strip())
        except ValueError as exc:
            raise UsageError(f"{name}, line {number}: {exc}") from exc
        users[user.name] = user
    return users


def parse_rights(text: str) -> frozenset[Right]:
    """Parse rights with commas between them; raises ValueError with what is wrong."""
    try:
        return frozenset(Right(name.strip()) for name in text.split(","))
    except ValueError as exc:
        raise ValueError(f"no rights: {text!r}; give {' or '.join(Right)}, or both with a comma between them") from exc


def set_user(path: Path, name: str, hashed: str | None, rights: frozenset[Right] | None = None) -> None:
    """
    Add a user to an auth file, or remove it if ``hashed`` is None; raises UsageError if file or user is wrong. Without
    ``rights``, a user keeps those it has.
    """
    text = _read(path) if path.exists() else ""
    users = parse_users(text, str(path))
    if hashed is None and name not in users:
        raise UsageError(f"{path}: no user {name!r} found")
    lines = [line for line in text.splitlines() if line.partition(":")[0].strip() != name]
    if hashed is not None:
        before = users[name].rights if name in users else DEFAULT_RIGHTS
        lines.append(User(name, hashed, before if rights is None else rights).serialize())
    try:
        replace_file(path, "".join(f"{line}\n" for line in lines).encode())
    except OSError as exc:
        raise UsageError(f"{path}: can't write the file: {exc.strerror}") from exc


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not a text file"
        raise UsageError(f"{path}: can't read the file: {reason}") from exc
