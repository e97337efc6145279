"""Metrics for a StatsD daemon: what it receives, and what happens without one."""

import asyncio
import re
import socket
import threading
from contextlib import closing
from pathlib import Path

import pytest

from listenctl.events import MarkEvent, Reporter
from listenctl.server.operations.metric_families import (
    MAX_RECENT,
    DurationCounts,
    Durations,
    Gauge,
    Info,
    LabelledTotal,
    MetricFamily,
    Total,
)
from listenctl.server.telemetry.statsd import (
    INTERVAL,
    MAX_DATAGRAM,
    StatsdLines,
    StatsdSender,
    pack_lines,
    sending_statsd,
)
from tests.helpers.cli import refusal, service
from tests.helpers.frames import binary, close, text
from tests.helpers.server import running
from tests.helpers.simulated_time import simulated_loop
from tests.helpers.statsd_daemon import StatsdDaemon

METADATA = text('{"sampleRate":8000,"callSid":"secret-sid","from":"+15550001"}')
LINE = re.compile(r"listenctl\.(\w+):([\d.]+)\|(c|g|ms)(?:\|@([\d.]+))?\|#([\w:.,-]+)")


def described(lines: StatsdLines, *metrics: MetricFamily) -> list[str]:
    return [line.removesuffix("|#hostname:h") for line in lines.describe(metrics)]


def test_a_gauge_is_sent_as_it_is() -> None:
    lines = StatsdLines("h")

    assert described(lines, Gauge("calls_live", "", 3), Gauge("share", "", 0.25)) == [
        "listenctl.calls_live:3|g",
        "listenctl.share:0.25|g",
    ]
    assert described(lines, Gauge("disk_free_bytes", "", 1e18), Gauge("small", "", 1e-9)) == [
        "listenctl.disk_free_bytes:1000000000000000000|g",
        "listenctl.small:0|g",
    ]
    assert described(lines, Info("build", "", "version", "1.0")) == ["listenctl.build:1|g|#hostname:h,version:1.0"]


def test_a_total_is_sent_as_what_was_added() -> None:
    lines = StatsdLines("h")

    assert described(lines, Total("calls", "", 5)) == ["listenctl.calls:5|c"]
    assert described(lines, Total("calls", "", 7)) == ["listenctl.calls:2|c"]
    assert described(lines, Total("calls", "", 7)) == []


def test_a_total_with_a_label_is_sent_with_a_tag_for_each_value() -> None:
    lines = StatsdLines("h")
    gaps = {"hole": 2.0}

    assert described(lines, LabelledTotal("gaps", "", "kind", gaps)) == ["listenctl.gaps:2|c|#hostname:h,kind:hole"]
    gaps.update(hole=3.0, pause=1.0)
    assert described(lines, LabelledTotal("gaps", "", "kind", gaps)) == [
        "listenctl.gaps:1|c|#hostname:h,kind:hole",
        "listenctl.gaps:1|c|#hostname:h,kind:pause",
    ]


def test_seconds_are_sent_as_whole_milliseconds_without_losing_a_part() -> None:
    lines = StatsdLines("h")
    sent = [described(lines, Total("lost_seconds", "", total * 0.0004)) for total in range(1, 6)]

    assert sent == [[], ["listenctl.lost_ms:1|c"], [], ["listenctl.lost_ms:1|c"], []]


def test_durations_are_sent_one_by_one() -> None:
    counts = DurationCounts((1.0,))
    lines = StatsdLines("h")
    trips = Durations("trip_seconds", "", counts)
    described(lines, trips)
    counts.add(0.25)
    counts.add(2.0)

    assert described(lines, trips) == ["listenctl.trip_ms:250.000|ms", "listenctl.trip_ms:2000.000|ms"]
    assert described(lines, trips) == []


def test_of_very_many_durations_a_part_is_sent_that_says_what_part_it_is() -> None:
    counts = DurationCounts((1.0,))
    lines = StatsdLines("h")
    described(lines, Durations("trip_seconds", "", counts))
    for _ in range(MAX_RECENT * 4):
        counts.add(0.25)

    sent = described(lines, Durations("trip_seconds", "", counts))

    assert len(sent) == MAX_RECENT
    assert set(sent) == {"listenctl.trip_ms:250.000|ms|@0.250000"}


def test_lines_are_packed_into_datagrams_that_fit_into_a_packet() -> None:
    lines = [f"listenctl.metric{number}:1|c" for number in range(200)]
    datagrams = list(pack_lines(lines))

    assert all(len(datagram) <= MAX_DATAGRAM for datagram in datagrams)
    assert b"\n".join(datagrams).decode().split("\n") == lines
    assert len(datagrams) < 6
    assert list(pack_lines([])) == []


