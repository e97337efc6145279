"""Metrics: what they count, and what they never name."""

import re
import threading
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from listenctl.events import GapEvent, MarkEvent, WarningEvent
from listenctl.server.hooks.dead_letter_file import DeadLetterFile
from listenctl.server.hooks.server_hooks import HookSettings, running_hooks
from listenctl.server.operations.prometheus_text import prometheus_text
from listenctl.server.telemetry.sending_telemetry import TelemetrySettings, sending_telemetry
from tests.helpers.frames import HANDSHAKE, binary, close, text
from tests.helpers.server import LIMIT, Running, running, until

MANUAL = Path(__file__).parents[3] / "man" / "listenctl-operations.7"
METADATA = text('{"sampleRate":8000,"callSid":"secret-sid","from":"+15550001"}')
BROKEN = text('{"sampleRate":8000,"callSid":"secret-sid","from":"+15550001"')


async def metrics_text(run: Running) -> str:
    return prometheus_text(await run.server.metrics.collect()).decode()


async def metrics(run: Running) -> dict[str, float]:
    """Return each sample of the metrics, named as in the text."""
    text_format = await metrics_text(run)
    return {
        sample.name + "".join(f"{{{label}={value}}}" for label, value in sample.labels.items()): sample.value
        for family in text_string_to_metric_families(text_format)
        for sample in family.samples
    }


async def test_calls_audio_and_recordings_are_counted(tmp_path: Path) -> None:
    async with running(record=tmp_path) as run:
        for number, metadata in enumerate((METADATA, BROKEN), 1):
            peer = await run.call(metadata, binary(bytes(16_000)))
            await run.events.wait_for("call-started", number)
            live = await metrics(run)
            await peer.send(close(4000))
            await run.events.wait_for("recording-saved", number)
            await peer.close()
        await run.ask(HANDSHAKE.replace(b"websocket", b"http"))
        ended = await metrics(run)

    assert live["listenctl_calls_live"] == 1
    assert ended["listenctl_calls_live"] == 0
    assert ended["listenctl_calls_total"] == 2
    assert ended["listenctl_calls_ended_total{close_code=application}"] == 2
    assert ended["listenctl_metadata_repaired_total"] == 1
    assert ended["listenctl_audio_received_seconds_total"] == 2.0
    assert ended["listenctl_audio_lost_seconds_total"] == 0
    assert ended["listenctl_recordings_saved_total{complete=true}"] == 2
    assert ended["listenctl_recording_seconds_total"] == 2.0
    assert ended["listenctl_recording_queue_bytes"] == 0
    assert ended["listenctl_connections_refused_total{status=426}"] == 1
    assert ended["listenctl_disk_free_bytes"] > 0
    assert ended["listenctl_tick_lateness_seconds_count"] > 0


async def test_a_total_never_shrinks_when_a_call_ends() -> None:
    async with running() as run:
        peer = await run.call(METADATA, binary(bytes(6)))
        await run.events.wait_for("call-started")
        await until(lambda: bool(run.server.live[0].log and run.server.live[0].log.samples))
        live = await metrics(run)
        await peer.send(close())
        await run.events.wait_for("call-ended")
        ended = await metrics(run)

    assert live["listenctl_audio_received_seconds_total"] == 3 / 8000
    assert ended["listenctl_audio_received_seconds_total"] == 3 / 8000


async def test_gaps_marks_and_warnings_are_counted_by_what_is_bounded() -> None:
    async with running() as run:
        emit = run.server.reporter.emit
        emit(GapEvent(kind="hole", position=0, time=0.0, length=2.5, missing=20_000), call="secret")
        emit(MarkEvent(name="secret", result="played", round_trip=0.2))
        emit(MarkEvent(name="secret", result="played", round_trip=None))
        emit(WarningEvent(rule="slow-disk", detail="secret"))
        found = await metrics(run)

    assert found["listenctl_gaps_total{kind=hole}"] == 1
    assert found["listenctl_gap_seconds_total{kind=hole}"] == 2.5
    assert found["listenctl_mark_round_trip_seconds_bucket{le=0.1}"] == 0
    assert found["listenctl_mark_round_trip_seconds_bucket{le=0.25}"] == 1
    assert found["listenctl_mark_round_trip_seconds_count"] == 1
    assert found["listenctl_warnings_total{rule=slow-disk}"] == 1


async def test_metrics_name_no_call_party_or_file(tmp_path: Path) -> None:
    async with running(record=tmp_path) as run:
        peer = await run.call(METADATA, binary(bytes(320)))
        await run.events.wait_for("call-started")
        described = await metrics_text(run)
        await peer.send(close())
        await peer.close()

    assert "listenctl_calls_live 1.0" in described
    assert not re.search(r"secret|\+1555|127\.0\.0\.1|" + re.escape(str(tmp_path)), described)


async def test_the_manual_names_exactly_the_metrics_that_there_are(tmp_path: Path) -> None:
    telemetry = TelemetrySettings(otlp="http://x")
    hooks = HookSettings((), frozenset(), DeadLetterFile(tmp_path / "dead"))
    async with (
        running(record=tmp_path) as run,
        sending_telemetry(run.server, telemetry),
        running_hooks(run.server.reporter, hooks, run.server.metrics.sources),
    ):
        described = await metrics_text(run)
    exported = set(re.findall(r"^# TYPE listenctl_(\w+) ", described, re.MULTILINE))
    section = MANUAL.read_text().partition(".Ss Metrics")[2].partition(".Sh ")[0]
    items = [line.split(" No ")[0] for line in section.splitlines() if line.startswith(".It Cm ")]

    assert {name for item in items for name in re.findall(r"\w+", item.removeprefix(".It Cm "))} == exported


async def test_a_disk_that_hangs_delays_metrics_and_is_asked_by_one_thread(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[object] = []
    hangs = threading.Event()

    def hang(folder: object) -> None:
        asked.append(folder)
        hangs.wait(LIMIT)
        raise OSError

    async with running(record=tmp_path) as run:
        monkeypatch.setattr("os.statvfs", hang)
        first, second = await metrics(run), await metrics(run)
        hangs.set()

    assert "listenctl_disk_free_bytes" not in first.keys() | second.keys()
    assert first["listenctl_ready"] == 1
    assert len(asked) == 1
