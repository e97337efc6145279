"""
Spans on their way to an OpenTelemetry collector, over OTLP/HTTP: a thread sends them in batches.

A span of ours has no parent in jambonz's trace, because jambonz doesn't say which of its spans that would be; Jaeger
marks every span whose parent it doesn't know ("invalid parent span IDs", github.com/jaegertracing/jaeger/issues/2719).
So jambonz's trace id is given to a root span, as if it were generated.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import requests
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import SpanKind, Status, StatusCode

from listenctl import __version__
from listenctl.background_task import in_daemon_thread
from listenctl.background_writer import LoopMailbox
from listenctl.server.operations.metric_families import LabelledTotal, MetricFamily
from listenctl.server.telemetry.call_spans import MAX_EVENTS, CallSpan

SPAN_NAME = "listen"
MAX_WAITING = 2000
"""Spans that wait for the collector; more are dropped."""
BATCH = 100
BATCH_INTERVAL = 1.0
LAST_TIMEOUT = 5.0
"""Seconds for the last spans of a server that ends."""


class SpanExport:
    def __init__(self, endpoint: str, report_failure: Callable[[str], None]) -> None:
        # Its loggers would print to the terminal what the server reports itself.
        logging.getLogger("opentelemetry").propagate = False
        logging.getLogger("opentelemetry").addHandler(logging.NullHandler())
        self._ids = _TraceIds()
        self._exporter = _CountingExporter(endpoint, report_failure)
        self._ended = self._dropped = 0
        self._provider = TracerProvider(
            resource=_resource(),
            id_generator=self._ids,
            span_limits=SpanLimits(max_events=MAX_EVENTS),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(
                self._exporter,
                max_queue_size=MAX_WAITING,
                max_export_batch_size=BATCH,
                schedule_delay_millis=BATCH_INTERVAL * 1000,
            )
        )
        self._tracer = self._provider.get_tracer("listenctl", __version__)

    @property
    def waiting(self) -> int:
        """Spans that are neither sent nor lost yet."""
        return self._ended - self._exporter.sent - self._exporter.failed

    def send_span(self, described: CallSpan) -> None:
        if self.waiting >= MAX_WAITING:
            self._dropped += 1
            return
        self._ids.next_trace_id = described.trace_id
        span = self._tracer.start_span(
            SPAN_NAME,
            Context(),
            SpanKind.SERVER,
            attributes=described.attributes,
            start_time=_nanoseconds(described.start),
        )
        for event in described.events:
            span.add_event(event.name, event.attributes, _nanoseconds(event.at))
        if described.failure:
            span.set_status(Status(StatusCode.ERROR, described.failure))
        # A sampler, chosen by variables, can leave spans out.
        self._ended += span.get_span_context().trace_flags.sampled
        span.end(_nanoseconds(described.end))

    def describe(self) -> Iterable[MetricFamily]:
        results = {"sent": self._exporter.sent, "failed": self._exporter.failed, "dropped": self._dropped}
        yield LabelledTotal("spans", "Spans of ended calls, by result", "result", results)

    async def close(self) -> int:
        """Send what waits, for a few seconds; return how many spans are left."""
        flushed = in_daemon_thread(self._provider.shutdown, "last-spans")
        await asyncio.wait({flushed}, timeout=LAST_TIMEOUT)
        return self.waiting


class _TraceIds(RandomIdGenerator):
    """Give a root span the trace id that is set, a random one if that is 0."""

    def __init__(self) -> None:
        self.next_trace_id = 0

    def generate_trace_id(self) -> int:
        return self.next_trace_id or super().generate_trace_id()


class _CountingExporter(SpanExporter):
    """Count what is sent and lost, and report the first loss, until sending works again; runs in the thread."""

    def __init__(self, endpoint: str, report_failure: Callable[[str], None]) -> None:
        self.sent = self.failed = 0
        self._session = _Session()
        self._exporter = OTLPSpanExporter(endpoint=endpoint, session=self._session)
        self._mailbox = LoopMailbox(asyncio.get_running_loop())
        self._report_failure = report_failure
        self._failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self._session.problem = ""
        problem = "the spans can't be encoded"
        try:
            result = self._exporter.export(spans)
        except Exception as exc:  # noqa: BLE001 - what is lost must be counted, whatever the reason
            result, problem = SpanExportResult.FAILURE, f"{type(exc).__name__}: {exc}"
        if result is SpanExportResult.SUCCESS:
            self.sent += len(spans)
            self._failing = False
            return result
        self.failed += len(spans)
        if not self._failing:
            self._failing = True
            self._mailbox.add_job(partial(self._report_failure, self._session.problem or problem))
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()  # type: ignore[no-untyped-call] # it has no annotations


class _Session(requests.Session):
    """Remember why the last request failed, which the exporter only logs."""

    def __init__(self) -> None:
        super().__init__()
        self.problem = ""

    def send(self, request: requests.PreparedRequest, **options: object) -> requests.Response:
        try:
            # A redirect could take a token elsewhere, and newer exporters take it for success.
            response = super().send(request, **options | {"allow_redirects": False})
        except requests.RequestException as exc:
            self.problem = _describe_cause(exc)
            raise
        self.problem = f"the collector answers {response.status_code} {response.reason}"
        if response.is_redirect:
            raise requests.TooManyRedirects(self.problem)
        return response


def _describe_cause(exc: BaseException) -> str:
    """Return what the operating system said, below the layers of the libraries."""
    cause = exc
    while cause.__context__ is not None:
        cause = cause.__context__
    return str(getattr(cause, "strerror", None) or cause)


def _resource() -> Resource:
    """Return what describes this server; the variables OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES go first."""
    own = Resource({"service.version": __version__, "host.name": socket.gethostname()})
    resource = own.merge(Resource.create())
    if str(resource.attributes["service.name"]).startswith("unknown_service"):
        return resource.merge(Resource({"service.name": "listenctl"}))
    return resource


def _nanoseconds(seconds: float) -> int:
    """Return a Unix time as OpenTelemetry has it; a float of today knows it to the microsecond."""
    return round(seconds * 1e6) * 1000
