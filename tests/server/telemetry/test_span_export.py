"""Spans on their way to a collector over OTLP/HTTP, and what a collector that fails costs."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from listenctl import __version__
from listenctl.server.operations.metric_families import LabelledTotal
from listenctl.server.telemetry import span_export
from listenctl.server.telemetry.call_spans import CallSpan, SpanEvent
from listenctl.server.telemetry.span_export import LAST_TIMEOUT, SpanExport
from tests.helpers.otlp_collector import Collector, attributes, collecting
from tests.helpers.server import until
from tests.helpers.simulated_time import simulated_loop

TRACE_ID = 0x0AF7651916CD43DD8448EB211C80319C
GAP = SpanEvent("gap", 1_795_000_002.25, {"kind": "hole", "length": 0.5, "missing": 4000})
SPAN = CallSpan(
    trace_id=TRACE_ID,
    start=1_795_000_000.5,
    end=1_795_000_010.75,
    attributes={"callSid": "CS-A", "listenctl.channels": 1, "listenctl.completeness": 0.5},
    events=[GAP],
    failure="",
)


class Exporting:
    def __init__(self, url: str) -> None:
        self.problems: list[str] = []
        self.export = SpanExport(f"{url}/v1/traces", self.problems.append)

    def counts(self) -> dict[str, float]:
        [total] = self.export.describe()
        assert isinstance(total, LabelledTotal)
        return dict(total.values)

    async def send(self, *spans: CallSpan) -> None:
        """Send spans, and wait for their results."""
        for span in spans:
            self.export.send_span(span)
        await until(lambda: not self.export.waiting)
        await asyncio.sleep(0)


@asynccontextmanager
async def exporting(url: str) -> AsyncIterator[Exporting]:
    started = Exporting(url)
    try:
        yield started
    finally:
        await started.export.close()


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send batches at once, and try once."""
    monkeypatch.setattr(span_export, "BATCH_INTERVAL", 0.01)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.5")


def one(collector: Collector) -> Span:
    [span] = collector.spans
    return span


async def test_a_span_is_a_root_in_the_trace_of_jambonz() -> None:
    with collecting() as collector:
        async with exporting(collector.url) as started:
            await started.send(SPAN)
    span = one(collector)

    assert collector.paths == ["/v1/traces"]
    assert span.trace_id.hex() == f"{TRACE_ID:032x}"
    assert span.parent_span_id == b""
    assert (span.name, span.kind) == ("listen", Span.SPAN_KIND_SERVER)
    assert span.start_time_unix_nano == 1_795_000_000_500_000_000
    assert span.end_time_unix_nano == 1_795_000_010_750_000_000
    assert span.events[0].time_unix_nano == 1_795_000_002_250_000_000
    assert attributes(span.attributes) == SPAN.attributes
    assert [(event.name, attributes(event.attributes)) for event in span.events] == [("gap", GAP.attributes)]
    assert span.status.code == Status.STATUS_CODE_UNSET
    assert started.counts() == {"sent": 1, "failed": 0, "dropped": 0}


async def test_calls_without_a_trace_id_have_traces_of_their_own() -> None:
    alone = CallSpan(0, 1.0, 2.0, {}, [], "the connection broke")
    with collecting() as collector:
        async with exporting(collector.url) as started:
            await started.send(alone, SPAN, alone)
        spans = collector.spans
    status = spans[0].status

    assert len({span.trace_id for span in spans}) == 3
    assert bytes(16) not in {span.trace_id for span in spans}
    assert (status.code, status.message) == (Status.STATUS_CODE_ERROR, "the connection broke")


async def test_the_variables_of_opentelemetry_apply(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20token,x-tenant=a")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test,host.name=own")
    with collecting() as collector:
        async with exporting(collector.url) as started:
            await started.send(SPAN)
        default_name = collector.resource["service.name"]
        monkeypatch.setenv("OTEL_SERVICE_NAME", "recorder")
        async with exporting(collector.url) as started:
            await started.send(SPAN)
    headers = collector.headers[0]

    assert (headers["authorization"], headers["x-tenant"]) == ("Bearer token", "a")
    assert (default_name, collector.resource["service.name"]) == ("listenctl", "recorder")
    assert collector.resource["service.version"] == __version__
    assert (collector.resource["deployment.environment"], collector.resource["host.name"]) == ("test", "own")


async def test_a_sampler_that_leaves_spans_out_leaves_none_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    with collecting() as collector:
        async with exporting(collector.url) as started:
            await started.send(SPAN)

    assert collector.spans == []
    assert started.counts() == {"sent": 0, "failed": 0, "dropped": 0}


async def test_a_collector_that_is_gone_is_reported_once_until_it_is_back() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    async with exporting(url) as started:
        await started.send(SPAN)
        await started.send(SPAN)
        await until(lambda: bool(started.problems))

    assert started.counts() == {"sent": 0, "failed": 2, "dropped": 0}
    assert started.problems == ["Connection refused"]


@pytest.mark.parametrize(
    ("status", "problem"),
    [(401, "the collector answers 401 Unauthorized"), (301, "the collector answers 301 Moved Permanently")],
)
async def test_what_a_collector_refuses_is_lost_and_reported(status: int, problem: str) -> None:
    with collecting() as collector:
        async with exporting(collector.url) as started:
            collector.status = status
            await started.send(SPAN)
            await until(lambda: bool(started.problems))
            collector.status = 200
            await started.send(SPAN)
            collector.status = status
            await started.send(SPAN)
            await until(lambda: len(started.problems) == 2)

    assert started.problems == [problem, problem]
    assert started.counts() == {"sent": 1, "failed": 2, "dropped": 0}


async def test_spans_that_a_slow_collector_does_not_take_are_dropped_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(span_export, "MAX_WAITING", 5)
    monkeypatch.setattr(span_export, "BATCH", 5)
    with collecting() as collector:
        async with exporting(collector.url) as started:
            collector.hangs.clear()
            for _ in range(12):
                started.export.send_span(SPAN)
            counts = started.counts()
            collector.hangs.set()
            await until(lambda: not started.export.waiting)

    assert counts["dropped"] == 7
    assert started.counts()["sent"] + started.counts()["failed"] == 5


@pytest.mark.simulated_time
async def test_a_collector_that_hangs_delays_the_end_by_seconds_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "60")
    with collecting() as collector:
        collector.hangs.clear()
        started = Exporting(collector.url)
        started.export.send_span(SPAN)
        began = simulated_loop().time()
        left = await started.export.close()
        passed = simulated_loop().time() - began

    assert left == 1
    assert passed == pytest.approx(LAST_TIMEOUT, abs=0.1)


async def test_what_waits_is_sent_when_the_server_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(span_export, "BATCH_INTERVAL", 3600.0)
    with collecting() as collector:
        started = Exporting(collector.url)
        started.export.send_span(SPAN)

        assert await started.export.close() == 0
    assert one(collector).name == "listen"
