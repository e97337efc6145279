"""Options of a server that relays its calls to the real application."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from listenctl.commands.shared_options import option
from listenctl.errors import UsageError

if TYPE_CHECKING:
    from listenctl.server.relay import Application

RELAY = "Relay"


@dataclass(frozen=True, kw_only=True)
class RelayOptions:
    """Options of whether and where to relay."""

    upstream: Annotated[
        str | None, option("Relay each call to the application at this URL.", panel=RELAY, metavar="URL")
    ] = None
    upstream_ca: Annotated[
        Path | None, option("Certificates (PEM) to trust, for an application at wss://.", panel=RELAY)
    ] = None
    upstream_insecure: Annotated[
        bool, option("Trust any certificate of the application.", "--upstream-insecure", panel=RELAY)
    ] = False


def read_application(options: RelayOptions) -> "Application | None":
    """
    Return the application to relay to, None without one.

    Raises:
        UsageError: the URL is none that jambonz could call, or the certificates can't be used.
    """
    if options.upstream is None:
        if options.upstream_ca is not None or options.upstream_insecure:
            raise UsageError("--upstream-ca and --upstream-insecure need --upstream beside them")
        return None
    from listenctl.net.call_target import CallTarget, client_tls_context
    from listenctl.net.websocket_url import parse_websocket_url
    from listenctl.server.upstream import RelayTarget

    if not options.upstream:
        raise UsageError("--upstream is empty; give the application's URL, such as ws://HOST:PORT/PATH")
    address = parse_websocket_url(options.upstream)
    if "#" in address.path:
        raise UsageError(f"{options.upstream}: --upstream has no fragment; leave out # and what follows, or write %23")
    # A redirect may lead to wss://, so the context is made in any case.
    tls = client_tls_context(options.upstream_ca, insecure=options.upstream_insecure)
    return RelayTarget(CallTarget(address=address, tls=tls))
