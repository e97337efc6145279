"""
Whose requests become calls: HTTP Basic credentials, as ``wsAuth`` of the `listen` verb sends them
(listenctl-protocol(7) 1.4), or a token in the URL.

scrypt takes tens of milliseconds by design, so passwords are verified in threads, a few at a time. Credentials are
remembered by their keyed digest, right or wrong, so that a thousand calls cost one computation. What is wrong is
answered late, and an address that has tried too much has to wait; both keep out nobody who was let in before.
"""

import asyncio
import base64
import binascii
import hmac
import secrets
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar

from listenctl.errors import UsageError
from listenctl.protocol.opening_handshake import MAX_CREDENTIAL_CHARACTERS
from listenctl.server.access.auth_file import AuthFile, Right, User
from listenctl.server.access.failure_limit import AnswerDelay, FailureLimit
from listenctl.server.access.secret_hashes import (
    LOWEST_COST,
    SCRYPT_COST,
    hash_password,
    hash_token,
    is_token_hash,
    verify_password,
)
from listenctl.server.access.verification_queue import Standing, VerificationQueue
from listenctl.server.handshake_refusal import TOO_MANY_PASSWORDS, UNAUTHORIZED, HandshakeRefusal

REMEMBERED = 1000
REMEMBERED_WRONG = 10_000
_KEY_BYTES = 32
THREADS = 2

K = TypeVar("K")
V = TypeVar("V")


def shared_credentials(text: str) -> "CredentialsCheck":
    """Return the check of one ``user:password`` for all clients; raises UsageError if jambonz couldn't send it."""
    name, _, password = text.partition(":")
    if not name or not password:
        raise UsageError("LISTENCTL_AUTH must be user:password, neither of them empty")
    if len(text) - 1 > MAX_CREDENTIAL_CHARACTERS:
        limit = MAX_CREDENTIAL_CHARACTERS
        raise UsageError(f"LISTENCTL_AUTH is longer than the {limit} characters that jambonz sends")
    users = {name: User(name, hash_password(password, LOWEST_COST))}
    return CredentialsCheck(lambda: users, cost=LOWEST_COST)


def file_credentials(path: Path) -> "CredentialsCheck":
    """Return the check of the users of an auth file; raises UsageError if it is invalid."""
    return CredentialsCheck(AuthFile(path).read_users, cost=SCRYPT_COST)


