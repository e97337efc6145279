"""Playback of what a simulated caller hears, on a fake device."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest

from listenctl.errors import ListenctlError
from listenctl.media.devices.playback_device import PlaybackDevice, PlaybackState
from listenctl.simulator.caller_playback import CallerPlayback
from tests.helpers.server import LIMIT, until
from tests.helpers.simulated_calls import Pcm
from tests.helpers.sound_devices import FakeDevice

FRAME = 160


@dataclass
class FakePlayback:
    """A playback, its device and the reported states."""

    playback: CallerPlayback
    device: FakeDevice
    states: list[PlaybackState] = field(default_factory=list)

    def hear(self, wave: Pcm) -> Pcm:
        """Play samples in frames of 20 ms; return the left channel of what the device received."""
        heard = b""
        for at in range(0, len(wave), FRAME):
            self.playback.add_audio(wave[at : at + FRAME].tobytes())
            heard += self.device.play_stereo(960)
        return np.frombuffer(heard, "<i2")[::2]


@asynccontextmanager
async def hearing(device: FakeDevice) -> AsyncIterator[FakePlayback]:
    states: list[PlaybackState] = []
    playback = CallerPlayback(8000, None, states.append, open_stream=device.open, retry_every=0.01)
    async with asyncio.timeout(LIMIT):
        await playback.open()
        try:
            yield FakePlayback(playback, device, states)
        finally:
            await playback.close()


def tone(hertz: float, seconds: float) -> Pcm:
    at = np.arange(round(seconds * 8000))
    return (8192 * np.sin(2 * np.pi * hertz * at / 8000)).astype("<i2")


async def test_audio_is_played_on_both_channels() -> None:
    device = FakeDevice()

    async with hearing(device) as caller:
        heard = caller.hear(tone(1000, 2.0))

    steady = heard[-48000:].astype(float)
    assert np.abs(np.fft.rfft(steady)).argmax() == 1000
    assert np.sqrt(np.mean(steady**2)) == pytest.approx(8192 / 2**0.5, rel=0.01)
    assert device.closed


async def test_a_missing_device_is_an_error_before_the_call() -> None:
    device = FakeDevice(refuses=[48000, None])
    playback = CallerPlayback(8000, "USB", lambda _: None, open_stream=device.open)

    with pytest.raises(ListenctlError, match="speaker USB: can't be opened: Invalid sample rate"):
        await playback.open()
    await playback.close()


async def test_a_call_goes_on_while_its_device_is_gone() -> None:
    device = FakeDevice()
    heard: list[Pcm] = []

    def is_back() -> bool:
        heard.append(caller.hear(tone(1000, 1.0)))
        return len(caller.states) > 1

    async with hearing(device) as caller:
        device.running = False
        await until(lambda: bool(caller.states) and device.running)
        await until(is_back)

    assert [(state.rule, state.text.partition(";")[0]) for state in caller.states] == [
        ("no-sound", "no sound: speaker: stopped playing"),
        ("sound-back", "speaker: sound is back"),
    ]
    assert np.concatenate(heard).max() == pytest.approx(8192, rel=0.02)


async def test_a_cancelled_call_closes_the_device_that_is_opening() -> None:
    device = FakeDevice(hangs="opening")
    playback = CallerPlayback(8000, None, lambda _: None, open_stream=device.open)

    opening = asyncio.create_task(playback.open())
    async with asyncio.timeout(LIMIT):
        await until(lambda: bool(device.asked))
        opening.cancel()
        device.released.set()
        await asyncio.wait([opening])

    assert opening.cancelled()
    assert device.closed


async def test_a_call_goes_on_when_its_playback_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_: PlaybackDevice) -> None:
        raise RuntimeError("a bug of the driver")

    monkeypatch.setattr(PlaybackDevice, "run", fail)
    device = FakeDevice()

    async with hearing(device) as caller:
        await until(lambda: bool(caller.states))

    assert [state.text for state in caller.states] == ["no sound: speaker: failed unexpectedly"]
    assert device.closed
