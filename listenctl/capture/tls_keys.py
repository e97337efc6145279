"""Keys out of secrets: the PRF of TLS 1.2 (RFC 5246 5) and the HKDF labels of TLS 1.3 (RFC 8446 7.1)."""

import hmac
from dataclasses import dataclass

from listenctl.capture.tls_suites import Suite

_NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class DirectionKeys:
    """What protects one direction; ``mac_key`` is empty with an AEAD, ``iv`` with AES-CBC."""

    key: bytes
    iv: bytes
    mac_key: bytes = b""


def prf(hash_name: str, secret: bytes, seed: bytes, size: int) -> bytes:
    """Return ``size`` bytes of P_hash; the label is the beginning of ``seed``."""
    output = b""
    chained = seed
    while len(output) < size:
        chained = hmac.digest(secret, chained, hash_name)
        output += hmac.digest(secret, chained + seed, hash_name)
    return output[:size]


def expand_label(hash_name: str, secret: bytes, label: bytes, size: int) -> bytes:
    """Return HKDF-Expand-Label with an empty context."""
    full_label = b"tls13 " + label
    info = size.to_bytes(2, "big") + bytes([len(full_label)]) + full_label + b"\0"
    output = block = b""
    count = 0
    while len(output) < size:
        count += 1
        block = hmac.digest(secret, block + info + bytes([count]), hash_name)
        output += block
    return output[:size]


def keys_of_tls12(
    suite: Suite, master: bytes, *, client_random: bytes, server_random: bytes
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


def keys_of_tls13(suite: Suite, secret: bytes) -> DirectionKeys:
    """Return the keys that a traffic secret gives (RFC 8446 7.3)."""
    return DirectionKeys(
        expand_label(suite.hash_name, secret, b"key", suite.key_bytes),
        expand_label(suite.hash_name, secret, b"iv", _NONCE_BYTES),
    )


def next_secret(suite: Suite, secret: bytes) -> bytes:
    """Return the traffic secret after a key update (RFC 8446 7.2)."""
    return expand_label(suite.hash_name, secret, b"traffic upd", len(secret))
