"""Options that say who may connect to a server, and the settings they make."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from listenctl.commands.shared_options import check_contradictions, option
from listenctl.errors import UsageError

if TYPE_CHECKING:
    import ssl

    from listenctl.commands.serve.server_options import ServerOptions
    from listenctl.server.access.check_credentials import CredentialsCheck
    from listenctl.server.access.client_addresses import AddressRules
    from listenctl.server.upstream import RelayTarget

access = partial(option, panel="Access and TLS")


@dataclass(frozen=True, kw_only=True)
class AccessOptions:
    """Who may connect, and how they are known."""

    auth_file: Annotated[Path | None, access("File of users who may connect; see `listenctl passwd`")] = None
    no_auth: Annotated[bool, access("Let anyone connect, even from other hosts")] = False
    allow: Annotated[
        list[str] | None, access("Network or address that calls may come from; repeatable", metavar="CIDR")
    ] = None
    cert: Annotated[Path | None, access("Certificate chain (PEM) for wss://")] = None
    key: Annotated[Path | None, access("Private key (PEM) of the certificate")] = None
    trust_proxy: Annotated[
        bool, access("Take the client's address from the PROXY header (v1 or v2) that each connection must have")
    ] = False
    proxies: Annotated[
        list[str] | None,
        access(
            "Networks of proxies: trust their X-Forwarded-For, Forwarded or PROXY header; repeatable", metavar="CIDR"
        ),
    ] = None


def check_protection(options: "ServerOptions", hosts: Sequence[str], upstream: "RelayTarget | None") -> None:
    """Raise UsageError if others could connect to a server on ``hosts`` without credentials, and nobody said so."""
    from listenctl.net.listening_sockets import is_loopback

    check_contradictions(options, ("no_auth", "auth_file"))
    exposed = [host for host in hosts if not is_loopback(host)]
    # A relay lets the application check the credentials.
    protected = options.no_auth or options.auth_file is not None or os.environ.get("LISTENCTL_AUTH") or upstream
    if exposed and not protected:
        raise UsageError(
            f"--host {exposed[0]} lets other hosts connect: set credentials with --auth-file or LISTENCTL_AUTH, "
            "or allow everyone with --no-auth"
        )


def address_rules(options: AccessOptions) -> "AddressRules":
    """Return where calls may come from; raises UsageError for what is no network."""
    from listenctl.server.access.client_addresses import AddressRules
    from listenctl.server.access.networks import parse_networks

    return AddressRules(
        allowed=parse_networks(options.allow or [], "--allow"),
        proxies=parse_networks(options.proxies or [], "--proxies"),
        proxy_protocol=options.trust_proxy,
    )


def read_credentials_check(options: AccessOptions) -> "CredentialsCheck | None":
    """Return what checks the credentials of clients, None if everyone may connect."""
    from listenctl.server.access.check_credentials import file_credentials, shared_credentials

    shared = os.environ.get("LISTENCTL_AUTH")
    if options.no_auth:
        return None
    if options.auth_file is not None:
        return file_credentials(options.auth_file)
    return shared_credentials(shared) if shared else None


def read_certificate(cert: Path | None, key: Path | None) -> "ssl.SSLContext | None":
    """Return the TLS context, None without a certificate."""
    if cert is None:
        if key is not None:
            raise UsageError("--key needs --cert")
        return None
    import ssl

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as exc:
        reason = _missing_pem(cert, key) or (exc.reason if isinstance(exc, ssl.SSLError) else None) or exc.strerror
        if reason == "KEY_VALUES_MISMATCH":
            reason = f"{key or 'it'} contains the private key of another certificate"
        raise UsageError(f"{cert}: can't be used as a certificate with its key: {reason}") from exc
    return context


def reload_certificate(context: "ssl.SSLContext | None", cert: Path | None, key: Path | None) -> None:
    """Give a TLS context the certificate that the files have now; raises UsageError if they can't be used."""
    if context is not None and cert is not None and read_certificate(cert, key) is not None:
        context.load_cert_chain(cert, key)


def _missing_pem(cert: Path, key: Path | None) -> str:
    """Return what the files lack, empty if they can't be read or have both; OpenSSL doesn't say which file it means."""
    try:
        if b"-----BEGIN CERTIFICATE-----" not in cert.read_bytes():
            return "it contains no certificate in PEM format"
        if b"PRIVATE KEY-----" not in (key or cert).read_bytes():
            return f"{key} contains no private key" if key else "it contains no private key; give that with --key"
    except OSError as exc:
        return f"{exc.filename}: {exc.strerror}"
    return ""
