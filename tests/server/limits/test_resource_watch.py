"""A server whose disk or memory runs short."""

import asyncio
import re
import struct
from pathlib import Path

import pytest

from listenctl.background_task import background_task
from listenctl.events import Reporter
from listenctl.server.limits import resource_watch
from listenctl.server.limits.resource_watch import ResourceWatch
from listenctl.server.limits.server_limits import ServerLimits
from listenctl.server.server import ListenServer
from tests.helpers.frames import HANDSHAKE, binary, close, text
from tests.helpers.server import Events, Running, faster, read_sidecar, recorded_audio, running

pytestmark = pytest.mark.simulated_time

METADATA = text('{"sampleRate":8000,"mixType":"mono","callSid":"CS-A"}')
READYZ = b"GET /readyz HTTP/1.1\r\n\r\n"


def audio(number: int) -> bytes:
    """Return a tenth of a second that no other number gives."""
    return struct.pack("<800h", *range(number * 800, number * 800 + 800))


async def refusal(run: Running) -> tuple[bytes, bytes, str]:
    """Return the first line of a refused call, that of a probe, and the limit that was reached."""
    answers = [await run.ask(request) for request in (HANDSHAKE, READYZ)]
    assert b"\r\nRetry-After: 10\r\n" in answers[0]
    # What the machine has is for the administrator.
    reason = run.events.of("connection-refused")[-1]["reason"].encode()
    assert [bool(re.search(rb"\d [kM]B", said)) for said in (answers[0], answers[1], reason)] == [False, True, True]
    call, probe = (answer.partition(b"\r\n")[0] for answer in answers)
    return call, probe, run.events.of("connection-refused")[-1]["limit"]


async def test_a_disk_that_runs_low_takes_no_new_calls_and_completes_the_live_one(tiny: Path) -> None:
    async with running(faster(min_free=100_000), record=tiny) as run:
        peer = await run.call(METADATA, binary(audio(0)))
        await run.events.wait_for("call-started")
        (tiny / "other").write_bytes(bytes(120_000))
        low = await run.events.wait_for_warning("disk-low")
        refused = await refusal(run)
        await peer.send(binary(audio(1)), close())
        saved = await run.events.wait_for("recording-saved")
        (tiny / "other").unlink()
        await run.events.wait_for_warning("disk-freed")
        ready = await run.ask(READYZ)
        await run.call(METADATA)
        await run.events.wait_for("call-started", 2)

    assert low["detail"].startswith(f"{tiny}: ")
    assert low["detail"].endswith("no new calls are accepted until there are 110.0 kB (--min-free)")
    assert refused == (b"HTTP/1.1 503 Service Unavailable", b"HTTP/1.1 503 Service Unavailable", "min-free")
    assert (saved["complete"], recorded_audio(saved)) == (True, audio(0) + audio(1))
    assert ready.startswith(b"HTTP/1.1 200 ")


async def test_recordings_stop_before_the_disk_is_full_and_resume_where_there_is_space(tiny: Path) -> None:
    async with running(faster(min_free=100_000), record=tiny) as run:
        peer = await run.call(METADATA, binary(audio(0)))
        await run.events.wait_for("call-started")
        await asyncio.sleep(1.0)
        (tiny / "other").write_bytes(bytes(180_000))
        await run.events.wait_for_warning("disk-nearly-full")
        await peer.send(binary(audio(1)))
        failed = await run.events.wait_for("recording-failed")
        await asyncio.sleep(2.0)
        meanwhile = (tiny / "CS-A.wav").read_bytes()
        (tiny / "other").unlink()
        await run.events.wait_for_warning("disk-freed")
        await peer.send(binary(audio(2)), close())
        saved = await run.events.wait_for("recording-saved")
        resumed = await run.events.wait_for_warning("recording-resumed")

    sidecar = read_sidecar(saved)
    assert "--min-free" in failed["reason"]
    assert meanwhile.endswith(audio(0))
    assert recorded_audio(saved) == audio(0) + audio(2)
    assert (saved["complete"], saved["unrecorded_samples"]) == (False, 800)
    assert [(gap["kind"], gap["missing"]) for gap in sidecar["gaps"] if gap["kind"] == "unrecorded"] == [
        ("unrecorded", 800)
    ]
    assert resumed["position"] == 2400
    assert run.server.recorder is not None
    assert run.server.recorder.lost_audio


async def test_a_server_on_a_disk_that_is_nearly_full_warns_and_starts(tiny: Path) -> None:
    (tiny / "other").write_bytes(bytes(197_000))
    async with running(record=tiny) as run:
        warning = await run.events.wait_for_warning("disk-low")
        await run.call(METADATA)
        await run.events.wait_for("call-started")

    assert warning["detail"].endswith("below 2.0 kB, no new calls are accepted (--min-free)")


async def test_a_server_with_too_much_memory_takes_no_new_calls_while_it_has_live_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    memory = [50_000_000]
    monkeypatch.setattr(resource_watch, "read_memory_use", lambda: memory[0])
    async with running(faster(max_memory=100_000_000)) as run:
        peer = await run.call(METADATA)
        await run.events.wait_for("call-started")
        memory[0] = 150_000_000
        high = await run.events.wait_for_warning("memory-high")
        refused = await refusal(run)
        run.server.limits = ServerLimits(max_memory=0)
        unlimited = await run.ask(READYZ)
        run.server.limits = ServerLimits(max_memory=100_000_000)
        await peer.send(close())
        await run.events.wait_for("call-ended")
        # What is free again may not have returned to the system.
        empty = await run.ask(READYZ)

    assert (
        high["detail"]
        == "the server has 150.0 MB, and --max-memory is 100.0 MB: no new calls are accepted beside live ones"
    )
    assert refused == (b"HTTP/1.1 503 Service Unavailable", b"HTTP/1.1 503 Service Unavailable", "max-memory")
    assert unlimited.startswith(b"HTTP/1.1 200 ")
    assert empty.startswith(b"HTTP/1.1 200 ")


async def test_memory_is_watched_while_the_disk_hangs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    memory = [50_000_000]
    monkeypatch.setattr(resource_watch, "read_memory_use", lambda: memory[0])
    monkeypatch.setattr(resource_watch, "in_daemon_thread", lambda *_: asyncio.get_running_loop().create_future())
    events = Events()
    server = ListenServer(faster(max_memory=100_000_000), Reporter(events))
    async with background_task(ResourceWatch(server, tmp_path).run()):
        await asyncio.sleep(10.0)
        memory[0] = 150_000_000
        async with asyncio.timeout(10.0):
            await events.wait_for_warning("memory-high")
