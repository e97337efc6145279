"""The sound of ``monitor`` on a real sound system."""

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

from listenctl.background_task import background_task
from listenctl.commands.monitor.command import MonitorOptions
from listenctl.commands.monitor.monitor_sound import MonitorSound
from listenctl.errors import CheckFailedError
from listenctl.media.pacing import Pacer
from tests.helpers.cli import Service, listenctl_beside
from tests.helpers.control import Controlled, controlled
from tests.helpers.frames import binary, text
from tests.helpers.server import Peer, until
from tests.helpers.simulated_calls import interleave
from tests.helpers.simulated_time import simulated_loop
from tests.helpers.sound_devices import Listener, SoundSystem, sound_system, tone

LEVEL = 0.25
# How late the audio of a test comes depends on the machine.
LATE = re.compile(r"gap +one (burst|pause|possible loss|late-start) of (at least )?\d+\.\d\d s at ").search


@asynccontextmanager
async def sound_and_server(folder: Path) -> AsyncIterator[tuple[SoundSystem, Controlled]]:
    async with sound_system(folder) as system, controlled(folder) as server:
        yield system, server


@asynccontextmanager
async def playing_monitor(folder: Path, *options: str) -> AsyncIterator[tuple[Controlled, Listener, Service]]:
    """Run a monitor that waits for a call, and hear what it plays."""
    async with (
        sound_and_server(folder) as (system, server),
        system.listening() as listener,
        system.command("monitor", *options) as monitor,
    ):
        await monitor.says("waiting for a call")
        yield server, listener, monitor


async def send_audio(peer: Peer, second: bytes, *, rate: int = 8000, channels: int = 1) -> None:
    """Send a second of audio repeatedly, in real time."""
    samples = rate // 50
    size = samples * 2 * channels
    pacer = Pacer(rate)
    while True:
        for at in range(0, len(second), size):
            await pacer.wait_for_chunk(samples)
            await peer.send(binary(second[at : at + size]))


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
async def test_mono_call_is_played_on_both_sides_with_its_level(tmp_path: Path, rate: int) -> None:
    async with playing_monitor(tmp_path) as (server, listener, monitor):
        peer = await server.place_call("one", rate=rate)
        await server.wait_for_tools()
        async with background_task(send_audio(peer, tone(440, 1, rate).tobytes(), rate=rate)):
            await listener.tones({440: LEVEL}, {440: LEVEL})
        status, _ = await monitor.end(signal.SIGINT)

    assert status == 0
    assert np.array_equal(listener.sound[:, 0], listener.sound[:, 1])


async def test_call_with_late_metadata_is_played_at_its_rate(tmp_path: Path) -> None:
    async with playing_monitor(tmp_path) as (server, listener, _):
        peer = await server.run.call(binary(bytes(320)))
        await server.wait_for_tools()
        await peer.send(text('{"callSid": "late", "sampleRate": 16000, "mixType": "mono"}'))
        async with background_task(send_audio(peer, tone(440, 1, 16000).tobytes(), rate=16000)):
            await listener.tones({440: LEVEL}, {440: LEVEL})


@pytest.mark.parametrize(
    ("channel", "left", "right"),
    [
        ("both", {440: LEVEL, 1000: 0.0}, {440: 0.0, 1000: LEVEL}),
        ("left", {440: LEVEL, 1000: 0.0}, {440: LEVEL, 1000: 0.0}),
        ("right", {440: 0.0, 1000: LEVEL}, {440: 0.0, 1000: LEVEL}),
        ("mix", {440: LEVEL, 1000: LEVEL}, {440: LEVEL, 1000: LEVEL}),
    ],
)
async def test_channels_of_a_stereo_call(
    tmp_path: Path, channel: str, left: dict[int, float], right: dict[int, float]
) -> None:
    wave = interleave(tone(440, 1, 16000), tone(1000, 1, 16000))
    async with playing_monitor(tmp_path, "--channel", channel) as (server, listener, monitor):
        peer = await server.place_call("one", rate=16000, mix="stereo")
        await server.wait_for_tools()
        async with background_task(send_audio(peer, wave, rate=16000, channels=2)):
            await listener.tones(left, right)
        assert (await monitor.end(signal.SIGINT))[0] == 0


