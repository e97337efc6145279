"""An OpenTelemetry collector under test: it takes traces over OTLP/HTTP."""

import gzip
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.helpers.server import until


def attributes(values: Any) -> dict[str, str | int | float | bool]:
    """Return the attributes of a span, an event or a resource."""
    return {value.key: _plain(value) for value in values}


def _plain(value: KeyValue) -> Any:
    return getattr(value.value, str(value.value.WhichOneof("value")))


class Collector:
    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.status = 200
        self.headers: list[Mapping[str, str]] = []
        self.paths: list[str] = []
        self.spans: list[Span] = []
        self.resource: dict[str, str | int | float | bool] = {}
        self.hangs = threading.Event()
        """Answers wait while this is not set."""
        self.hangs.set()

    async def wait_for_spans(self, number: int) -> list[Span]:
        await until(lambda: len(self.spans) >= number)
        return self.spans

    def take_request(self, path: str, headers: Mapping[str, str], body: bytes) -> int:
        self.paths.append(path)
        self.headers.append(headers)
        self.hangs.wait()
        if self.status == 200:
            data = gzip.decompress(body) if headers.get("Content-Encoding") == "gzip" else body
            for of_resource in ExportTraceServiceRequest.FromString(data).resource_spans:
                self.resource = attributes(of_resource.resource.attributes)
                self.spans += [span for scope in of_resource.scope_spans for span in scope.spans]
        return self.status


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(collector.take_request(self.path, dict(self.headers.items()), body))
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector = Collector(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield collector
    finally:
        collector.hangs.set()
        server.shutdown()
        server.server_close()
        thread.join()
