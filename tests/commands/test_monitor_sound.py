"""What `monitor` plays, as it comes out of a real sound system."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from listenctl.media.pacing import Pacer, SystemClock
from tests.helpers.control import Controlled, controlled
from tests.helpers.frames import binary, text
from tests.helpers.monitored import attached, place
from tests.helpers.pulse import (
    RATE,
    SoundSystem,
    clicks,
    frequency_of,
    loudness,
    running_command,
    share_of,
    sound_system,
    steady,
    tone,
)
from tests.helpers.server import Peer
from tests.helpers.simulated import interleave

LIMIT = 40
FRAME = 0.02


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[tuple[SoundSystem, Controlled]]:
    async with asyncio.timeout(LIMIT), sound_system(folder) as system, controlled(folder) as server:
        yield system, server


async def speak(peer: Peer, pcm: bytes, *, rate: int = 8000, channels: int = 1) -> list[float]:
    """Send audio at its own pace; return when each message was sent."""
    size = round(rate * FRAME) * 2 * channels
    clock, sent = SystemClock(), []
    pacer = Pacer(rate, clock)
    for at in range(0, len(pcm), size):
        await pacer.wait(round(rate * FRAME))
        sent.append(clock.now())
        await peer.send(binary(pcm[at : at + size]))
    return sent


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
async def test_a_call_is_heard_in_both_ears_unbroken_and_as_loud_as_it_is(rate: int, tmp_path: Path) -> None:
    wave = tone(440, 3, rate)
    async with scene(tmp_path) as (system, server):
        peer = await place(server, "one", rate=rate)
        async with system.listening() as listener, running_command("monitor", "one", system=system) as monitor:
            await attached(server)
            await speak(peer, wave.tobytes(), rate=rate)
            await listener.heard(0.3)
            status = await monitor.end(signal.SIGINT)

    left, right = steady(listener.sound[:, 0]), steady(listener.sound[:, 1])
    assert status == 0
    assert len(left) > 1.5 * RATE
    assert np.array_equal(left, right)
    assert frequency_of(left) == pytest.approx(440, abs=1)
    assert loudness(left) == pytest.approx(loudness(wave), rel=0.02)
    assert clicks(left, 440) == 0


async def test_the_sound_is_less_than_150_ms_late(tmp_path: Path) -> None:
    silence, beep = np.zeros(8000 * 4 // 10, np.int16), tone(1000, 0.1, 8000)
    beeps = 8
    wave = np.concatenate([silence, silence, silence, *[beep, silence] * beeps])
    async with scene(tmp_path) as (system, server):
        peer = await place(server, "one")
        async with system.listening() as listener, running_command("monitor", "one", system=system):
            await attached(server)
            sent = await speak(peer, wave.tobytes())
            await listener.heard(0.3)

    loud = np.flatnonzero(np.abs(listener.sound[:, 0].astype(int)) > 1000)
    begins = loud[np.diff(loud, prepend=-RATE) > RATE // 5]
    said = [sent[round((1.2 + 0.5 * number) / FRAME)] for number in range(beeps)]
    delays = [listener.time_of(begin) - at for begin, at in zip(begins[::-1], said[::-1], strict=False)]
    assert len(delays) >= beeps - 2
    assert np.median(delays) < 0.15


@pytest.mark.parametrize(
    ("channel", "heard"),
    [("both", (440, 1000)), ("left", (440, 440)), ("right", (1000, 1000))],
)
async def test_the_channels_of_a_stereo_call_go_where_they_shall(
    channel: str, heard: tuple[int, int], tmp_path: Path
) -> None:
    wave = interleave(tone(440, 2, 16000), tone(1000, 2, 16000))
    async with scene(tmp_path) as (system, server):
        peer = await place(server, "one", rate=16000, mix="stereo")
        options = ("--channel", channel)
        async with system.listening() as listener, running_command("monitor", "one", *options, system=system):
            await attached(server)
            await speak(peer, wave, rate=16000, channels=2)
            await listener.heard(0.3)

    for side, wanted in enumerate(heard):
        ear = steady(listener.sound[:, side])
        assert share_of(ear, wanted) == pytest.approx(0.25, rel=0.03)
        assert share_of(ear, 1440 - wanted) < 0.001


async def test_both_channels_of_a_stereo_call_can_be_heard_in_each_ear(tmp_path: Path) -> None:
    wave = interleave(tone(440, 2, 8000), tone(1000, 2, 8000))
    async with scene(tmp_path) as (system, server):
        peer = await place(server, "one", mix="stereo")
        async with system.listening() as listener, running_command("monitor", "--channel", "mix", system=system):
            await attached(server)
            await speak(peer, wave, channels=2)
            await listener.heard(0.3)

    for side in (0, 1):
        ear = steady(listener.sound[:, side])
        assert [share_of(ear, one) for one in (440, 1000)] == pytest.approx([0.25, 0.25], rel=0.03)


async def test_several_calls_at_different_rates_stand_side_by_side(tmp_path: Path) -> None:
    async with scene(tmp_path) as (system, server):
        peers = [await place(server, "one", rate=8000), await place(server, "two", rate=16000)]
        async with system.listening() as listener, running_command("monitor", "--all", system=system):
            await attached(server, 2)
            peers.append(await place(server, "three", rate=48000))
            await attached(server, 3)
            await asyncio.gather(
                speak(peers[0], tone(400, 3, 8000).tobytes()),
                speak(peers[1], tone(900, 3, 16000).tobytes(), rate=16000),
                speak(peers[2], tone(1400, 3, 48000).tobytes(), rate=48000),
            )
            await listener.heard(0.3)

    shares = [[share_of(steady(listener.sound[:, side]), one) for one in (400, 900, 1400)] for side in (0, 1)]
    level = 0.25 * (2 / 3) ** 0.5
    assert shares[0] == pytest.approx([level, level * 0.5**0.5, 0], rel=0.05, abs=0.002)
    assert shares[1] == pytest.approx([0, level * 0.5**0.5, level], rel=0.05, abs=0.002)


async def test_metadata_that_come_late_correct_the_pitch(tmp_path: Path) -> None:
    async with scene(tmp_path) as (system, server):
        peer = await server.run.call(binary(bytes(320)))
        await server.run.events.wait_for("call-started")
        async with system.listening() as listener, running_command("monitor", "@latest", system=system):
            await attached(server)
            await peer.send(text('{"callSid": "one", "sampleRate": 16000, "mixType": "mono"}'))
            await speak(peer, tone(440, 2, 16000).tobytes(), rate=16000)
            await listener.heard(0.3)

    assert frequency_of(steady(listener.sound[:, 0])) == pytest.approx(440, abs=2)


async def test_a_sound_system_that_dies_is_said_and_looked_for_until_it_is_back(tmp_path: Path) -> None:
    wave = tone(440, 30, 8000).tobytes()
    async with scene(tmp_path) as (system, server):
        peer = await place(server, "one")
        async with running_command("monitor", "one", system=system) as monitor:
            await attached(server)
            async with system.listening() as listener:
                speaking = asyncio.create_task(speak(peer, wave))
                await listener.loud()
            await system.kill()
            await monitor.says("no sound: speaker")
            await system.start()
            await monitor.says("sound is back")
            async with system.listening() as listener:
                await listener.loud()
                await listener.heard(0.5)
            speaking.cancel()
            status = await monitor.end(signal.SIGINT)

    assert status == 0
    assert "ALSA" not in monitor.said
    assert frequency_of(steady(listener.sound[:, 0])) == pytest.approx(440, abs=4)


async def test_a_device_that_stalls_is_said_and_comes_back(tmp_path: Path) -> None:
    wave = tone(440, 30, 8000).tobytes()
    async with scene(tmp_path) as (system, server):
        peer = await place(server, "one")
        async with system.listening() as listener, running_command("monitor", "one", system=system) as monitor:
            await attached(server)
            speaking = asyncio.create_task(speak(peer, wave))
            await listener.loud()
            system.signal(signal.SIGSTOP)
            await monitor.says("no sound: speaker: stopped playing")
            system.signal(signal.SIGCONT)
            await monitor.says("sound is back")
            await listener.loud()
            speaking.cancel()
            status = await monitor.end(signal.SIGINT)

    assert status == 0


async def test_a_device_that_hangs_keeps_nobody_from_leaving(tmp_path: Path) -> None:
    async with scene(tmp_path) as (system, server):
        peer = await place(server, "one")
        async with system.listening() as listener, running_command("monitor", "one", system=system) as monitor:
            await attached(server)
            speaking = asyncio.create_task(speak(peer, tone(440, 30, 8000).tobytes()))
            await listener.loud()
            system.signal(signal.SIGSTOP)
            async with asyncio.timeout(5):
                status = await monitor.end(signal.SIGINT)
            speaking.cancel()

    assert status == 0
