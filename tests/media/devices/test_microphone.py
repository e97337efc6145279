import numpy as np
import pytest

from listenctl.errors import ListenctlError
from listenctl.media.devices.microphone import open_microphone
from listenctl.media.devices.sound_devices import load_sounddevice
from listenctl.media.sources.audio_sources import open_source
from tests.helpers.sound_devices import FakeDevice

RAMP = np.arange(1, 8001, dtype="<i2").tobytes()


async def test_a_microphone_is_a_source() -> None:
    device = FakeDevice()
    source = await open_microphone("USB", 8000, open_stream=device.open)
    device.hear(RAMP[:320])
    device.hear(RAMP[320:640])

    heard = await source.read(320)
    late = await source.read(160)
    await source.close()

    assert heard == RAMP[:640]
    assert late == bytes(320)
    assert device.asked == [{"samplerate": 8000, "device": "USB", "channels": 1, "dtype": "int16"}]
    assert device.closed


async def test_a_microphone_that_refuses_the_rate_is_converted() -> None:
    device = FakeDevice(rate=48000.0, refuses=[8000])
    source = await open_microphone("3", 8000, open_stream=device.open)
    wave = (16384 * np.sin(np.arange(9600) * 2 * np.pi * 1000 / 48000)).astype("<i2")

    device.hear(wave.tobytes())
    heard = np.frombuffer(await source.read(1600), "<i2")
    await source.close()

    assert [asked["samplerate"] for asked in device.asked] == [8000, None]
    assert device.asked[0]["device"] == 3
    assert np.abs(np.fft.rfft(heard[800:].astype(float))).argmax() == 100


async def test_a_microphone_that_is_unplugged_says_so() -> None:
    device = FakeDevice()
    source = await open_microphone(None, 8000, open_stream=device.open)
    device.running = False

    with pytest.raises(ListenctlError, match="microphone: stopped delivering"):
        await source.read(160)
    await source.close()


async def test_a_microphone_that_cant_be_opened_says_what_to_do() -> None:
    device = FakeDevice(refuses=[8000, None])

    with pytest.raises(ListenctlError, match=r"microphone USB: can't be opened: Invalid sample rate .*; name one"):
        await open_microphone("USB", 8000, open_stream=device.open)


async def test_a_microphone_that_wont_start_is_closed() -> None:
    device = FakeDevice(start_error=load_sounddevice().PortAudioError("Device unavailable", -9985))

    with pytest.raises(ListenctlError, match="microphone: can't be started: Device unavailable; check"):
        await open_microphone(None, 8000, open_stream=device.open)
    assert device.closed


async def test_a_microphone_that_isnt_there_is_refused_by_portaudio_itself() -> None:
    with pytest.raises(ListenctlError, match="microphone no such thing: can't be opened: No input device matching"):
        await open_source("mic:no such thing", 8000)
