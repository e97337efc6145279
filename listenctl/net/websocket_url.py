"""
URLs as jambonz reads them: what it would get wrong is an error here, and what is only odd a warning.

Its parser knows no user-info, no IPv6 and no query without a path (protocol.md 1.3); the media server would connect to
something else, and say so only in its log.
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
    """
    Where a call connects to.

    Attributes:
        path: path and query as they are sent, from the first ``/`` on.
        warnings: what is odd about it.
    """

    secure: bool
    host: str
    port: int
    path: str
    warnings: tuple[str, ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        port = "" if self.port == _default_port(self.secure) else f":{self.port}"
        return f"{'wss' if self.secure else 'ws'}://{self.host}{port}{self.path}"

    @property
    def origin(self) -> str:
        """The ``Origin`` that jambonz sends, which has no port either (protocol.md 1.1)."""
        return f"{'https' if self.secure else 'http'}://{self.host}"


def parse_websocket_url(url: str) -> WebSocketUrl:
    """
    Return what jambonz would connect to.

    Raises:
        UsageError: ``url`` is none, or one that jambonz would misread.
    """
    if _CONTROL.search(url):
        raise UsageError(f"{url!r}: a URL has no control characters; {_FORM}")
    scheme = _SCHEME.match(url)
    if scheme is None or scheme[1] not in (name := scheme[1].lower(), name.upper()) or name not in _SCHEMES:
        raise UsageError(f"{url}: begins with none of ws://, wss://, http://, https:// (lower or upper case); {_FORM}")
    for character in "|'":
        if character in url:
            raise UsageError(f"{url}: jambonz cuts a URL at {character}; write %{ord(character):02X} in its place")
    authority, slash, path = url[scheme.end() :].partition("/")
    host, port = _split_authority(url, authority, _default_port(_SCHEMES[name]))
    if len(path) >= MAX_PATH_CHARACTERS:
        raise UsageError(
            f"{url[:80]}…: the path is longer than the {MAX_PATH_CHARACTERS} characters that jambonz takes"
        )
    return WebSocketUrl(_SCHEMES[name], host, port, "/" + path, _oddities(path) if slash else ())


def resolve_websocket_url(url: str, base: WebSocketUrl | None) -> WebSocketUrl:
    """
    Return what ``url`` means as seen from ``base``: the application's own address, or that of a redirect.

    Raises:
        UsageError: ``url`` is relative and there is no base, or it is one that jambonz would misread.
    """
    if _SCHEME.match(url):
        return parse_websocket_url(url)
    if base is None:
        raise UsageError(f"{url}: is relative to the application's URL, which is not known; {_FORM}")
    if _CONTROL.search(url):
        raise UsageError(f"{url!r}: a URL has no control characters")
    if url.startswith("/") and not url.startswith("//"):
        origin = replace(base, path="", warnings=())
        return parse_websocket_url(f"{origin}{url}")
    return parse_websocket_url(urljoin(str(base), url))


def _default_port(secure: bool) -> int:
    return 443 if secure else 80


def _split_authority(url: str, authority: str, default_port: int) -> tuple[str, int]:
    if "@" in authority:
        # A password may stand there, so the URL isn't repeated.
        place = authority.rpartition("@")[2]
        raise UsageError(
            f"{place}: jambonz takes user:password@ for a part of the host; leave it out and give credentials apart"
        )
    if "?" in authority or "#" in authority:
        at = min(index for mark in "?#" if (index := authority.find(mark)) >= 0)
        raise UsageError(
            f"{url}: jambonz sends a query only after a /; write {authority[:at]}/{authority[at:]} after the scheme"
        )
    if authority.startswith("[") or authority.count(":") > 1:
        raise UsageError(f"{url}: jambonz can't read an IPv6 address; give a host name that resolves to it")
    host, colon, digits = authority.partition(":")
    if not host or not host.isascii() or re.search(r"\s", host):
        raise UsageError(f"{url}: has no host that jambonz could look up (one beyond ASCII is written xn--…); {_FORM}")
    if len(host) > MAX_HOST_CHARACTERS:
        raise UsageError(
            f"{url[:80]}…: the host is longer than the {MAX_HOST_CHARACTERS} characters that jambonz takes"
        )
    if not colon:
        return host, default_port
    if not re.fullmatch(r"[0-9]{1,9}", digits) or not 0 < int(digits) <= MAX_PORT:
        raise UsageError(f"{url}: the port is no number from 1 to {MAX_PORT}; {_FORM}")
    return host, int(digits)


def _oddities(path: str) -> tuple[str, ...]:
    found: list[str] = []
    if " " in path:
        found.append("the URL has a space, which is sent as it is; many servers refuse that, so write %20")
    if not path.isascii():
        found.append("the URL has characters beyond ASCII, which are sent as they are; write them as %XX")
    if "#" in path:
        found.append("the URL has a fragment, which jambonz sends as part of the path")
    return tuple(found)
