"""``listenctl call``: place a simulated call to a listen server."""

import os

from listenctl.commands.call.call_options import CallOptions
from listenctl.commands.shared_options import run_async, with_options


def call(options: CallOptions) -> int:
    """
    Place a simulated call to a listen server.

    It behaves as jambonz does, and reports what jambonz would do with the answers of the server. On a terminal it shows
    both sides live, and the keyboard presses the keys of the phone; q hangs up.
    """
    from listenctl.commands.call.plan import plan_of
    from listenctl.commands.call.run import run_call
    from listenctl.commands.connection_options import presentation_of
    from listenctl.net.runtime_folder import calls_folder

    calls = calls_folder(os.environ, os.getuid())
    return run_async(run_call(plan_of(options), presentation_of(options), calls))


command = with_options(CallOptions, call)
