"""A listen server and how to call it: URL, credentials, TLS, with jambonz's own limits on credentials."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from listenctl.errors import UsageError
from listenctl.net.websocket_url import WebSocketUrl
from listenctl.protocol.opening_handshake import JAMBONZ_SUBPROTOCOL, Credentials

HANDSHAKE_DEADLINE = 10.0
SHOWN_BODY_BYTES = 3200
_MAX_CREDENTIALS_FILE = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTarget:
    address: WebSocketUrl
    credentials: Credentials | None = None
    authorization: str | None = field(default=None, repr=False)
    """The value of the Authorization header, which replaces ``credentials``."""
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    """The context for ``wss``; None trusts the system's certificates."""
    subprotocol: str | None = JAMBONZ_SUBPROTOCOL  # the name to offer, None for none
    user_agent: str | None = None  # None for none, as in jambonz; later builds send one
    deadline: float = HANDSHAKE_DEADLINE  # seconds for the whole handshake, redirects included
    max_body: int = SHOWN_BODY_BYTES  # bytes to read of the body of a refusal
    relayed: bool = False  # whether a client chose the headers, and options begin with ``--upstream-``
    note_key: Callable[[str], None] = field(default=lambda _: None, repr=False, compare=False)
    """Called with the Sec-WebSocket-Key of each request before it is sent."""


def client_tls_context(ca: Path | None = None, *, insecure: bool = False) -> ssl.SSLContext:
    """Return a TLS context like jambonz's; ``ca`` replaces the system's CAs, ``insecure`` accepts any certificate."""
    try:
        context = ssl.create_default_context(cafile=ca)
    except OSError as exc:
        problem = "not a PEM file of certificates" if isinstance(exc, ssl.SSLError) else exc.strerror
        raise UsageError(f"{ca}: can't be used as CA: {problem}; give a PEM file of certificates") from exc
    context.set_alpn_protocols(["http/1.1"])
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def read_credentials(path: Path) -> Credentials:
    """Return the credentials in the first line of a file, ``user:password``."""
    try:
        with path.open(encoding="utf-8") as file:
            line = file.readline(_MAX_CREDENTIALS_FILE)
    except (OSError, UnicodeDecodeError) as exc:
        problem = exc.strerror if isinstance(exc, OSError) else "not a text file"
        raise UsageError(f"{path}: can't read credentials: {problem}; write user:password on its first line") from exc
    return parse_credentials(line.rstrip("\r\n"), where=str(path))


def parse_credentials(text: str, *, where: str) -> Credentials:
    """Parse ``user:password``; an error names ``where`` it was read, and never the text."""
    user, colon, password = text.partition(":")
    if not colon or not text.isprintable():
        raise UsageError(f"{where}: no credentials found; write user:password, in one line of printable characters")
    return Credentials(user, password)
