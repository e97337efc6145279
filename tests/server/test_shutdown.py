import asyncio
import struct
from pathlib import Path

import pytest

from listenctl.server.recording.call_recorder import FileRecorder
from listenctl.server.shutdown import CONVERSION_TIMEOUT
from tests.helpers.frames import HANDSHAKE, binary, close, text
from tests.helpers.server import faster, read_sidecar, recorded_audio, running
from tests.helpers.simulated_time import simulated_loop

pytestmark = pytest.mark.simulated_time

METADATA = text('{"sampleRate":8000,"mixType":"mono","callSid":"CS-A"}')
AUDIO = struct.pack("<160h", *range(1000, 1160))


async def test_stopping_closes_live_calls_and_keeps_what_comes_after(tmp_path: Path) -> None:
    async with running(record=tmp_path) as run:
        peer = await run.call(METADATA, binary(AUDIO))
        await run.events.wait_for("call-started")

        run.server.shutdown.begin()

        assert await peer.read_frame() == b"\x88\x14\x03\xe9server is stopping"
        await peer.send(binary(AUDIO[::-1]), close(1001, "server is stopping"))
        await peer.close()
        await run.ended
    (saved,) = run.events.of("recording-saved")
    (ended,) = run.events.of("call-ended")
    warning = run.events.of("warning")[0]
    assert (warning["rule"], warning["calls"]) == ("calls-cut", 1)
    assert (ended["closed_by"], ended["close_code"]) == ("listenctl", 1001)
    assert recorded_audio(saved) == AUDIO + AUDIO[::-1]
    assert read_sidecar(saved)["close"] == {"code": 1001, "reason": "server is stopping", "by": "listenctl"}


async def test_stopping_takes_no_new_call() -> None:
    async with running() as run:
        peer = await run.call(METADATA)
        late = await run.open(HANDSHAKE[:-2])
        await run.events.wait_for("call-started")
        run.server.shutdown.begin()
        await late.send(b"\r\n")

        assert b"101" not in await late.read_to_end()
        with pytest.raises(OSError, match="Connect"):
            await run.open()
        await peer.send(close(1001))
        await peer.close()
        await run.ended

    assert len(run.events.of("call-started")) == 1


async def test_stopping_waits_for_no_peer_for_ever_and_twice_is_once(tmp_path: Path) -> None:
    async with running(faster(close_timeout=0.2), record=tmp_path) as run:
        await run.call(METADATA, binary(AUDIO))
        await run.events.wait_for("call-started")
        run.server.shutdown.begin()
        run.server.shutdown.begin()
        await run.ended

    assert run.events.of("recording-saved")[0]["samples"] == 160
    assert [event["rule"] for event in run.events.of("warning")] == ["calls-cut"]


async def test_after_a_signal_conversions_have_a_few_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped: list[float] = []
    monkeypatch.setattr(FileRecorder, "stop_conversions", lambda _: stopped.append(simulated_loop().time()))
    async with running(record=tmp_path) as run:
        await run.call(METADATA)
        run.server.shutdown.stop()
        began = simulated_loop().time()
        await asyncio.sleep(CONVERSION_TIMEOUT - 0.1)
        assert stopped == []
        await asyncio.sleep(0.2)

    assert stopped == [began + CONVERSION_TIMEOUT]


async def test_a_server_that_drains_lets_its_calls_end_and_takes_no_others(tmp_path: Path) -> None:
    async with running(record=tmp_path) as run:
        peer = await run.call(METADATA, binary(AUDIO))
        # It has connected, so it becomes a call, too.
        late = await run.open(HANDSHAKE[:-2])
        await run.events.wait_for("call-started")
        run.server.shutdown.drain(60.0)
        with pytest.raises(OSError, match="Connect"):
            await run.open()
        await late.send(b"\r\n", METADATA)
        await run.events.wait_for("call-started", 2)
        await asyncio.sleep(30.0)
        for one in (peer, late):
            await one.send(binary(AUDIO), close())
            await one.close()
        await run.ended

    [warning] = run.events.of("warning")
    assert (warning["rule"], warning["calls"]) == ("draining", 1)
    assert [event["close_code"] for event in run.events.of("call-ended")] == [1000, 1000]
    assert all(saved["complete"] for saved in run.events.of("recording-saved"))


async def test_calls_that_outlast_the_drain_timeout_are_closed() -> None:
    async with running() as run:
        peer = await run.call(METADATA)
        await run.events.wait_for("call-started")
        began = simulated_loop().time()
        run.server.shutdown.drain(60.0)
        run.server.shutdown.drain(1.0)

        # Pings come before.
        while not (frame := await peer.read_frame()).startswith(b"\x88"):
            await peer.send(b"\x8a\x80\0\0\0\0")
        assert frame[2:4] == b"\x03\xe9"
        assert simulated_loop().time() - began == pytest.approx(60.0, abs=0.2)
        await peer.send(close(1001))
        await peer.close()
        await run.ended

    assert [warning["rule"] for warning in run.events.of("warning")] == ["draining", "calls-cut"]


async def test_a_server_without_calls_drains_at_once() -> None:
    async with running() as run:
        run.server.shutdown.drain(60.0)
        await run.ended

    assert run.events.of("warning") == []
