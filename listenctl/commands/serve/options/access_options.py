"""Options that say who may connect to a server, and the settings they make."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from listenctl.commands.shared_options import GivenOptions, check_contradictions, option
from listenctl.errors import UsageError

if TYPE_CHECKING:
    from listenctl.server.access.check_credentials import CredentialsCheck
    from listenctl.server.access.client_addresses import AddressRules
    from listenctl.server.access.server_tls import ServerTls
    from listenctl.server.upstream import RelayTarget

access = partial(option, panel="Access and TLS")


@dataclass(frozen=True, kw_only=True)
class AccessOptions(GivenOptions):
    """Who may connect, and how they are known."""

    auth_file: Annotated[Path | None, access("File of users who may connect; see `listenctl passwd`")] = None
    no_auth: Annotated[bool, access("Let anyone connect, even from other hosts")] = False
    allow: Annotated[
        list[str] | None, access("Network or address that calls may come from; repeatable", metavar="CIDR")
    ] = None
    cert: Annotated[Path | None, access("Certificate chain (PEM) for wss://")] = None
    key: Annotated[Path | None, access("Private key (PEM) of the certificate")] = None
    self_signed: Annotated[bool, access("Use a certificate that signs itself, for a test on a laptop")] = False
    client_ca: Annotated[
        Path | None, access("CA certificates (PEM) of the client certificates that are then demanded")
    ] = None
    trust_proxy: Annotated[
        bool, access("Take the client's address from the PROXY header (v1 or v2) that each connection must have")
    ] = False
    proxies: Annotated[
        list[str] | None,
        access(
            "Networks of proxies: trust their X-Forwarded-For, Forwarded or PROXY header; repeatable", metavar="CIDR"
        ),
    ] = None


def check_protection(options: AccessOptions, hosts: Sequence[str], upstream: "RelayTarget | None") -> None:
    """Raise UsageError if others could connect to a server on ``hosts`` without credentials, and nobody said so."""
    from listenctl.net.listening_sockets import is_loopback

    check_contradictions(options, ("no_auth", "auth_file"))
    exposed = [host for host in hosts if not is_loopback(host)]
    with_credentials = options.auth_file is not None or os.environ.get("LISTENCTL_AUTH") or options.client_ca
    # A relay lets the application check the credentials.
    protected = options.no_auth or with_credentials or upstream
    if exposed and not protected:
        raise UsageError(
            f"--host {exposed[0]} lets other hosts connect: set credentials with --auth-file or LISTENCTL_AUTH, "
            "demand certificates with --client-ca, or allow everyone with --no-auth"
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


def read_tls(options: AccessOptions, host: str) -> "ServerTls | None":
    """Return the TLS of a server on ``host``, None without a certificate; raises UsageError if it can't be used."""
    from listenctl.events import WarningEvent
    from listenctl.server.access.server_tls import ServerTls, load_context

    cert, key, client_ca = options.cert, options.key, options.client_ca
    check_contradictions(options, ("self_signed", "cert"), ("self_signed", "key"))
    if options.self_signed:
        from listenctl.server.access.self_signed import own_names, prepare_self_signed, state_folder

        made = prepare_self_signed(state_folder(os.environ), own_names(host), time.time())
        detail = (
            f"clients need --ca {made.certificate} to trust the certificate; its SHA-256 fingerprint is "
            f"{made.fingerprint}"
        )
        notice = WarningEvent(rule="self-signed", detail=detail)
        return ServerTls(partial(load_context, made.pair, None, client_ca), notice)
    if cert is not None:
        return ServerTls(partial(load_context, cert, key, client_ca))
    if key is not None:
        raise UsageError("--key needs --cert")
    if client_ca is not None:
        raise UsageError("--client-ca needs --cert or --self-signed")
    return None
