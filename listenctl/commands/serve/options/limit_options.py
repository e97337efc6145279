"""Options for the limits of a server."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from listenctl.commands.shared_options import check_finite, option, parse_seconds, parse_size
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
    max_calls_per_user: Annotated[
        int | None, limit("Maximum number of live calls with the credentials of one user [default: no limit]", min=1)
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
    first_frame_timeout: Annotated[
        float, limit("Seconds until a client that says nothing after its handshake is closed; 0 is no limit", min=0)
    ] = defaults.FIRST_FRAME_TIMEOUT
    max_frame_rate: Annotated[
        int, limit("Texts and other small frames a second that a call may send for long", metavar="NUMBER", min=100)
    ] = defaults.MAX_FRAME_RATE
    max_call_length: Annotated[
        str | None, limit("Close calls that last longer, such as 4h [default: no limit]", metavar="TIME")
    ] = None
    max_recording: Annotated[
        str | None, limit("Largest recording of a call; its rest is not recorded [default: no limit]", metavar="SIZE")
    ] = None
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

    check_finite(first_frame_timeout=options.first_frame_timeout)
    possible_calls = raise_descriptor_limit(options.max_calls, descriptors_per_call, processes)
    return ServerLimits(
        max_calls=options.max_calls or possible_calls,
        max_calls_per_address=options.max_calls_per_address,
        max_calls_per_user=options.max_calls_per_user,
        max_handshakes=options.max_handshakes or None,
        max_header=options.max_header,
        first_frame_timeout=options.first_frame_timeout or None,
        max_frame_rate=options.max_frame_rate,
        max_call_length=None if options.max_call_length is None else _length(options.max_call_length),
        max_recording=_size(options.max_recording, "--max-recording") or None,
        min_free=_size(options.min_free, "--min-free"),
        max_memory=_size(options.max_memory, "--max-memory"),
        max_message=options.max_message,
    )


def reread_limits(
    options: LimitOptions, values: Mapping[str, Any], descriptors_per_call: int, processes: int
) -> "ServerLimits":
    """Return the limits that ``values``, those of all parameters, give to a server that has begun with ``options``."""
    own = {field.name: values[field.name] for field in fields(LimitOptions)}
    return read_limits(replace(options, **own), descriptors_per_call, processes)


def _size(text: str | None, name: str) -> int | None:
    return None if text is None else parse_size(text, name)


def _length(text: str) -> float | None:
    return None if text == "0" else parse_seconds(text, "--max-call-length", "a time such as 90min or 4h")
