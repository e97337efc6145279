"""Everything that a server sends about itself, while it runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from listenctl.server.telemetry.statsd import sending_statsd

if TYPE_CHECKING:
    from listenctl.server.server import ListenServer


@dataclass(frozen=True, slots=True)
class TelemetrySettings:
    statsd: tuple[str, int] | None = None  # host and port of the daemon; None sends no metrics


NO_TELEMETRY = TelemetrySettings()


@asynccontextmanager
async def sending_telemetry(server: "ListenServer", settings: TelemetrySettings) -> AsyncIterator[None]:
    async with sending_statsd(server, settings.statsd):
        yield
