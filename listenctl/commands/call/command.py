"""``listenctl call``: place a simulated call to a listen server."""

import os

from listenctl.commands.call.call_options import CallOptions
from listenctl.commands.shared_options import run_async, with_options


def call(options: CallOptions) -> int:
    """
    Place a simulated call to a listen server.

    Behaves like jambonz and reports what jambonz would do with the server's answers. On a terminal it shows both sides
    live, and the keyboard sends DTMF; q hangs up.
    """
    from listenctl.commands.call.plan import make_call_plan
    from listenctl.commands.call.run import run_call
    from listenctl.net.runtime_folder import calls_folder

    calls = calls_folder(os.environ, os.getuid())
    return run_async(run_call(make_call_plan(options), options, calls))


command = with_options(CallOptions, call)
