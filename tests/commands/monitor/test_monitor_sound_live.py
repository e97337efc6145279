"""What `monitor` plays, as it comes out of a real sound system."""

import asyncio
import signal
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
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
from tests.helpers.server import Peer, until
from tests.helpers.simulated import Pcm, interleave

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
        await pacer.wait_for_chunk(round(rate * FRAME))
        sent.append(clock.now())
        await peer.send(binary(pcm[at : at + size]))
    return sent


async def calls_one_by_one(server: Controlled) -> AsyncGenerator[tuple[Peer, int], None]:
    """Place calls at several rates, the last one without metadata until it is listened to; each ends with its turn."""
    for rate in (8000, 16000, 48000):
        peer = await place(server, f"at-{rate}", rate=rate)
        await attached(server)
        yield peer, rate
        await end(server, peer)
    peer = await server.run.call(binary(bytes(320)))
    await attached(server)
    await peer.send(text('{"callSid": "late", "sampleRate": 16000, "mixType": "mono"}'))
    yield peer, 16000
    await end(server, peer)


async def end(server: Controlled, peer: Peer) -> None:
    await peer.close()
    await until(lambda: not server.run.server.live)


def pieces(sound: Pcm) -> list[tuple[int, Pcm]]:
    """Return what was heard between pauses, each with the sample at which it began."""
    loud = np.flatnonzero(np.abs(sound.astype(int)) > 300)
    parts = np.split(loud, np.flatnonzero(np.diff(loud) > RATE // 5) + 1)
    return [(int(part[0]), sound[part[0] : part[-1] + 1]) for part in parts]


async def test_calls_are_heard_soon_in_both_ears_unbroken_and_as_loud_as_they_are(tmp_path: Path) -> None:
    began = []
    async with (
        scene(tmp_path) as (system, server),
        system.listening() as listener,
        running_command("monitor", system=system) as monitor,
        aclosing(calls_one_by_one(server)) as calls,
    ):
        await monitor.says("waiting for a call")
        async for peer, rate in calls:
            sent = await speak(peer, tone(440, 2, rate).tobytes(), rate=rate)
            began.append(sent[0])
            await listener.heard(0.4)
        status = await monitor.end(signal.SIGINT)

    heard = pieces(listener.sound[:, 0])
    delays = [listener.time_of(begin) - at for (begin, _), at in zip(heard, began, strict=True)]
    assert status == 0
    assert np.array_equal(listener.sound[:, 0], listener.sound[:, 1])
    assert np.median(delays) < 0.15
    for _, piece in heard:
        middle = piece[RATE // 10 : -RATE // 10]
        assert len(middle) > 1.5 * RATE
        assert frequency_of(middle) == pytest.approx(440, abs=1)
        assert loudness(middle) == pytest.approx(0.25 / 2**0.5, rel=0.02)
    # On a busy machine the sound system itself may stumble once.
    assert sorted(clicks(piece[RATE // 10 : -RATE // 10], 440) for _, piece in heard)[:-1] == [0, 0, 0]


async def test_the_channels_of_a_stereo_call_go_where_they_shall(tmp_path: Path) -> None:
    low, high, together = (0.25, 0), (0, 0.25), (0.25, 0.25)
    wanted = {"both": (low, high), "left": (low, low), "right": (high, high), "mix": (together, together)}
    wave, heard = interleave(tone(440, 30, 16000), tone(1000, 30, 16000)), dict[str, Pcm]()
    async with scene(tmp_path) as (system, server), system.listening() as listener:
        peer = await place(server, "one", rate=16000, mix="stereo")
        speaking = asyncio.create_task(speak(peer, wave, rate=16000, channels=2))
        for channel in wanted:
            async with running_command("monitor", "one", "--channel", channel, system=system) as monitor:
                await listener.loud()
                await listener.heard(0.7)
                heard[channel] = listener.sound[-RATE // 2 :]
                assert await monitor.end(signal.SIGINT) == 0
            await listener.heard(0.2)
        speaking.cancel()

    shares = {
        channel: [[share_of(sound[:, side], one) for one in (440, 1000)] for side in (0, 1)]
        for channel, sound in heard.items()
    }
    for channel, sides in wanted.items():
        for side in (0, 1):
            assert shares[channel][side] == pytest.approx(sides[side], rel=0.03, abs=0.001), channel


async def test_several_calls_at_different_rates_stand_side_by_side(tmp_path: Path) -> None:
    async with scene(tmp_path) as (system, server):
        peers = [await place(server, "one", rate=8000), await place(server, "two", rate=16000)]
        async with system.listening() as listener, running_command("monitor", "--all", system=system):
            await attached(server, 2)
            peers.append(await place(server, "three", rate=48000))
            await attached(server, 3)
            await asyncio.gather(
                speak(peers[0], tone(400, 2, 8000).tobytes()),
                speak(peers[1], tone(900, 2, 16000).tobytes(), rate=16000),
                speak(peers[2], tone(1400, 2, 48000).tobytes(), rate=48000),
            )
            await listener.heard(0.3)

    shares = [[share_of(steady(listener.sound[:, side]), one) for one in (400, 900, 1400)] for side in (0, 1)]
    level = 0.25 * (2 / 3) ** 0.5
    assert shares[0] == pytest.approx([level, level * 0.5**0.5, 0], rel=0.05, abs=0.002)
    assert shares[1] == pytest.approx([0, level * 0.5**0.5, level], rel=0.05, abs=0.002)


async def test_a_sound_system_that_stalls_dies_or_hangs_is_survived_and_said_in_our_words(tmp_path: Path) -> None:
    wave = tone(440, 40, 8000).tobytes()
    async with scene(tmp_path) as (system, server):
        peer = await place(server, "one")
        async with running_command("monitor", "one", system=system) as monitor:
            speaking = asyncio.create_task(speak(peer, wave))
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
                await listener.loud()
                await listener.heard(0.5)
                # Nobody who leaves waits for it.
                system.signal(signal.SIGSTOP)
                async with asyncio.timeout(5):
                    status = await monitor.end(signal.SIGINT)
            speaking.cancel()

    assert status == 0
    assert [line for line in monitor.said.splitlines() if not line.startswith("listenctl: ")] == []
    assert frequency_of(steady(listener.sound[:, 0])) == pytest.approx(440, abs=4)


async def test_a_device_that_was_named_and_isnt_there_is_status_2_and_names_the_others(tmp_path: Path) -> None:
    async with scene(tmp_path) as (system, server):
        await place(server, "one")
        async with running_command("monitor", "one", "--device", "nosuch", system=system) as monitor:
            status = await monitor.end()

    assert status == 2
    assert monitor.said.startswith("listenctl: speaker nosuch: No output device matching 'nosuch'; name one of these: ")
    assert " default" in monitor.said
