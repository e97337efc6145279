"""
What an auth file keeps of a secret, in one word without a colon: of a password, which people choose, a salted scrypt
hash; of a token, which is too random to be guessed, a digest.
"""

import base64
import hashlib
import hmac
import os

SCRYPT_COST = 2**14
LOWEST_COST = 2
"""Of a hash that never leaves the memory of this process."""
_SCRYPT_BLOCK = 8
_SCRYPT_MEMORY = 64 * 1024 * 1024
_KEY_BYTES = 32


def hash_password(password: str, cost: int = SCRYPT_COST) -> str:
    salt = os.urandom(16)
    return "$".join(["scrypt", str(cost), _encode(salt), _encode(_scrypt(password, salt, cost))])


def verify_password(password: str, hashed: str) -> bool:
    parts = _password_parts(hashed)
    if parts is None:
        return False
    cost, salt, key = parts
    return hmac.compare_digest(_scrypt(password, salt, cost), key)


def hash_token(token: str) -> str:
    return f"token${_encode(hashlib.sha256(token.encode(errors='surrogateescape')).digest())}"


def is_token_hash(hashed: str) -> bool:
    kind, _, digest = hashed.partition("$")
    return kind == "token" and len(_decode(digest)) == hashlib.sha256().digest_size


def is_password_hash(hashed: str) -> bool:
    return _password_parts(hashed) is not None


def _password_parts(hashed: str) -> tuple[int, bytes, bytes] | None:
    """Return cost, salt and key; None if these aren't those of a password."""
    try:
        kind, cost, *encoded = hashed.split("$")
        salt, key = map(_decode, encoded)
        parts = int(cost), salt, key
    except ValueError:
        return None
    # scrypt's cost is a power of two; a much larger one than ours would stop the server.
    valid = kind == "scrypt" and 1 < parts[0] <= SCRYPT_COST * 4 and not parts[0] & (parts[0] - 1)
    return parts if valid and salt and key else None


def _scrypt(password: str, salt: bytes, cost: int) -> bytes:
    secret = password.encode(errors="surrogateescape")
    return hashlib.scrypt(secret, salt=salt, n=cost, r=_SCRYPT_BLOCK, p=1, maxmem=2 * _SCRYPT_MEMORY, dklen=_KEY_BYTES)


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decode(text: str) -> bytes:
    """Return the bytes of valid Base64, none for anything else."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""