class CredentialsCheck:
    def __init__(self, read_users: Callable[[], Mapping[str, User]], *, cost: int) -> None:
        self.results: Counter[str] = Counter()  # of checked requests
        self._read_users = read_users  # returns another object after a change
        self._users: Mapping[str, User] = {}
        self._key = secrets.token_bytes(_KEY_BYTES)
        self._tokens: dict[bytes, User] = {}
        self._right: dict[bytes, User] = {}  # by digests of credentials
        self._wrong: dict[bytes, None] = {}
        self._let_in: dict[tuple[str, str], None] = {}  # names of users and clients that they came from
        self._queue = VerificationQueue(THREADS)
        self._failures = FailureLimit()
        self._delay = AnswerDelay()
        # A user who isn't there must take as long as one who is.
        self._nobody = hash_password(secrets.token_hex(), cost)

    def check_credentials(
        self,
        authorization: str | None,
        token: str | None,
        client: str,
        note_user: Callable[[str], object] = lambda _: None,
    ) -> HandshakeRefusal | Coroutine[None, None, HandshakeRefusal | None] | None:
        """
        Return why a request of ``client`` is refused, None if it isn't; a coroutine if that takes time. A token takes
        precedence, as jambonz may send the credentials of an earlier listen.

        Args:
            note_user: called with the name of the user if it isn't refused.
        """
        self._note_changes()
        if token is not None:
            return self._check_token(token, client, note_user)
        credentials = decode_basic(authorization)
        if credentials is None:
            return self._refuse("missing", UNAUTHORIZED)
        digest = self._digest(credentials)
        if (user := self._right.get(digest)) is not None:
            return self._admit(user, client, note_user)
        name, _, password = credentials.decode(errors="surrogateescape").partition(":")
        standing = self._standing_of(name, client)
        if standing is Standing.FAILED and (limited := self._refuse_limited(client)) is not None:
            return limited
        if digest in self._wrong:
            return self._refuse_wrong(digest, client)
        return self._verify(name, password, digest, client, standing, note_user)

    def _check_token(
        self, token: str, client: str, note_user: Callable[[str], object]
    ) -> HandshakeRefusal | Coroutine[None, None, HandshakeRefusal | None] | None:
        # A search by keyed digest takes a time that says nothing about the tokens that there are.
        digest = self._digest(hash_token(token).encode())
        user = self._tokens.get(digest)
        if user is not None:
            return self._admit(user, client, note_user)
        return self._refuse_limited(client) or self._refuse_wrong(digest, client)

    async def _verify(
        self,
        name: str,
        password: str,
        digest: bytes,
        client: str,
        standing: Standing,
        note_user: Callable[[str], object],
    ) -> HandshakeRefusal | None:
        users = self._users
        user = users.get(name)
        hashed = self._nobody if user is None or is_token_hash(user.hashed) else user.hashed
        # All calls of a media server that comes back arrive at once, and share one verification.
        right = await self._queue.verify(digest, partial(verify_password, password, hashed), client, standing)
        if right is None:
            return self._refuse("unchecked", TOO_MANY_PASSWORDS)
        now = self._users.get(name)
        if right and now is not None and now.hashed == hashed:
            _remember(self._right, digest, now, REMEMBERED)
            return self._admit(now, client, note_user)
        # A change of the file meanwhile may have made them right.
        return await self._refuse_wrong(digest, client, remember=users is self._users)

    def _standing_of(self, name: str, client: str) -> Standing:
        if (name, client) in self._let_in:
            return Standing.KNOWN
        failed = self._failures.has_failed(client, asyncio.get_running_loop().time())
        return Standing.FAILED if failed else Standing.NEW

    def _admit(self, user: User, client: str, note_user: Callable[[str], object]) -> HandshakeRefusal | None:
        _remember(self._let_in, (user.name, client), None, REMEMBERED)
        if Right.RECORD not in user.rights:
            reason = f"the user {user.name} may not connect calls: the right {Right.RECORD} is missing in the auth file"
            return self._refuse("forbidden", HandshakeRefusal(HTTPStatus.FORBIDDEN, reason))
        self.results["accepted"] += 1
        note_user(user.name)
        return None

    def _refuse(self, result: str, refusal: HandshakeRefusal) -> HandshakeRefusal:
        self.results[result] += 1
        return refusal

    def _refuse_limited(self, client: str) -> HandshakeRefusal | None:
        """Return a refusal if ``client`` has tried too much."""
        seconds = self._failures.seconds_left(client, asyncio.get_running_loop().time())
        if not seconds:
            return None
        reason = f"too many wrong credentials came from this address; it may try again in {seconds} s"
        return self._refuse(
            "limited",
            HandshakeRefusal(HTTPStatus.TOO_MANY_REQUESTS, reason, limit="wrong-credentials", retry_after=seconds),
        )

    def _refuse_wrong(
        self, digest: bytes, client: str, *, remember: bool = True
    ) -> Coroutine[None, None, HandshakeRefusal]:
        again = digest in self._wrong
        if remember:
            _remember(self._wrong, digest, None, REMEMBERED_WRONG)
        if not again:
            self._failures.add_failure(client, asyncio.get_running_loop().time())
        return self._refuse_late("wrong-again" if again else "wrong")

    async def _refuse_late(self, result: str) -> HandshakeRefusal:
        self.results[result] += 1
        await self._delay.wait()
        return UNAUTHORIZED

    def _note_changes(self) -> None:
        users = self._read_users()
        if users is self._users:
            return
        self._users = users
        self._tokens = {
            self._digest(user.hashed.encode()): user for user in users.values() if is_token_hash(user.hashed)
        }
        # An edit must not have everybody verified again at once.
        self._right = {
            digest: users[user.name]
            for digest, user in self._right.items()
            if user.name in users and users[user.name].hashed == user.hashed
        }
        self._wrong.clear()

    def _digest(self, secret: bytes) -> bytes:
        return hmac.digest(self._key, secret, "sha256")


def _remember(remembered: dict[K, V], key: K, value: V, most: int) -> None:
    """Make ``key`` the newest of at most ``most``."""
    remembered.pop(key, None)
    while len(remembered) >= most:
        del remembered[next(iter(remembered))]
    remembered[key] = value


def decode_basic(authorization: str | None) -> bytes | None:
    """Return ``user:password`` of a Basic header, None if there is none."""
    scheme, _, value = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(value.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
