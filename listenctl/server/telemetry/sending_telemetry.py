"""Everything that a server sends about itself, while it runs."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from listenctl.errors import UsageError
from listenctl.events import WarningEvent
from listenctl.server.telemetry.call_spans import CallSpans
from listenctl.server.telemetry.statsd import sending_statsd

if TYPE_CHECKING:
    from listenctl.server.server import ListenServer
    from listenctl.server.telemetry.span_export import SpanExport


@dataclass(frozen=True, slots=True)
class TelemetrySettings:
    otlp: str | None = None  # URL to which a collector takes spans; None sends none
    statsd: tuple[str, int] | None = None  # host and port of the daemon; None sends no metrics


NO_TELEMETRY = TelemetrySettings()


@asynccontextmanager
async def sending_telemetry(server: "ListenServer", settings: TelemetrySettings) -> AsyncIterator[None]:
    """Send telemetry while the block runs, which must include the whole run of the server."""
    statsd = sending_statsd(server.metrics.collect, server.reporter, settings.statsd)
    async with _sending_spans(server, settings.otlp), statsd:
        yield


def check_otlp() -> None:
    """Check that spans can be sent; raises UsageError if a library is missing."""
    try:
        import listenctl.server.telemetry.span_export  # noqa: F401
    except ImportError as exc:
        package = "opentelemetry-exporter-otlp-proto-http"
        raise UsageError(f"--otlp needs the package {package}: pip install {package}") from exc


@asynccontextmanager
async def _sending_spans(server: "ListenServer", endpoint: str | None) -> AsyncIterator[None]:
    if endpoint is None:
        yield
        return

    def warn(problem: str) -> None:
        detail = f"spans can't be sent to {endpoint}: {problem}; what is lost is counted"
        server.reporter.emit(WarningEvent(rule="otlp-failed", detail=detail))

    export = _start_export(endpoint, warn)
    server.metrics.sources.append(export.describe)
    spans = CallSpans(server, export.send_span)
    try:
        yield
    finally:
        spans.finish_all()
        if left := await export.close():
            warn(f"the server ends before the last {left} are sent")


def _start_export(endpoint: str, report_failure: Callable[[str], None]) -> "SpanExport":
    from listenctl.server.telemetry.span_export import SpanExport

    try:
        return SpanExport(endpoint, report_failure)
    except (OSError, ValueError, RuntimeError) as exc:
        raise UsageError(f"--otlp: a variable OTEL_... can't be used: {exc}") from exc