async def test_calls_at_different_rates_are_spread_from_left_to_right(tmp_path: Path) -> None:
    level = LEVEL * (2 / 3) ** 0.5
    middle = level * 0.5**0.5
    async with sound_and_server(tmp_path) as (system, server):
        peers = [await server.place_call("one", rate=8000), await server.place_call("two", rate=16000)]
        async with system.listening() as listener, system.command("monitor", "--all"):
            await server.wait_for_tools(2)
            peers.append(await server.place_call("three", rate=48000))
            await server.wait_for_tools(3)
            async with (
                background_task(send_audio(peers[0], tone(400, 1, 8000).tobytes())),
                background_task(send_audio(peers[1], tone(900, 1, 16000).tobytes(), rate=16000)),
                background_task(send_audio(peers[2], tone(1400, 1, 48000).tobytes(), rate=48000)),
            ):
                await listener.tones({400: level, 900: middle, 1400: 0.0}, {400: 0.0, 900: middle, 1400: level})


async def test_failures_of_the_sound_system_are_reported_and_survived(tmp_path: Path) -> None:
    async with sound_and_server(tmp_path) as (system, server):
        peer = await server.place_call("one")
        async with (
            system.command("monitor", "one") as monitor,
            background_task(send_audio(peer, tone(440, 1, 8000).tobytes())),
        ):
            async with system.listening() as listener:
                await listener.loud()
                system.signal(signal.SIGSTOP)
                await monitor.says("no sound: speaker: stopped playing")
                system.signal(signal.SIGCONT)
                await monitor.says("sound is back")
                await listener.loud()
            await system.kill()
            await monitor.says("no sound: speaker")
            await system.start()
            await monitor.says("sound is back")
            async with system.listening() as listener:
                await listener.tones({440: LEVEL}, {440: LEVEL})
                # The command ends although the sound system hangs.
                system.signal(signal.SIGSTOP)
                status, _ = await monitor.end(signal.SIGINT)

    assert status == 0
    assert [line for line in monitor.said.splitlines() if not line.startswith("listenctl: ") and not LATE(line)] == []


async def test_unknown_device_is_status_2_and_lists_the_others(tmp_path: Path) -> None:
    async with sound_and_server(tmp_path) as (system, server):
        await server.place_call("one")
        async with system.command("monitor", "one", "--device", "nosuch") as monitor:
            status, _ = await monitor.status()

    assert status == 2
    assert monitor.said.startswith("listenctl: speaker nosuch: No output device matching 'nosuch'; name one of these: ")
    assert " default" in monitor.said


async def test_devices_are_listed_by_the_names_that_choose_them(tmp_path: Path) -> None:
    async with sound_system(tmp_path) as system:
        listed = [
            await listenctl_beside("monitor", "--list-devices", *more, home=tmp_path, env=system.env)
            for more in (["--json"], [])
        ]

    devices, table = json.loads(listed[0].stdout)["devices"], listed[1].stdout.splitlines()
    default = next(device for device in devices if device["name"] == "default")
    assert [one.returncode for one in listed] == [0, 0]
    assert default["outputs"] >= 2
    assert default["default_output"]
    assert table[0].split() == ["NUMBER", "NAME", "SYSTEM", "IN", "OUT", "RATE", "DEFAULT"]
    assert [str(default["number"]), "default"] in [line.split()[:2] for line in table]


@pytest.mark.simulated_time
async def test_time_while_stopped_is_saved_as_silence_and_reported(tmp_path: Path) -> None:
    path, messages = tmp_path / "saved.wav", list[str]()
    sound = MonitorSound(MonitorOptions(mute=True, save=str(path)), messages.append, lambda: None)
    begin = simulated_loop().time()
    async with background_task(sound.save_mix()):
        await until(path.exists)
        await asyncio.sleep(1)
        # As if the process was stopped.
        simulated_loop().advance(61.5)
        await until(lambda: bool(messages))
        await asyncio.sleep(1)
        passed = simulated_loop().time() - begin
    with pytest.raises(CheckFailedError, match=r"saved\.wav: \d\d\.\d s of sound is missing in it, because this comp"):
        await asyncio.to_thread(sound.close)

    saved, rate = soundfile.read(path)
    assert messages == ["61.5 s skipped, because this process was stopped or too slow"]
    assert len(saved) / rate == pytest.approx(passed, abs=0.1)
