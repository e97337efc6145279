"""Commands that have a loudspeaker or a microphone, in a real sound system."""

import asyncio
import json
import signal
from asyncio.subprocess import DEVNULL
from pathlib import Path

import numpy as np

from tests.helpers.cli import listenctl, service
from tests.helpers.server import Event, recorded_audio, running
from tests.helpers.sound_devices import consists_of, running_command, sound_system, tone

LIMIT = 100
LEVEL = 10 ** (-12 / 20)
TONE = ("--audio", "tone:440@-12", "--duration", "60")


async def devices_of(folder: Path) -> tuple[list[Event], str]:
    async with asyncio.timeout(LIMIT), sound_system(folder) as system:
        env = system.env
        as_json, table = [
            await asyncio.to_thread(
                lambda more: listenctl("monitor", "--list-devices", *more, home=folder, env=env), more
            )
            for more in (["--json"], [])
        ]
    assert (as_json.returncode, table.returncode) == (0, 0)
    return json.loads(as_json.stdout)["devices"], table.stdout


async def test_sound_devices_are_listed_by_the_names_that_they_can_be_chosen_by(tmp_path: Path) -> None:
    devices, table = await devices_of(tmp_path)

    default = next(device for device in devices if device["name"] == "default")
    assert default["outputs"] >= 2
    assert default["default_output"]
    assert table.splitlines()[0].split() == ["NUMBER", "NAME", "SYSTEM", "IN", "OUT", "RATE", "DEFAULT"]
    assert [str(default["number"]), "default"] in [line.split()[:2] for line in table.splitlines()]


async def test_a_server_plays_its_calls_and_loses_nothing_when_its_device_hangs(tmp_path: Path) -> None:
    async with asyncio.timeout(LIMIT), sound_system(tmp_path) as system, system.listening() as listener:
        options = ("record", "--json", "--port", "0", "--monitor", "--monitor-device", "default")
        async with service(*options, home=tmp_path, env=system.env) as server:
            url = (await server.next("server-started"))["url"]
            async with running_command("call", url, *TONE, system=system) as call:
                await listener.tones({440: LEVEL}, {440: LEVEL})
                await call.end(signal.SIGINT)
            first = await server.next("recording-saved")
            async with running_command("call", url, *TONE, system=system) as call:
                await listener.loud()
                system.signal(signal.SIGSTOP)
                warning = await server.next("warning")
                await call.end(signal.SIGINT)
            second = await server.next("recording-saved")
            status, said = await server.end(signal.SIGINT)

    assert (status, said) == (0, "")
    assert (warning["rule"], warning["call"]) == ("no-sound", None)
    assert first["complete"]
    assert second["complete"]


async def test_a_simulated_caller_hears_what_the_server_sends_also_when_the_loudspeaker_was_away(
    tmp_path: Path,
) -> None:
    options = ("--speaker", "--streaming", "8000", "-m", "streamRate:=8000", "--json", "--audio", "tone:440@-12")
    serving = service("serve", "--json", "--port", "0", "--once", "--echo", home=tmp_path)
    async with asyncio.timeout(LIMIT), sound_system(tmp_path) as system, serving as server:
        url = (await server.next("server-started"))["url"]
        async with service("call", url, *options, home=tmp_path, env=system.env) as call:
            async with system.listening() as listener:
                await listener.tones({440: LEVEL}, {440: LEVEL})
            await system.kill()
            gone = await call.next("warning")
            await system.start()
            back = await call.next("warning")
            async with system.listening() as again:
                await again.loud()
            status, said = await call.end()

    assert (status, said) == (0, "")
    assert (gone["rule"], back["rule"]) == ("no-sound", "sound-back")
    assert gone["call"] == gone["call_sid"] is not None


async def test_a_simulated_caller_speaks_into_the_microphone(tmp_path: Path) -> None:
    async with asyncio.timeout(LIMIT), sound_system(tmp_path) as system:
        (tmp_path / "spoken.raw").write_bytes(tone(700, 60, 48000).tobytes())
        pacat = ["pacat", "-d", "null", "--format=s16le", "--rate=48000", "--channels=1", "spoken.raw"]
        speaking = await asyncio.create_subprocess_exec(*pacat, env=system.env, cwd=tmp_path, stderr=DEVNULL)
        try:
            async with running(record=tmp_path) as run:
                url = f"ws://127.0.0.1:{run.port}/"
                options = ("--audio", "mic", "--duration", "10")
                async with running_command("call", url, *options, system=system) as call:
                    assert await call.end() == 0
                saved = await run.events.wait_for("recording-saved")
        finally:
            speaking.kill()
            await speaking.wait()

    heard = np.frombuffer(recorded_audio(saved), "<i2")
    assert any(consists_of(heard[at : at + 4000], {700: 0.25}, 8000) for at in range(0, len(heard) - 4000, 400))
