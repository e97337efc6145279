import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from types import ModuleType

import numpy as np
import pytest

from listenctl.media.devices.mixer import CallMixer
from listenctl.media.devices.playback_device import PlaybackDevice, PlaybackState
from listenctl.media.devices.sound_devices import load_sounddevice
from listenctl.protocol.audio import AudioFormat
from tests.helpers.server import LIMIT, until
from tests.helpers.simulated_time import FakeClock
from tests.helpers.sound_devices import FakeDevice

STEREO = AudioFormat(48000, 2)


@dataclass
class Heard:
    """A player and what it has said."""

    mixer: CallMixer
    states: list[PlaybackState] = field(default_factory=list)


@asynccontextmanager
async def playing(
    device: FakeDevice, name: str | None = None, clock: Callable[[], float] = time.monotonic
) -> AsyncIterator[Heard]:
    heard = Heard(CallMixer())
    player = PlaybackDevice(
        heard.mixer, name, heard.states.append, open_stream=device.open, retry_every=0.01, clock=clock
    )
    async with asyncio.timeout(LIMIT):
        task = asyncio.create_task(player.run())
        try:
            yield heard
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def play_until(device: FakeDevice, heard: Heard, number: int) -> None:
    """Let the device play until so many things were said."""
    while len(heard.states) < number:
        device.play_stereo(4800)
        await asyncio.sleep(0)


async def test_a_device_is_asked_for_two_channels_and_little_delay() -> None:
    device = FakeDevice()
    async with playing(device, "3") as heard:
        await until(lambda: device.running)
        await play_until(device, heard, 1)

    assert device.asked == [{"samplerate": 48000, "device": 3, "channels": 2, "dtype": "int16", "latency": 0.05}]
    assert heard.states == [PlaybackState(True, "")]
    assert device.closed


async def test_a_device_with_one_channel_plays_both_in_it() -> None:
    device = FakeDevice(refuses_channels=[2])
    async with playing(device) as heard:
        await until(lambda: device.running)
        stereo = np.tile(np.array([16384, 0], "<i2"), 4800)
        heard.mixer.set_calls({"a": (STEREO, ((1.0, 0.0), (0.0, 1.0)))})
        heard.mixer.add_audio("a", stereo.tobytes())
        played = [np.frombuffer(device.play(480), "<i2") for _ in range(4)]

    assert played[-1].tolist() == [8192] * 480
    # The system chooses the device.
    assert device.asked[0]["device"] is None


async def test_a_device_that_refuses_the_rate_gets_its_own() -> None:
    device = FakeDevice(rate=44100.0, refuses=[48000])
    async with playing(device) as heard:
        await until(lambda: device.running)

    assert heard.mixer.sample_rate == 44100


async def test_a_device_that_cant_be_opened_is_said_once_and_tried_again() -> None:
    device = FakeDevice(refuses=[48000, None])
    async with playing(device, "USB") as heard:
        await until(lambda: len(device.asked) > 8)
        device.refuses = []
        await until(lambda: device.running)
        await play_until(device, heard, 2)

    said = "no sound: speaker USB: can't be opened: Invalid sample rate [PaErrorCode -9997]; name one that "
    assert [state.playing for state in heard.states] == [False, True]
    assert heard.states[0].text.startswith(said)
    assert heard.states[1].text == "speaker: sound is back"


async def test_a_device_that_goes_away_is_said_and_opened_again() -> None:
    device = FakeDevice()
    async with playing(device) as heard:
        await until(lambda: device.running)
        await play_until(device, heard, 1)
        device.running = False
        await until(lambda: len(heard.states) == 2 and device.running)
        await play_until(device, heard, 3)

    assert [state.playing for state in heard.states] == [True, False, True]
    assert "stopped playing" in heard.states[1].text


async def test_a_device_that_wont_start_is_said() -> None:
    device = FakeDevice(start_error=load_sounddevice().PortAudioError("Device unavailable", -9985))
    async with playing(device) as heard:
        await until(lambda: bool(heard.states))

    assert heard.states[0].text.startswith("no sound: speaker: can't be started: Device unavailable")


async def test_what_came_before_a_device_asked_isnt_heard_late() -> None:
    device, clock = FakeDevice(), FakeClock()
    async with playing(device, clock=clock) as heard:
        await until(lambda: device.running)
        heard.mixer.set_calls({"a": (AudioFormat(48000, 1), ((1.0, 1.0),))})
        device.play_stereo(480)
        heard.mixer.add_audio("a", np.arange(9120, dtype="<i2").tobytes())
        clock.advance(0.19)
        device.play_stereo(480)
        late = np.frombuffer(device.play_stereo(2), "<i2")

    # 35 ms wait, and what the device asks for at once.
    assert late[0] == pytest.approx(9120 - 0.035 * 48000, abs=2)


@pytest.mark.parametrize("when", ["opening", "closing"])
async def test_a_device_that_hangs_keeps_nobody_waiting(when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("listenctl.media.devices.playback_device._CLOSE_LIMIT", 0.05)
    device = FakeDevice(hangs=when)
    try:
        async with playing(device):
            await until(lambda: bool(device.asked) if when == "opening" else device.running)
    finally:
        device.released.set()


async def test_an_import_that_hangs_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("listenctl.media.devices.playback_device._CLOSE_LIMIT", 0.05)
    device = FakeDevice(hangs="opening")
    try:
        async with playing(device):
            await until(lambda: bool(device.asked))
            # What an import has defined so far: on a busy machine it takes seconds.
            monkeypatch.setitem(sys.modules, "sounddevice", ModuleType("sounddevice"))
    finally:
        device.released.set()


async def test_a_device_that_opens_too_late_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("listenctl.media.devices.playback_device._CLOSE_LIMIT", 0.05)
    device = FakeDevice(hangs="opening")
    async with playing(device):
        await until(lambda: bool(device.asked))
    left_open = not device.closed
    device.released.set()

    await until(lambda: device.closed)
    assert left_open


async def test_a_device_is_opened_again_only_when_it_is_closed() -> None:
    device = FakeDevice(hangs="closing")
    player = PlaybackDevice(CallMixer(), None, lambda _: None, open_stream=device.open)
    async with asyncio.timeout(LIMIT), asyncio.TaskGroup() as runs:
        first = runs.create_task(player.run())
        await until(lambda: device.running)
        first.cancel()
        second = runs.create_task(player.run())
        await until(lambda: device.closing)
        opened = len(device.asked)
        device.released.set()
        await until(lambda: len(device.asked) == 2)
        second.cancel()

    assert opened == 1
