"""The cipher suites that can be decrypted; their properties follow from the IANA names."""

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from hashlib import new as new_hash

_TLS12 = {
    "RSA": {
        0x002F: "AES_128_CBC_SHA",
        0x0035: "AES_256_CBC_SHA",
        0x003C: "AES_128_CBC_SHA256",
        0x003D: "AES_256_CBC_SHA256",
        0x009C: "AES_128_GCM_SHA256",
        0x009D: "AES_256_GCM_SHA384",
        0xC09C: "AES_128_CCM",
        0xC09D: "AES_256_CCM",
        0xC0A0: "AES_128_CCM_8",
        0xC0A1: "AES_256_CCM_8",
    },
    "DHE_RSA": {
        0x0033: "AES_128_CBC_SHA",
        0x0039: "AES_256_CBC_SHA",
        0x0067: "AES_128_CBC_SHA256",
        0x006B: "AES_256_CBC_SHA256",
        0x009E: "AES_128_GCM_SHA256",
        0x009F: "AES_256_GCM_SHA384",
        0xC09E: "AES_128_CCM",
        0xC09F: "AES_256_CCM",
        0xC0A2: "AES_128_CCM_8",
        0xC0A3: "AES_256_CCM_8",
        0xCCAA: "CHACHA20_POLY1305_SHA256",
    },
    "ECDHE_ECDSA": {
        0xC009: "AES_128_CBC_SHA",
        0xC00A: "AES_256_CBC_SHA",
        0xC023: "AES_128_CBC_SHA256",
        0xC024: "AES_256_CBC_SHA384",
        0xC02B: "AES_128_GCM_SHA256",
        0xC02C: "AES_256_GCM_SHA384",
        0xC0AC: "AES_128_CCM",
        0xC0AD: "AES_256_CCM",
        0xC0AE: "AES_128_CCM_8",
        0xC0AF: "AES_256_CCM_8",
        0xCCA9: "CHACHA20_POLY1305_SHA256",
    },
    "ECDHE_RSA": {
        0xC013: "AES_128_CBC_SHA",
        0xC014: "AES_256_CBC_SHA",
        0xC027: "AES_128_CBC_SHA256",
        0xC028: "AES_256_CBC_SHA384",
        0xC02F: "AES_128_GCM_SHA256",
        0xC030: "AES_256_GCM_SHA384",
        0xCCA8: "CHACHA20_POLY1305_SHA256",
    },
}
_TLS13 = {
    0x1301: "AES_128_GCM_SHA256",
    0x1302: "AES_256_GCM_SHA384",
    0x1303: "CHACHA20_POLY1305_SHA256",
    0x1304: "AES_128_CCM_SHA256",
    0x1305: "AES_128_CCM_8_SHA256",
}
_IN_TLS12 = {
    code: f"TLS_{exchange}_WITH_{cipher}" for exchange, suites in _TLS12.items() for code, cipher in suites.items()
}
_IN_TLS13 = {code: f"TLS_{cipher}" for code, cipher in _TLS13.items()}
_HASHES = {"SHA": "sha1", "SHA256": "sha256", "SHA384": "sha384"}


class CipherMode(StrEnum):
    GCM = "GCM"
    CCM = "CCM"
    CHACHA20 = "CHACHA20"
    CBC = "CBC"


@dataclass(frozen=True, slots=True)
class CipherSuite:
    name: str
    mode: CipherMode
    hash_name: str  # hash of the key schedule, as in hashlib
    mac_name: str  # hash of the records' MAC, empty with an AEAD
    key_bytes: int
    iv_bytes: int  # size of the IV in the key block of TLS 1.2
    tag_bytes: int  # size of the AEAD's tag, 0 with AES-CBC

    @property
    def mac_bytes(self) -> int:
        return new_hash(self.mac_name).digest_size if self.mac_name else 0


@cache
def find_suite(code: int, *, tls13: bool) -> CipherSuite | None:
    """Return a suite by its number, None if it is unsupported or belongs to another version."""
    name = (_IN_TLS13 if tls13 else _IN_TLS12).get(code)
    return _parse_suite_name(name) if name else None


def suite_name(code: int) -> str:
    return _IN_TLS13.get(code) or _IN_TLS12.get(code) or f"cipher suite 0x{code:04X}"


def _parse_suite_name(name: str) -> CipherSuite:
    words = name.split("_")
    mode = next(mode for mode in CipherMode if mode in words)
    mac_name = _HASHES[words[-1]] if mode is CipherMode.CBC else ""
    return CipherSuite(
        name=name,
        mode=mode,
        # TLS 1.2 uses at least SHA-256, whatever the MAC is (RFC 5246 5).
        hash_name="sha384" if words[-1] == "SHA384" else "sha256",
        mac_name=mac_name,
        key_bytes=16 if "128" in words else 32,
        iv_bytes={CipherMode.CHACHA20: 12, CipherMode.CBC: 0}.get(mode, 4),
        tag_bytes={CipherMode.CBC: 0, CipherMode.CCM: 8 if "8" in words else 16}.get(mode, 16),
    )