async def test_a_daemon_receives_the_metrics_of_a_server(tmp_path: Path) -> None:
    with closing(StatsdDaemon()) as daemon:
        async with running(record=tmp_path) as run:
            sender = StatsdSender(run.server.metrics.collect, run.server.reporter, "localhost", daemon.port)
            await sender.send_metrics()
            first = await daemon.lines()
            peer = await run.call(METADATA, binary(bytes(16_000)))
            await run.events.wait_for("call-started")
            run.server.reporter.emit(MarkEvent(name="secret", result="played", round_trip=0.2))
            await peer.send(close())
            await run.events.wait_for("recording-saved")
            await sender.send_metrics()
            second = await daemon.lines()
            sender.close()
    tag = f"hostname:{socket.gethostname()}"

    assert [line for line in first + second if not LINE.fullmatch(line)] == []
    assert f"listenctl.calls_live:0|g|#{tag}" in first
    assert f"listenctl.calls:1|c|#{tag}" in second
    assert f"listenctl.audio_received_ms:1000|c|#{tag}" in second
    assert f"listenctl.recordings_saved:1|c|#{tag},complete:true" in second
    assert f"listenctl.mark_round_trip_ms:200.000|ms|#{tag}" in second
    assert any(line.startswith("listenctl.tick_lateness_ms:") for line in second)
    assert not re.search(r"secret|\+1555|127\.0\.0\.1", "\n".join(first + second))


@pytest.mark.simulated_time
async def test_metrics_are_sent_at_once_then_at_intervals_and_at_the_end() -> None:
    loop = simulated_loop()
    loop.wait_while(lambda: any(thread.name == "statsd-resolver" for thread in threading.enumerate()))
    with closing(StatsdDaemon()) as daemon:
        async with running() as run:
            async with sending_statsd(run.server.metrics.collect, run.server.reporter, ("127.0.0.1", daemon.port)):
                await daemon.lines()
                began = loop.time()
                await daemon.lines()
                passed = loop.time() - began
                run.server.calls_total += 1
            last = await daemon.lines()

    assert passed == pytest.approx(INTERVAL, abs=0.1)
    assert any(line.startswith("listenctl.calls:1|c") for line in last)


@pytest.mark.simulated_time
async def test_a_fault_of_ours_ends_no_call(caplog: pytest.LogCaptureFixture) -> None:
    collected: list[float] = []

    async def fail() -> list[MetricFamily]:
        collected.append(asyncio.get_running_loop().time())
        raise RuntimeError("can't start new thread")

    async with sending_statsd(fail, Reporter(), ("127.0.0.1", 8125)):
        await asyncio.sleep(1.5 * INTERVAL)

    assert len(collected) == 3
    assert caplog.messages == ["StatsD failed unexpectedly"] * 3


async def test_a_daemon_that_is_gone_is_reported_once_until_it_is_back() -> None:
    with closing(StatsdDaemon()) as daemon:
        port = daemon.port
    async with running() as run:
        sender = StatsdSender(run.server.metrics.collect, run.server.reporter, "127.0.0.1", port)
        for _ in range(6):
            await sender.send_metrics()
        gone = run.events.of("warning")
        with closing(StatsdDaemon(port)) as daemon:
            for _ in range(3):
                await sender.send_metrics()
            lines = await daemon.lines()
        for _ in range(3):
            await sender.send_metrics()
        sender.close()
        again = run.events.of("warning")

    assert [warning["rule"] for warning in gone] == ["statsd-failed"]
    assert gone[0]["detail"].startswith(f"metrics can't be sent to 127.0.0.1:{port}: Connection refused")
    assert lines
    assert len(again) == 2


@pytest.mark.parametrize("failure", [socket.gaierror(-2, "Name or service not known"), UnicodeError("too long")])
async def test_a_name_that_is_unknown_is_reported_once_and_looked_up_again(
    failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def fail(host: str, *_: object, **__: object) -> None:
        asked.append(host)
        raise failure

    async with running() as run:
        monkeypatch.setattr(socket, "getaddrinfo", fail)
        sender = StatsdSender(run.server.metrics.collect, run.server.reporter, "statsd.example", 8125)
        await sender.send_metrics()
        await sender.send_metrics()
        warnings = run.events.of("warning")

    assert [warning["rule"] for warning in warnings] == ["statsd-failed"]
    assert asked == ["statsd.example"] * 2


async def test_serve_sends_its_metrics(tmp_path: Path) -> None:
    with closing(StatsdDaemon()) as daemon:
        address = f"127.0.0.1:{daemon.port}"
        async with service("serve", "--port", "0", "--json", "--statsd", address, home=tmp_path) as server:
            await server.started()
            lines = await daemon.lines()
            status, _ = await server.end()

    assert any(line.startswith("listenctl.ready:1|g|#") for line in lines)
    assert status == 0


@pytest.mark.parametrize("address", ["localhost", "localhost:0", "::1:8125", "localhost:x"])
def test_what_is_no_address_is_refused(address: str, tmp_path: Path) -> None:
    assert f"--statsd {address}: give " in refusal("serve", "--statsd", address, home=tmp_path)
