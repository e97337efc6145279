"""Key derivation, and decryption of single records, each with its sequence number."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from listenctl.capture.tls.cipher_suites import CipherMode, CipherSuite
from listenctl.capture.tls.tls_records import APPLICATION_DATA, HEADER, TlsRecord
from listenctl.errors import ListenctlError

_NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class DirectionKeys:
    """The keys of one direction; ``mac_key`` is empty with an AEAD, ``iv`` with AES-CBC."""

    key: bytes
    iv: bytes
    mac_key: bytes = b""


def prf(hash_name: str, secret: bytes, seed: bytes, size: int) -> bytes:
    """Return ``size`` bytes of P_hash; ``seed`` starts with the label (RFC 5246 5)."""
    output = b""
    chained = seed
    while len(output) < size:
        chained = hmac.digest(secret, chained, hash_name)
        output += hmac.digest(secret, chained + seed, hash_name)
    return output[:size]


def expand_label(hash_name: str, secret: bytes, label: bytes, size: int) -> bytes:
    """Return HKDF-Expand-Label with an empty context (RFC 8446 7.1)."""
    full_label = b"tls13 " + label
    info = size.to_bytes(2, "big") + bytes([len(full_label)]) + full_label + b"\0"
    output = block = b""
    count = 0
    while len(output) < size:
        count += 1
        block = hmac.digest(secret, block + info + bytes([count]), hash_name)
        output += block
    return output[:size]


def derive_tls12_keys(
    suite: CipherSuite, master: bytes, *, client_random: bytes, server_random: bytes
) -> tuple[DirectionKeys, DirectionKeys]:
    """Return the keys of the client and of the server (RFC 5246 6.3)."""
    sizes = [suite.mac_bytes, suite.mac_bytes, suite.key_bytes, suite.key_bytes, suite.iv_bytes, suite.iv_bytes]
    seed = b"key expansion" + server_random + client_random
    block = prf(suite.hash_name, master, seed, sum(sizes))
    parts = []
    for size in sizes:
        parts.append(block[:size])
        block = block[size:]
    client_mac, server_mac, client_key, server_key, client_iv, server_iv = parts
    return DirectionKeys(client_key, client_iv, client_mac), DirectionKeys(server_key, server_iv, server_mac)


def derive_tls13_keys(suite: CipherSuite, secret: bytes) -> DirectionKeys:
    """Return the keys of a traffic secret (RFC 8446 7.3)."""
    return DirectionKeys(
        expand_label(suite.hash_name, secret, b"key", suite.key_bytes),
        expand_label(suite.hash_name, secret, b"iv", _NONCE_BYTES),
    )


def next_secret(suite: CipherSuite, secret: bytes) -> bytes:
    """Return the traffic secret after a key update (RFC 8446 7.2)."""
    return expand_label(suite.hash_name, secret, b"traffic upd", len(secret))


DecryptedRecord = tuple[int, bytes]
"""The content type of a record, and the content."""

_EXPLICIT_NONCE = 8
_BLOCK = 16

_AeadDecrypt = Callable[[bytes, bytes, bytes], bytes | None]


class RecordDecryptor(Protocol):
    """Decrypts the records of one direction until its keys change."""

    @property
    def overhead(self) -> int | None:
        """Bytes of a record in addition to its content, header included; None where that varies."""

    def decrypt_record(self, record: TlsRecord, sequence: int) -> DecryptedRecord | None:
        """Return the content of a record, None if the sequence number is wrong or the record damaged."""

    def after_key_update(self) -> "RecordDecryptor | None":
        """Return the decryptor that follows a key update; None if there is none, as in TLS 1.2."""


def check_ciphers() -> None:
    """Check that the library for the ciphers is installed; raises ListenctlError if it is missing."""
    try:
        import cryptography.hazmat.primitives.ciphers.aead  # noqa: F401
    except ImportError as exc:
        raise ListenctlError("decrypting TLS needs the package cryptography: pip install cryptography") from exc


def _aead_decrypt(suite: CipherSuite, key: bytes) -> _AeadDecrypt:
    from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305

    cipher: AESGCM | AESCCM | ChaCha20Poly1305
    try:
        match suite.mode:
            case CipherMode.CCM:
                cipher = AESCCM(key, tag_length=suite.tag_bytes)
            case CipherMode.CHACHA20:
                cipher = ChaCha20Poly1305(key)
            case _:
                cipher = AESGCM(key)
    except UnsupportedAlgorithm as exc:
        raise ListenctlError(f"{suite.name} can't be decrypted: the installed cryptography library lacks it") from exc
    decrypt = cipher.decrypt

    def decrypt_or_none(nonce: bytes, data: bytes, associated: bytes) -> bytes | None:
        try:
            return decrypt(nonce, data, associated)
        except InvalidTag:
            return None

    return decrypt_or_none


class Tls13Decryptor:
    """TLS 1.3 under one traffic secret (RFC 8446 5.2)."""

    def __init__(self, suite: CipherSuite, secret: bytes) -> None:
        keys = derive_tls13_keys(suite, secret)
        self._suite = suite
        self._secret = secret
        self._iv = int.from_bytes(keys.iv, "big")
        self._decrypt = _aead_decrypt(suite, keys.key)
        self.overhead = HEADER + 1 + suite.tag_bytes

    def decrypt_record(self, record: TlsRecord, sequence: int) -> DecryptedRecord | None:
        if record.header[0] != APPLICATION_DATA or len(record.fragment) <= self._suite.tag_bytes:
            return None
        nonce = (self._iv ^ sequence).to_bytes(12, "big")
        inner = self._decrypt(nonce, record.fragment, record.header)
        if not inner:
            return None
        if not inner[-1]:
            inner = inner.rstrip(b"\0")
        return (inner[-1], inner[:-1]) if inner else None

    def after_key_update(self) -> RecordDecryptor:
        return Tls13Decryptor(self._suite, next_secret(self._suite, self._secret))


class Tls12AeadDecryptor:
    """TLS 1.2 with AES-GCM, AES-CCM (RFC 5288, 6655) or ChaCha20-Poly1305 (RFC 7905)."""

    def __init__(self, suite: CipherSuite, keys: DirectionKeys) -> None:
        self._iv = keys.iv
        self._number = int.from_bytes(keys.iv, "big")
        self._decrypt = _aead_decrypt(suite, keys.key)
        self._explicit = 0 if suite.mode is CipherMode.CHACHA20 else _EXPLICIT_NONCE
        self._extra = self._explicit + suite.tag_bytes
        self.overhead = HEADER + self._extra

    def decrypt_record(self, record: TlsRecord, sequence: int) -> DecryptedRecord | None:
        header, fragment = record.header, record.fragment
        size = len(fragment) - self._extra
        if size < 0:
            return None
        explicit = self._explicit
        nonce = self._iv + fragment[:explicit] if explicit else (self._number ^ sequence).to_bytes(12, "big")
        associated = sequence.to_bytes(8, "big") + header[:3] + size.to_bytes(2, "big")
        content = self._decrypt(nonce, fragment[explicit:], associated)
        return None if content is None else (header[0], content)

    def after_key_update(self) -> None:
        return None


class Tls12CbcDecryptor:
    """TLS 1.2 with AES-CBC and HMAC (RFC 5246 6.2.3.2), also with encrypt-then-MAC (RFC 7366)."""

    overhead = None

    def __init__(self, suite: CipherSuite, keys: DirectionKeys, *, encrypt_then_mac: bool) -> None:
        from cryptography.hazmat.primitives.ciphers import Cipher
        from cryptography.hazmat.primitives.ciphers.algorithms import AES
        from cryptography.hazmat.primitives.ciphers.modes import CBC

        # A block depends only on the one before it, so one decryptor serves all records: the output of the block with
        # the explicit IV is discarded, and the rest is right. A new decryptor for each record would cost 6 µs.
        self._decrypt = Cipher(AES(keys.key), CBC(bytes(_BLOCK))).decryptor().update
        self._mac_key = keys.mac_key
        self._mac_name = suite.mac_name
        self._mac_bytes = suite.mac_bytes
        self._encrypt_then_mac = encrypt_then_mac

    def decrypt_record(self, record: TlsRecord, sequence: int) -> DecryptedRecord | None:
        content = (self._verify_then_decrypt if self._encrypt_then_mac else self._decrypt_then_verify)(record, sequence)
        return None if content is None else (record.header[0], content)

    def after_key_update(self) -> None:
        return None

    def _verify_then_decrypt(self, record: TlsRecord, sequence: int) -> bytes | None:
        end = len(record.fragment) - self._mac_bytes
        if end < 2 * _BLOCK or end % _BLOCK:
            return None
        ciphertext = record.fragment[:end]
        if not self._verifies(record, sequence, ciphertext, record.fragment[end:]):
            return None
        plain = self._decrypt(ciphertext)[_BLOCK:]
        return plain[: len(plain) - 1 - plain[-1]]

    def _decrypt_then_verify(self, record: TlsRecord, sequence: int) -> bytes | None:
        size = len(record.fragment)
        if size < 2 * _BLOCK or size % _BLOCK:
            return None
        plain = self._decrypt(record.fragment)[_BLOCK:]
        mac_end = len(plain) - 1 - plain[-1]
        content_end = mac_end - self._mac_bytes
        if content_end < 0:
            return None
        content = plain[:content_end]
        return content if self._verifies(record, sequence, content, plain[content_end:mac_end]) else None

    def _verifies(self, record: TlsRecord, sequence: int, data: bytes, mac: bytes) -> bool:
        signed = sequence.to_bytes(8, "big") + record.header[:3] + len(data).to_bytes(2, "big") + data
        return hmac.digest(self._mac_key, signed, self._mac_name) == mac


def tls12_decryptor(suite: CipherSuite, keys: DirectionKeys, *, encrypt_then_mac: bool) -> RecordDecryptor:
    if suite.mode is CipherMode.CBC:
        return Tls12CbcDecryptor(suite, keys, encrypt_then_mac=encrypt_then_mac)
    return Tls12AeadDecryptor(suite, keys)
