"""
The handshake messages that say what a session needs for being decrypted (RFC 8446 4, RFC 5246 7.4).

What comes from a capture may be anything: a message that can't be parsed is None.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

CLIENT_HELLO = 1
SERVER_HELLO = 2
ENCRYPTED_EXTENSIONS = 8
FINISHED = 20
KEY_UPDATE = 24

TLS12 = 0x0303
TLS13 = 0x0304

# Certificates and tickets are of no use; all known types (RFC 8446 4, RFC 5246 7.4, RFC 6066, RFC 8879, NPN).
_KEPT = frozenset({CLIENT_HELLO, SERVER_HELLO, ENCRYPTED_EXTENSIONS})
_KNOWN = frozenset({0, *_KEPT, 4, 5, 11, 12, 13, 14, 15, 16, FINISHED, 21, 22, 23, KEY_UPDATE, 25, 67})
_MESSAGE_HEADER = 4
MAX_KEPT = 64 * 1024
MAX_LEFT_OUT = 1024 * 1024
MAX_NAME = 255

# RFC 8446 4.1.3.
_HELLO_RETRY_REQUEST = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")

_SERVER_NAME = 0
_ALPN = 16
_ENCRYPT_THEN_MAC = 22
_EARLY_DATA = 42
_SUPPORTED_VERSIONS = 43

_VERSION_NAMES = {0x0300: "SSL 3.0", 0x0301: "TLS 1.0", 0x0302: "TLS 1.1", TLS12: "TLS 1.2", TLS13: "TLS 1.3"}
_UNPRINTABLE = re.compile(rb"[^!-~]")

HandshakeMessage = tuple[int, bytes]
"""The type of a handshake message, and its body if it is one of those that are parsed here."""


@dataclass(frozen=True, slots=True)
class ClientHello:
    """What the client offered."""

    random: bytes
    server_name: str
    early_data: bool


@dataclass(frozen=True, slots=True)
class ServerHello:
    """What the server chose; ``alpn`` is empty in TLS 1.3, where it stands in EncryptedExtensions."""

    random: bytes
    version: int
    suite: int
    compression: int
    encrypt_then_mac: bool
    alpn: str

    @property
    def retry(self) -> bool:
        """Whether this asks for another ClientHello instead (HelloRetryRequest)."""
        return self.random == _HELLO_RETRY_REQUEST


def version_name(version: int) -> str:
    """Return what to call a version."""
    return _VERSION_NAMES.get(version, f"TLS version 0x{version:04x}")


class TlsHandshakeReader:
    """Put the handshake messages of one direction together, in however many records they came."""

    def __init__(self) -> None:
        self._buffer = b""
        self._left_out = 0

    def reset(self) -> None:
        """Forget the message that is incomplete: something is missing."""
        self._buffer = b""
        self._left_out = 0

    def feed(self, data: bytes) -> Iterator[HandshakeMessage]:
        """Take what a record holds, and return the messages that end in it."""
        data = self._buffer + data
        self._buffer = b""
        while data:
            left_out = min(self._left_out, len(data))
            self._left_out -= left_out
            data = data[left_out:]
            if len(data) < _MESSAGE_HEADER:
                break
            kind, size = data[0], int.from_bytes(data[1:_MESSAGE_HEADER], "big")
            end = _MESSAGE_HEADER + size
            if kind not in _KNOWN or size > (MAX_KEPT if kind in _KEPT else MAX_LEFT_OUT):
                # This is the middle of something.
                return
            if kind not in _KEPT:
                self._left_out = end
                yield kind, b""
            elif len(data) < end:
                break
            else:
                yield kind, data[_MESSAGE_HEADER:end]
                data = data[end:]
        self._buffer = data


class _HandshakeFields:
    """Fields in order; taking more than there is raises ``ValueError``."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise ValueError("a field is longer than what it is in")
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, width: int) -> bytes:
        return self.take(self.number(width))

    def extensions(self) -> dict[int, bytes]:
        # A hello of old may end before them.
        block = _HandshakeFields(self.vector(2) if self else b"")
        found = {}
        while block:
            kind = block.number(2)
            found[kind] = block.vector(2)
        return found


def parse_client_hello(body: bytes) -> ClientHello | None:
    """Return a ClientHello (RFC 8446 4.1.2)."""
    fields = _HandshakeFields(body)
    try:
        fields.take(2)
        random = fields.take(32)
        fields.vector(1)
        fields.vector(2)
        fields.vector(1)
        extensions = fields.extensions()
        return ClientHello(random, _server_name(extensions.get(_SERVER_NAME, b"")), _EARLY_DATA in extensions)
    except ValueError:
        return None


def parse_server_hello(body: bytes) -> ServerHello | None:
    """Return a ServerHello or HelloRetryRequest (RFC 8446 4.1.3)."""
    fields = _HandshakeFields(body)
    try:
        version = fields.number(2)
        random = fields.take(32)
        fields.vector(1)
        suite, compression = fields.number(2), fields.number(1)
        extensions = fields.extensions()
        chosen = extensions.get(_SUPPORTED_VERSIONS)
        return ServerHello(
            random=random,
            version=int.from_bytes(chosen, "big") if chosen else version,
            suite=suite,
            compression=compression,
            encrypt_then_mac=_ENCRYPT_THEN_MAC in extensions,
            alpn=_alpn(extensions.get(_ALPN, b"")),
        )
    except ValueError:
        return None


def parse_alpn(body: bytes) -> str:
    """Return the protocol that the EncryptedExtensions name, empty if none (RFC 8446 4.3.1)."""
    try:
        return _alpn(_HandshakeFields(body).extensions().get(_ALPN, b""))
    except ValueError:
        return ""


def _server_name(data: bytes) -> str:
    if not data:
        return ""
    names = _HandshakeFields(_HandshakeFields(data).vector(2))
    kind, name = names.number(1), names.vector(2)
    return "" if kind else _printable(name)


def _alpn(data: bytes) -> str:
    return _printable(_HandshakeFields(_HandshakeFields(data).vector(2)).vector(1)) if data else ""


def _printable(name: bytes) -> str:
    # Both names are ASCII by their definition; what isn't must not reach a terminal.
    return _UNPRINTABLE.sub(b"?", name[:MAX_NAME]).decode("ascii")
