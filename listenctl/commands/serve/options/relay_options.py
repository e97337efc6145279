"""Options of a server that relays its calls to another application."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from listenctl.commands.shared_options import option
from listenctl.errors import UsageError

if TYPE_CHECKING:
    from listenctl.server.upstream import RelayTarget

relay = partial(option, panel="Relay")


@dataclass(frozen=True, kw_only=True)
class RelayOptions:
    """Where to relay calls to."""

    upstream: Annotated[str | None, relay("Relay each call to the application at this URL", metavar="URL")] = None
    upstream_ca: Annotated[Path | None, relay("CA certificates (PEM) to trust for a wss:// application")] = None
    upstream_insecure: Annotated[bool, relay("Accept any certificate of the application")] = False


def read_upstream(options: RelayOptions) -> "RelayTarget | None":
    """
    Return the application to relay to, None without one; raises UsageError if jambonz couldn't call the URL, or the
    certificates can't be used.
    """
    if options.upstream is None:
        if options.upstream_ca is not None or options.upstream_insecure:
            raise UsageError("--upstream-ca and --upstream-insecure need --upstream")
        return None
    from listenctl.net.server_address import CallTarget, client_tls_context
    from listenctl.net.websocket_url import parse_websocket_url
    from listenctl.server.upstream import RelayTarget

    if not options.upstream:
        raise UsageError("--upstream is empty; give the URL of the application, such as ws://HOST:PORT/PATH")
    address = parse_websocket_url(options.upstream)
    if "#" in address.path:
        raise UsageError(
            f"{options.upstream}: --upstream can't have a fragment; remove # and what follows, or write %23"
        )
    # A redirect may lead to wss://, so a context is always needed.
    tls = client_tls_context(options.upstream_ca, insecure=options.upstream_insecure)
    return RelayTarget(CallTarget(address=address, tls=tls, relayed=True))
