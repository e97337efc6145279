"""The options of what a server sends about itself, as settings."""

from typing import TYPE_CHECKING

from listenctl.commands.serve.server_options import ServerOptions
from listenctl.errors import UsageError

if TYPE_CHECKING:
    from listenctl.server.telemetry.sending_telemetry import TelemetrySettings


def telemetry_settings(options: ServerOptions) -> "TelemetrySettings":
    """Return where to send telemetry; raises UsageError if an option is no address."""
    from listenctl.net.listening_sockets import parse_host_and_port
    from listenctl.server.telemetry.sending_telemetry import TelemetrySettings

    statsd = None if options.statsd is None else parse_host_and_port(options.statsd, "--statsd")
    if statsd is not None and not statsd[1]:
        raise UsageError(f"--statsd {options.statsd}: give the port of the daemon, which is usually 8125")
    return TelemetrySettings(statsd=statsd)
