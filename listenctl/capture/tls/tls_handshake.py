"""The handshake messages that decryption needs (RFC 8446 4, RFC 5246 7.4); parsing an invalid message returns None."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

CLIENT_HELLO = 1
SERVER_HELLO = 2
FINISHED = 20
KEY_UPDATE = 24

TLS12 = 0x0303
TLS13 = 0x0304

# Certificates and tickets are skipped. All known types: RFC 8446 4, RFC 5246 7.4, RFC 6066, RFC 8879, NPN.
_KEPT = frozenset({CLIENT_HELLO, SERVER_HELLO})
_KNOWN = frozenset({0, *_KEPT, 4, 5, 8, 11, 12, 13, 14, 15, 16, FINISHED, 21, 22, 23, KEY_UPDATE, 25, 67})
_MESSAGE_HEADER = 4
MAX_KEPT = 64 * 1024
MAX_SKIPPED = 1024 * 1024
MAX_NAME = 255

# RFC 8446 4.1.3.
_HELLO_RETRY_REQUEST = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")

_SERVER_NAME = 0
_ENCRYPT_THEN_MAC = 22
_EARLY_DATA = 42
_SUPPORTED_VERSIONS = 43

_VERSION_NAMES = {0x0300: "SSL 3.0", 0x0301: "TLS 1.0", 0x0302: "TLS 1.1", TLS12: "TLS 1.2", TLS13: "TLS 1.3"}
_UNPRINTABLE = re.compile(rb"[^!-~]")

HandshakeMessage = tuple[int, bytes]
"""The type of a handshake message, and its body if it is parsed here."""


@dataclass(frozen=True, slots=True)
class ClientHello:
    random: bytes
    server_name: str
    early_data: bool


@dataclass(frozen=True, slots=True)
class ServerHello:
    random: bytes
    version: int
    suite: int
    compression: int
    encrypt_then_mac: bool

    @property
    def is_retry_request(self) -> bool:
        return self.random == _HELLO_RETRY_REQUEST


def version_name(version: int) -> str:
    return _VERSION_NAMES.get(version, f"TLS version 0x{version:04x}")


class TlsHandshakeReader:
    def __init__(self) -> None:
        self._buffer = b""
        self._skip = 0

    def reset(self) -> None:
        """Drop the incomplete message, because data is missing."""
        self._buffer = b""
        self._skip = 0

    def feed(self, data: bytes) -> Iterator[HandshakeMessage]:
        """Yield the messages that the content of a record completes, and the start of skipped ones."""
        data = self._buffer + data
        self._buffer = b""
        while data:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = data[skipped:]
            if len(data) < _MESSAGE_HEADER:
                break
            kind, size = data[0], int.from_bytes(data[1:_MESSAGE_HEADER], "big")
            end = _MESSAGE_HEADER + size
            if kind not in _KNOWN or size > (MAX_KEPT if kind in _KEPT else MAX_SKIPPED):
                # Not the start of a message.
                return
            if kind not in _KEPT:
                self._skip = end
                yield kind, b""
            elif len(data) < end:
                break
            else:
                yield kind, data[_MESSAGE_HEADER:end]
                data = data[end:]
        self._buffer = data


class _HandshakeFields:
    """Read fields in order; reading past the end raises ``ValueError``."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def read_bytes(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise ValueError("a field is longer than its container")
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def read_number(self, size: int) -> int:
        return int.from_bytes(self.read_bytes(size), "big")

    def read_vector(self, width: int) -> bytes:
        return self.read_bytes(self.read_number(width))

    def read_extensions(self) -> dict[int, bytes]:
        # Old hellos end before the extensions.
        block = _HandshakeFields(self.read_vector(2) if self else b"")
        found = {}
        while block:
            kind = block.read_number(2)
            found[kind] = block.read_vector(2)
        return found


def parse_client_hello(body: bytes) -> ClientHello | None:
    """Parse a ClientHello (RFC 8446 4.1.2)."""
    fields = _HandshakeFields(body)
    try:
        fields.read_bytes(2)
        random = fields.read_bytes(32)
        fields.read_vector(1)
        fields.read_vector(2)
        fields.read_vector(1)
        extensions = fields.read_extensions()
        return ClientHello(random, _server_name(extensions.get(_SERVER_NAME, b"")), _EARLY_DATA in extensions)
    except ValueError:
        return None


def parse_server_hello(body: bytes) -> ServerHello | None:
    """Parse a ServerHello or HelloRetryRequest (RFC 8446 4.1.3)."""
    fields = _HandshakeFields(body)
    try:
        version = fields.read_number(2)
        random = fields.read_bytes(32)
        fields.read_vector(1)
        suite, compression = fields.read_number(2), fields.read_number(1)
        extensions = fields.read_extensions()
        chosen = extensions.get(_SUPPORTED_VERSIONS)
        return ServerHello(
            random=random,
            version=int.from_bytes(chosen, "big") if chosen else version,
            suite=suite,
            compression=compression,
            encrypt_then_mac=_ENCRYPT_THEN_MAC in extensions,
        )
    except ValueError:
        return None


def _server_name(data: bytes) -> str:
    if not data:
        return ""
    names = _HandshakeFields(_HandshakeFields(data).read_vector(2))
    kind, name = names.read_number(1), names.read_vector(2)
    # Names are ASCII by definition; other bytes must not reach a terminal.
    return "" if kind else _UNPRINTABLE.sub(b"?", name[:MAX_NAME]).decode("ascii")
