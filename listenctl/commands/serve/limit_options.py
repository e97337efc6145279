"""Options for the limits of a server."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from listenctl.commands.shared_options import option, parse_size
from listenctl.server import server_defaults as defaults

if TYPE_CHECKING:
    from listenctl.server.limits.server_limits import ServerLimits

limit = partial(option, panel="Limits")


@dataclass(frozen=True, kw_only=True)
class LimitOptions:
    """What a server takes at most."""

    max_calls: Annotated[
        int | None, limit("Maximum number of live calls [default: what the open-files limit allows]", min=1)
    ] = None
    max_calls_per_address: Annotated[
        int | None, limit("Maximum number of live calls from one address [default: no limit]", min=1)
    ] = None
    max_handshakes: Annotated[
        int, limit("Handshakes a second from one address; 0 is no limit", metavar="NUMBER", min=0)
    ] = defaults.MAX_HANDSHAKES
    max_header: Annotated[int, limit("Largest handshake request to accept", metavar="BYTES", min=1024)] = (
        defaults.MAX_HEADER
    )
    max_message: Annotated[int, limit("Largest WebSocket message to accept", metavar="BYTES", min=1024)] = (
        defaults.MAX_MESSAGE
    )
    min_free: Annotated[
        str | None,
        limit(
            "Accept no new calls while the disk has less for recordings, and record none below a quarter of it; "
            "0 is no limit [default: 1GB, less on a small disk]",
            metavar="SIZE",
        ),
    ] = None
    max_memory: Annotated[
        str | None,
        limit(
            "Accept no new calls while the server has more memory; 0 is no limit [default: 3/4 of what there is]",
            metavar="SIZE",
        ),
    ] = None


def read_limits(options: LimitOptions, descriptors_per_call: int, processes: int) -> "ServerLimits":
    """Return the limits of a server of so many processes; raises UsageError if the system doesn't allow one."""
    from listenctl.net.listening_sockets import raise_descriptor_limit
    from listenctl.server.limits.server_limits import ServerLimits

    possible_calls = raise_descriptor_limit(options.max_calls, descriptors_per_call, processes)
    return ServerLimits(
        max_calls=options.max_calls or possible_calls,
        max_calls_per_address=options.max_calls_per_address,
        max_handshakes=options.max_handshakes or None,
        max_header=options.max_header,
        min_free=None if options.min_free is None else parse_size(options.min_free, "--min-free"),
        max_memory=None if options.max_memory is None else parse_size(options.max_memory, "--max-memory"),
        max_message=options.max_message,
    )


def reread_limits(
    options: LimitOptions, values: Mapping[str, Any], descriptors_per_call: int, processes: int
) -> "ServerLimits":
    """Return the limits that ``values``, those of all parameters, give to a server that has begun with ``options``."""
    own = {field.name: values[field.name] for field in fields(LimitOptions)}
    return read_limits(replace(options, **own), descriptors_per_call, processes)
