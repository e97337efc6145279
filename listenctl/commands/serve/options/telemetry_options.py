"""The options of what a server sends about itself, as settings."""

from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from listenctl.commands.serve.options.server_options import ServerOptions
from listenctl.errors import UsageError
from listenctl.protocol.privacy.hide_secrets import shown_url

if TYPE_CHECKING:
    from listenctl.server.telemetry.sending_telemetry import TelemetrySettings

TRACES_PATH = "/v1/traces"
"""The path of OTLP/HTTP, which is added to the URL of a collector as to OTEL_EXPORTER_OTLP_ENDPOINT."""


def telemetry_settings(options: ServerOptions) -> "TelemetrySettings":
    """Return where to send telemetry; raises UsageError if an option is no address, or a library is missing."""
    from listenctl.net.listening_sockets import parse_host_and_port
    from listenctl.server.telemetry.sending_telemetry import TelemetrySettings, check_otlp

    statsd = None if options.statsd is None else parse_host_and_port(options.statsd, "--statsd")
    if statsd is not None and not statsd[1]:
        raise UsageError(f"--statsd {options.statsd}: give the port of the daemon, which is usually 8125")
    otlp = None if options.otlp is None else traces_url(options.otlp)
    if otlp is not None:
        check_otlp()
    return TelemetrySettings(otlp=otlp, statsd=statsd)


def traces_url(text: str) -> str:
    """Return the URL to which a collector at --otlp takes traces; raises UsageError if it can't be one."""
    try:
        parts = urlsplit(text)
        has_place = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        parts, has_place = SplitResult("", "", "", "", ""), False
    if parts.username is not None or parts.query or parts.fragment:
        raise UsageError(
            "--otlp: give scheme, host, port and path only; a token goes into the variable OTEL_EXPORTER_OTLP_HEADERS"
        )
    if not has_place:
        raise UsageError(f"--otlp {shown_url(text)}: give http://HOST:PORT or https://HOST:PORT")
    return text if parts.path.endswith(TRACES_PATH) else text.rstrip("/") + TRACES_PATH
