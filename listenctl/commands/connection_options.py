"""Options of the commands that connect to a listen server as jambonz does."""

import os
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from listenctl.commands.shared_options import local_path, option, output
from listenctl.errors import UsageError

if TYPE_CHECKING:
    from listenctl.net.server_address import CallTarget
    from listenctl.protocol.opening_handshake import Credentials

connection = partial(option, panel="Connection")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
AUTH_VARIABLE = "LISTENCTL_AUTH"
"""``user:password``, as for the server."""


@dataclass(frozen=True, kw_only=True)
class ConnectionOptions:
    """Options of how to connect."""

    auth_file: Annotated[Path | None, connection("File with user:password in plain text")] = None
    ca: Annotated[Path | None, connection("CA certificates (PEM) to trust for wss://")] = None
    insecure: Annotated[bool, connection("Accept any certificate")] = False
    user_agent: Annotated[str | None, connection("User-Agent to send; jambonz sends none", metavar="TEXT")] = None
    subprotocol: Annotated[str, connection("WebSocket subprotocol to offer", metavar="TOKEN")] = "audio.jambonz.org"


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """Options of what is reported about calls."""

    json: Annotated[bool, output("Print each event as a JSON line")] = False
    events: Annotated[
        Path | None, output("Append each event as a JSON line to a file", metavar="FILE", parser=local_path)
    ] = None
    quiet: Annotated[bool, output("Print only errors", "--quiet", "-q")] = False


def target_of(
    options: ConnectionOptions, url: str, *, base: str | None = None, credentials: "Credentials | None" = None
) -> "CallTarget":
    """
    Return what to connect to, and how.

    Args:
        base: URL of the application, for a relative ``url``; its credentials then replace the verb's, as in jambonz
            (listenctl-protocol(7) 1.3).
        credentials: those of the verb; a file or variable takes precedence.

    Raises:
        UsageError: a URL can't be called, or a file can't be used.
    """
    from listenctl.net.server_address import CallTarget, client_tls_context
    from listenctl.net.websocket_url import parse_websocket_url, resolve_websocket_url

    place, base_credentials = split_credentials(base) if base else (None, None)
    if place is None and url.startswith("/"):
        from listenctl.protocol.privacy.hide_secrets import shown_url

        raise UsageError(f"the url {shown_url(url)} is relative: give the application's URL with --base-url")
    address = resolve_websocket_url(url, parse_websocket_url(place)) if place else parse_websocket_url(url)
    if url.startswith("/"):
        credentials = base_credentials or credentials
    user_agent, subprotocol = options.user_agent, options.subprotocol
    # A header ends at a line break.
    if user_agent is not None and not (user_agent.isascii() and user_agent.isprintable()):
        raise UsageError(f"--user-agent {user_agent!r}: a header takes printable ASCII characters only")
    if subprotocol:
        check_subprotocol(subprotocol)
    needs_tls = address.secure or options.ca is not None or options.insecure
    return CallTarget(
        address=address,
        credentials=given_credentials(options.auth_file) or credentials,
        tls=client_tls_context(options.ca, insecure=options.insecure) if needs_tls else None,
        subprotocol=subprotocol or None,
        user_agent=user_agent,
    )


def check_subprotocol(name: str) -> str:
    """Return the name; raises UsageError if it is not a token (RFC 9110 5.6.2)."""
    if not _TOKEN.fullmatch(name):
        raise UsageError(f"--subprotocol {name!r}: is not a token; give one word without spaces, commas or quotes")
    return name


def split_credentials(url: str) -> "tuple[str, Credentials | None]":
    from urllib.parse import unquote, urlsplit

    from listenctl.protocol.opening_handshake import Credentials

    parts = urlsplit(url)
    if parts.username is None:
        return url, None
    place = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return place, Credentials(unquote(parts.username), unquote(parts.password or ""))


def given_credentials(path: Path | None) -> "Credentials | None":
    """Return the credentials of a file or, without one, of the variable; None where neither is given."""
    from listenctl.net.server_address import parse_credentials, read_credentials

    if path is not None:
        found, where = read_credentials(path), str(path)
    elif value := os.environ.get(AUTH_VARIABLE):
        found, where = parse_credentials(value, where=AUTH_VARIABLE), AUTH_VARIABLE
    else:
        return None
    if found.password.startswith("scrypt$"):
        raise UsageError(f"{where}: contains a password hash for a server; to connect, give the password itself")
    return found
