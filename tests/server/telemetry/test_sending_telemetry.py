"""A server that sends its telemetry, as users run it."""

import re
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.helpers.cli import listenctl_beside, refusal, service
from tests.helpers.otlp_collector import attributes, collecting
from tests.helpers.statsd_daemon import StatsdDaemon


async def test_a_call_is_a_span_in_the_trace_of_jambonz(tmp_path: Path) -> None:
    with collecting() as collector:
        options = ["--port", "0", "--json", "--record", "out/", "--otlp", collector.url]
        async with service("serve", *options, home=tmp_path) as server:
            started = await server.started()
            call = await listenctl_beside(
                "call", started["url"], "--duration", "0.5", "--pass-dtmf", "--dtmf", "0.2:7", "--quiet", home=tmp_path
            )
            call_started = await server.next("call-started")
            ended = await server.next("call-ended")
            status, said = await server.end()
    [span] = collector.spans
    shown = attributes(span.attributes)

    assert (call.returncode, status, said) == (0, 0, "")
    assert span.trace_id.hex() == call_started["metadata"]["traceId"]
    assert shown["callSid"] == call_started["call_sid"]
    assert shown["listenctl.received_samples"] == ended["received_samples"]
    assert [event.name for event in span.events] == ["dtmf", "recording-saved"]
    assert span.end_time_unix_nano - span.start_time_unix_nano == pytest.approx(ended["duration"] * 1e9, abs=2e6)


async def test_a_collector_that_is_gone_costs_no_call(tmp_path: Path) -> None:
    options = ["--port", "0", "--json", "--otlp", "http://127.0.0.1:1", "--once"]
    async with service("serve", *options, home=tmp_path, env={"OTEL_EXPORTER_OTLP_TIMEOUT": "0.5"}) as server:
        started = await server.started()
        call = await listenctl_beside("call", started["url"], "--duration", "0.2", "--quiet", home=tmp_path)
        warning = await server.next("warning")
        status, said = await server.status()

    assert (call.returncode, status, said) == (0, 0, "")
    assert warning["rule"] == "otlp-failed"
    assert warning["detail"].startswith("spans can't be sent to http://127.0.0.1:1/v1/traces: Connection refused")


async def test_workers_send_spans_and_their_parent_the_metrics_of_all(tmp_path: Path) -> None:
    with collecting() as collector, closing(StatsdDaemon()) as daemon:
        options = ["--port", "0", "--json", "--otlp", collector.url, "--statsd", f"127.0.0.1:{daemon.port}"]
        async with service("serve", "--workers", "2", *options, home=tmp_path) as server:
            started = await server.started()
            for _ in range(2):
                await listenctl_beside("call", started["url"], "--duration", "0.2", "--quiet", home=tmp_path)
                await server.next("call-ended")
            status, said = await server.end()
        lines = await daemon.lines()

    assert (status, said) == (0, "")
    assert len(collector.spans) == 2
    assert sum(int(added) for added in re.findall(r"^listenctl\.calls:(\d+)\|c", "\n".join(lines), re.MULTILINE)) == 2


@pytest.mark.parametrize("url", ["collector:4318", "grpc://host:4317", "http://", "http://host:x", "http://host:0"])
def test_what_is_no_url_of_a_collector_is_refused(url: str, tmp_path: Path) -> None:
    assert f"--otlp {url}: give http://HOST:PORT" in refusal("serve", "--otlp", url, home=tmp_path)


@pytest.mark.parametrize("url", ["http://me:s3cret@host:4318", "http://host:4318/?token=s3cret", "http://host#s3cret"])
def test_a_secret_has_no_place_in_the_url(url: str, tmp_path: Path) -> None:
    said = refusal("serve", "--otlp", url, home=tmp_path)

    assert "OTEL_EXPORTER_OTLP_HEADERS" in said
    assert "s3cret" not in said


def test_without_the_library_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("listenctl.server.telemetry.span_export")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)

    assert "--otlp needs the package opentelemetry-exporter-otlp-proto-http: pip install " in refusal(
        "serve", "--otlp", "http://host:4318", home=tmp_path
    )
