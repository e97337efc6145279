"""
URLs as jambonz reads them: what jambonz would misread is an error, what is only unusual a warning.
It knows no user-info and no query without a path, and would connect elsewhere (listenctl-protocol(7) 1.3). IPv6
addresses and ``ws+unix:`` are for servers under test: jambonz connects to neither.
"""

import re
from dataclasses import dataclass, field, replace
from ipaddress import AddressValueError, IPv6Address
from urllib.parse import urljoin

from listenctl.errors import UsageError
from listenctl.protocol.privacy.hide_secrets import shown_target, shown_url

MAX_HOST_CHARACTERS = 512
MAX_PATH_CHARACTERS = 4096
MAX_PORT = 65535

_SCHEMES = {"ws": False, "wss": True, "http": False, "https": True}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_FORM = "give ws://HOST:PORT/PATH"
_UNIX = "ws+unix:"
_LITERAL = re.compile(r"\[([^][]*)\](.*)")


@dataclass(frozen=True, slots=True)
class WebSocketUrl:
    secure: bool
    host: str
    port: int
    path: str  # path and query as they are sent, from the first ``/`` on
    socket: str = ""  # the path of a Unix socket, to connect to instead of the host
    warnings: tuple[str, ...] = field(default=(), compare=False)  # what is unusual about the URL

    def __str__(self) -> str:
        """Return the URL to show: what looks like a secret in its query is hidden."""
        path = shown_target(self.path)
        if self.socket:
            return f"{_UNIX}{self.socket}:{path}"
        port = "" if self.port == _default_port(self.secure) else f":{self.port}"
        host = f"[{self.host.replace('%', '%25')}]" if ":" in self.host else self.host
        return f"{'wss' if self.secure else 'ws'}://{host}{port}{path}"

    @property
    def host_header(self) -> str:
        """The ``Host`` that jambonz sends, which has no port (listenctl-protocol(7) 1.1)."""
        return f"[{self.host.partition('%')[0]}]" if ":" in self.host else self.host

    @property
    def origin(self) -> str:
        """The ``Origin`` that jambonz sends, which has no port (listenctl-protocol(7) 1.1)."""
        return f"{'https' if self.secure else 'http'}://{self.host_header}"


def parse_websocket_url(url: str) -> WebSocketUrl:
    """Parse a URL as jambonz does; raises UsageError if ``url`` is invalid, or jambonz would misread it."""
    if _CONTROL.search(url):
        raise UsageError(f"{shown_url(url)!r}: a URL must not contain control characters; {_FORM}")
    if url.startswith(_UNIX):
        return _parse_unix_url(url)
    scheme = _SCHEME.match(url)
    if scheme is None or scheme[1] not in (name := scheme[1].lower(), name.upper()) or name not in _SCHEMES:
        raise UsageError(
            f"{shown_url(url)}: must begin with ws://, wss://, http:// or https:// (lower or upper case); {_FORM}"
        )
    for character in "|'":
        if character in url:
            raise UsageError(
                f"{shown_url(url)}: jambonz cuts a URL at {character}; write %{ord(character):02X} instead"
            )
    authority, slash, path = url[scheme.end() :].partition("/")
    host, port = _split_authority(url, authority, _default_port(_SCHEMES[name]))
    if len(path) >= MAX_PATH_CHARACTERS:
        raise UsageError(
            f"{shown_url(url)[:80]}…: the path is longer than {MAX_PATH_CHARACTERS} characters, the limit of jambonz"
        )
    warnings = (*_host_warnings(host), *(_path_warnings(path) if slash else ()))
    return WebSocketUrl(_SCHEMES[name], host, port, "/" + path, warnings=warnings)


def resolve_websocket_url(url: str, base: WebSocketUrl | None) -> WebSocketUrl:
    """Resolve a URL against ``base``; raises UsageError if it is relative without one, or jambonz would misread it."""
    if _SCHEME.match(url) or url.startswith(_UNIX):
        return parse_websocket_url(url)
    if base is None:
        raise UsageError(f"{shown_url(url)}: the URL is relative, and the application's URL is unknown; {_FORM}")
    if _CONTROL.search(url):
        raise UsageError(f"{shown_url(url)!r}: a URL must not contain control characters")
    if url.startswith("/") and not url.startswith("//"):
        origin = replace(base, path="", warnings=())
        return parse_websocket_url(f"{origin}{url}")
    if base.socket:
        raise UsageError(f"{shown_url(url)}: can't be resolved against the URL of a Unix socket; begin it with /")
    return parse_websocket_url(urljoin(f"{replace(base, path='', warnings=())}{base.path}", url))


def _parse_unix_url(url: str) -> WebSocketUrl:
    """Parse ``ws+unix:/SOCKET:/PATH`` as Node's ``ws`` does; without a path it is ``/``."""
    socket, _, path = re.sub(r"^//(?=/)", "", url.removeprefix(_UNIX)).partition(":")
    if not socket or (path and not path.startswith("/")):
        raise UsageError(f"{shown_url(url)}: names no Unix socket and path; give ws+unix:/SOCKET:/PATH")
    return WebSocketUrl(False, "localhost", _default_port(False), path or "/", socket, _path_warnings(path))


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
        better = f"{authority[:at]}/{shown_target(authority[at:])}"
        raise UsageError(f"{shown_url(url)}: jambonz sends a query only after a /; write {better} after the scheme")
    literal = _LITERAL.fullmatch(authority)
    if literal is None and (authority.startswith("[") or authority.count(":") > 1):
        raise UsageError(f"{shown_url(url)}: an IPv6 address must be in brackets, as in ws://[::1]:3000/")
    host, colon, digits = _split_literal(url, *literal.groups()) if literal else authority.partition(":")
    if not host or not host.isascii() or re.search(r"\s", host):
        raise UsageError(
            f"{shown_url(url)}: no host that jambonz can resolve (write a non-ASCII one as xn--…); {_FORM}"
        )
    if len(host) > MAX_HOST_CHARACTERS:
        raise UsageError(
            f"{shown_url(url)[:80]}…: the host is longer than {MAX_HOST_CHARACTERS} characters, the limit of jambonz"
        )
    if not colon:
        return host, default_port
    if not re.fullmatch(r"[0-9]{1,9}", digits) or not 0 < int(digits) <= MAX_PORT:
        raise UsageError(f"{shown_url(url)}: the port must be a number from 1 to {MAX_PORT}; {_FORM}")
    return host, int(digits)


def _split_literal(url: str, address: str, rest: str) -> tuple[str, str, str]:
    """Return an IPv6 address, a colon if there is one, and the port behind it; a zone is written as %25ZONE."""
    host = address.replace("%25", "%", 1)
    try:
        IPv6Address(host)
    except AddressValueError as exc:
        raise UsageError(f"{shown_url(url)}: {address} is no IPv6 address: {exc}") from exc
    if rest and not rest.startswith(":"):
        raise UsageError(f"{shown_url(url)}: only a port can follow an IPv6 address; {_FORM}")
    return host, rest[:1], rest[1:]


def _host_warnings(host: str) -> tuple[str, ...]:
    return ("jambonz can't parse an IPv6 address; give it a host name that resolves to it",) if ":" in host else ()


def _path_warnings(path: str) -> tuple[str, ...]:
    found: list[str] = []
    if " " in path:
        found.append("jambonz sends the space in the URL unchanged, and many servers refuse it; write %20")
    if not path.isascii():
        found.append("jambonz sends the non-ASCII characters in the URL unchanged; write them as %XX")
    if "#" in path:
        found.append("jambonz sends the fragment of the URL as part of the path")
    return tuple(found)
