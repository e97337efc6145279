"""Calls that are played on a device of the server's machine."""

from pathlib import Path

import pytest

from listenctl.media.devices.playback_device import PlaybackDevice, PlaybackState
from listenctl.server.responders.local_monitor import LocalMonitor
from tests.helpers.frames import binary, close, text
from tests.helpers.server import read_sidecar, running, until

METADATA = text('{"sampleRate":8000,"mixType":"mono","callSid":"CS-A"}')


async def test_a_device_that_fails_costs_no_call_anything(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_: PlaybackDevice) -> None:
        raise RuntimeError("a bug of the driver")

    monkeypatch.setattr(PlaybackDevice, "run", fail)
    states: list[PlaybackState] = []
    monitor = LocalMonitor(None)
    monitor.on_change = states.append
    async with running(record=tmp_path) as run:
        run.server.responders.append(monitor)
        peer = await run.call(METADATA, binary(bytes(320)))
        await until(lambda: bool(states))
        await peer.send(close())
        answer = await peer.read_frame()
        saved = await run.events.wait_for("recording-saved")

    assert answer == b"\x88\x02\x03\xe8"
    assert read_sidecar(saved)["close"]["by"] == "jambonz"
    assert "a bug of the driver" in caplog.text
    assert (states[0].rule, states[0].text) == ("no-sound", "no sound: speaker: failed unexpectedly")
