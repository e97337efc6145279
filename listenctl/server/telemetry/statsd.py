"""
The metrics of a server, sent to a StatsD daemon over UDP.

Tags have the form of DogStatsD, which jambonz's own servers send, and Telegraf reads with ``datadog_extensions``. It
stores counters as whole numbers (github.com/influxdata/telegraf/pull/561), so seconds are sent as milliseconds.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, suppress

from listenctl.background_task import background_task, in_daemon_thread, log_failure
from listenctl.events import Reporter, WarningEvent
from listenctl.server.operations.metric_families import (
    DurationCounts,
    Durations,
    Gauge,
    Info,
    LabelledTotal,
    MetricFamily,
    Total,
)

INTERVAL = 10.0
LAST_TIMEOUT = 2.0
"""Seconds for the last metrics of a server that ends."""
MAX_DATAGRAM = 1432
"""Bytes that fit into one packet of Ethernet, also through a tunnel."""


@asynccontextmanager
async def sending_statsd(
    collect: Callable[[], Awaitable[Iterable[MetricFamily]]], reporter: Reporter, address: tuple[str, int] | None
) -> AsyncIterator[None]:
    """Send the metrics that ``collect`` returns to a daemon, unless that is None; the last ones when the block ends."""
    if address is None:
        yield
        return
    sender = StatsdSender(collect, reporter, *address)
    try:
        async with background_task(sender.run()):
            yield
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_TIMEOUT):
                await sender.try_to_send()
    finally:
        sender.close()


class StatsdSender:
    """What can't be sent is lost, as StatsD is meant; the first failure is reported, until sending works again."""

    def __init__(
        self, collect: Callable[[], Awaitable[Iterable[MetricFamily]]], reporter: Reporter, host: str, port: int
    ) -> None:
        self._collect = collect
        self._reporter = reporter
        self._host, self._port = host, port
        self._lines = StatsdLines(socket.gethostname())
        self._socket: socket.socket | None = None
        self._has_sent = False  # whether the socket has carried metrics before
        self._failing = False

    async def run(self) -> None:
        while True:
            await self.try_to_send()
            await asyncio.sleep(INTERVAL)

    async def try_to_send(self) -> None:
        """Send metrics; no call ends because that fails unexpectedly."""
        await log_failure(self.send_metrics, "StatsD")

    async def send_metrics(self) -> None:
        metrics = await self._collect()
        try:
            connected = self._socket or await self._connect()
            for datagram in pack_lines(self._lines.describe(metrics)):
                with suppress(BlockingIOError):
                    connected.send(datagram)
        except OSError as exc:
            # The name may mean another address by now.
            self.close()
            self._report_failure(exc.strerror or str(exc))
        else:
            # A port where nobody listens refuses a datagram by failing the next one.
            self._failing = self._failing and not self._has_sent
            self._has_sent = True

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._has_sent = False

    async def _connect(self) -> socket.socket:
        found = await in_daemon_thread(self._resolve, "statsd-resolver")
        family, _, _, _, address = found[0]
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.connect(address)
        return self._socket

    def _resolve(self) -> list[tuple[socket.AddressFamily, object, object, object, tuple[object, ...]]]:
        try:
            return [*socket.getaddrinfo(self._host, self._port, type=socket.SOCK_DGRAM)]
        except UnicodeError as exc:
            raise OSError("no valid host name") from exc

    def _report_failure(self, reason: str) -> None:
        if not self._failing:
            self._failing = True
            detail = f"metrics can't be sent to {self._host}:{self._port}: {reason}; this is tried again"
            self._reporter.emit(WarningEvent(rule="statsd-failed", detail=detail))


class StatsdLines:
    """Describe metrics to StatsD: totals as what was added since the last time."""

    def __init__(self, hostname: str) -> None:
        self._hostname_tag = f"hostname:{hostname}"  # jambonz's name for it
        self._sent: dict[tuple[str, str], int] = {}

    def describe(self, metrics: Iterable[MetricFamily]) -> Iterator[str]:
        for metric in metrics:
            match metric:
                case Gauge(name=name, value=value):
                    yield self._line(name, _decimal(value), "g")
                case Total(name=name, value=value):
                    yield from self._describe_total(name, value)
                case LabelledTotal(name=name, label=label, values=values):
                    for labelled, value in values.items():
                        yield from self._describe_total(name, value, f"{label}:{labelled}")
                case Durations(name=name, counts=counts):
                    yield from self._describe_durations(name, counts)
                case Info(name=name, label=label, value=text):
                    yield self._line(name, "1", "g", f"{label}:{text}")

    def _describe_total(self, name: str, value: float, tag: str = "") -> Iterator[str]:
        in_ms = name.removesuffix("_seconds") + "_ms"
        shown, total = (in_ms, round(value * 1000)) if name.endswith("_seconds") else (name, int(value))
        added = self._added(name, tag, total)
        if added > 0:
            yield self._line(shown, str(added), "c", tag)

    def _describe_durations(self, name: str, counts: DurationCounts) -> Iterator[str]:
        recent = counts.take_recent()
        added = self._added(name, "", counts.count)
        kind = "ms" if len(recent) >= added else f"ms|@{len(recent) / added:.6f}"
        for seconds in recent:
            yield self._line(name.removesuffix("_seconds") + "_ms", f"{seconds * 1000:.3f}", kind)

    def _added(self, name: str, tag: str, total: int) -> int:
        before = self._sent.get((name, tag), 0)
        self._sent[name, tag] = total
        return total - before

    def _line(self, name: str, value: str, kind: str, tag: str = "") -> str:
        tags = f"{self._hostname_tag},{tag}" if tag else self._hostname_tag
        return f"listenctl.{name}:{value}|{kind}|#{tags}"


def pack_lines(lines: Iterable[str]) -> Iterator[bytes]:
    """Join lines to datagrams, each as long as a packet allows."""
    datagram = b""
    for line in lines:
        data = line.encode()
        if datagram and len(datagram) + 1 + len(data) > MAX_DATAGRAM:
            yield datagram
            datagram = data
        else:
            datagram = datagram + b"\n" + data if datagram else data
    if datagram:
        yield datagram


def _decimal(value: float) -> str:
    """Return a number without an exponent, which not every daemon reads."""
    return f"{value:.6f}".rstrip("0").rstrip(".")
