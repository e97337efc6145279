"""``listenctl calls``: list the live calls of a running server."""

import sys
from dataclasses import dataclass
from typing import Annotated

from listenctl.commands.live_calls.live_call_options import ServerNameOptions, socket_of
from listenctl.commands.shared_options import output, run_async, waiting, with_options
from listenctl.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class CallsOptions(ServerNameOptions):
    """All options of ``calls``."""

    timeout: Annotated[float, waiting("Seconds to wait for the server", min=0.001, max=3600)] = 10.0
    watch: Annotated[bool, output("Update the table every second", "--watch", "-w")] = False
    json: Annotated[bool, output("Print one JSON object")] = False


def calls(options: CallsOptions) -> int:
    """List the live calls of a running server."""
    from listenctl.commands.live_calls.calls_view import print_calls, watch_calls
    from listenctl.live_client.list_calls import list_calls

    socket = socket_of(options)
    if options.watch and options.json:
        raise UsageError("--watch draws a table; for a stream of JSON use `listenctl events --json`")
    if options.watch and not sys.stdout.isatty():
        raise UsageError("--watch needs a terminal")
    if options.watch:
        return run_async(watch_calls(lambda: list_calls(socket, patience=options.timeout), sys.stdout))
    print_calls(list_calls(socket, patience=options.timeout), sys.stdout, as_json=options.json)
    return 0


command = with_options(CallsOptions, calls)
