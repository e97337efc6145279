"""
URLs as jambonz reads them: what jambonz would misread is an error, what is only unusual a warning.
It knows no user-info, no IPv6 and no query without a path, and would connect elsewhere (listenctl-protocol(7) 1.3).
"""

import re
from dataclasses import dataclass, field, replace
from urllib.parse import urljoin

from listenctl.errors import UsageError

MAX_HOST_CHARACTERS = 512
MAX_PATH_CHARACTERS = 4096
MAX_PORT = 65535

_SCHEMES = {"ws": False, "wss": True, "http": False, "https": True}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_FORM = "give ws://HOST:PORT/PATH"


@dataclass(frozen=True, slots=True)
class WebSocketUrl:
    secure: bool
    host: str
    port: int
    path: str  # path and query as they are sent, from the first ``/`` on
    warnings: tuple[str, ...] = field(default=(), compare=False)  # what is unusual about the URL

    def __str__(self) -> str:
        port = "" if self.port == _default_port(self.secure) else f":{self.port}"
        return f"{'wss' if self.secure else 'ws'}://{self.host}{port}{self.path}"

    @property
    def origin(self) -> str:
        """The ``Origin`` that jambonz sends, which has no port (listenctl-protocol(7) 1.1)."""
        return f"{'https' if self.secure else 'http'}://{self.host}"


def parse_websocket_url(url: str) -> WebSocketUrl:
    """Parse a URL as jambonz does; raises UsageError if ``url`` is invalid, or jambonz would misread it."""
    if _CONTROL.search(url):
        raise UsageError(f"{url!r}: a URL must not contain control characters; {_FORM}")
    scheme = _SCHEME.match(url)
    if scheme is None or scheme[1] not in (name := scheme[1].lower(), name.upper()) or name not in _SCHEMES:
        raise UsageError(f"{url}: must begin with ws://, wss://, http:// or https:// (lower or upper case); {_FORM}")
    for character in "|'":
        if character in url:
            raise UsageError(f"{url}: jambonz cuts a URL at {character}; write %{ord(character):02X} instead")
    authority, slash, path = url[scheme.end() :].partition("/")
    host, port = _split_authority(url, authority, _default_port(_SCHEMES[name]))
    if len(path) >= MAX_PATH_CHARACTERS:
        raise UsageError(f"{url[:80]}…: the path is longer than {MAX_PATH_CHARACTERS} characters, the limit of jambonz")
    return WebSocketUrl(_SCHEMES[name], host, port, "/" + path, _path_warnings(path) if slash else ())


def resolve_websocket_url(url: str, base: WebSocketUrl | None) -> WebSocketUrl:
    """Resolve a URL against ``base``; raises UsageError if it is relative without one, or jambonz would misread it."""
    if _SCHEME.match(url):
        return parse_websocket_url(url)
    if base is None:
        raise UsageError(f"{url}: the URL is relative, and the application's URL is unknown; {_FORM}")
    if _CONTROL.search(url):
        raise UsageError(f"{url!r}: a URL must not contain control characters")
    if url.startswith("/") and not url.startswith("//"):
        origin = replace(base, path="", warnings=())
        return parse_websocket_url(f"{origin}{url}")
    return parse_websocket_url(urljoin(str(base), url))


def _default_port(secure: bool) -> int:
    return 443 if secure else 80


def _split_authority(url: str, authority: str, default_port: int) -> tuple[str, int]:
    if "@" in authority:
        # The URL may contain a password, so the message doesn't repeat it.
        place = authority.rpartition("@")[2]
        raise UsageError(
            f"{place}: jambonz takes user:password@ for part of the host; remove it and give the credentials separately"
        )
    if "?" in authority or "#" in authority:
        at = min(index for mark in "?#" if (index := authority.find(mark)) >= 0)
        raise UsageError(
            f"{url}: jambonz sends a query only after a /; write {authority[:at]}/{authority[at:]} after the scheme"
        )
    if authority.startswith("[") or authority.count(":") > 1:
        raise UsageError(f"{url}: jambonz can't parse an IPv6 address; use a host name that resolves to it")
    host, colon, digits = authority.partition(":")
    if not host or not host.isascii() or re.search(r"\s", host):
        raise UsageError(f"{url}: no host that jambonz can resolve (write a non-ASCII one as xn--…); {_FORM}")
    if len(host) > MAX_HOST_CHARACTERS:
        raise UsageError(f"{url[:80]}…: the host is longer than {MAX_HOST_CHARACTERS} characters, the limit of jambonz")
    if not colon:
        return host, default_port
    if not re.fullmatch(r"[0-9]{1,9}", digits) or not 0 < int(digits) <= MAX_PORT:
        raise UsageError(f"{url}: the port must be a number from 1 to {MAX_PORT}; {_FORM}")
    return host, int(digits)


def _path_warnings(path: str) -> tuple[str, ...]:
    found: list[str] = []
    if " " in path:
        found.append("jambonz sends the space in the URL unchanged, and many servers refuse it; write %20")
    if not path.isascii():
        found.append("jambonz sends the non-ASCII characters in the URL unchanged; write them as %XX")
    if "#" in path:
        found.append("jambonz sends the fragment of the URL as part of the path")
    return tuple(found)
