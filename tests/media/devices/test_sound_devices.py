import sys

import numpy as np
import pytest

from listenctl.errors import ListenctlError
from listenctl.media.devices.microphone import open_microphone
from listenctl.media.devices.sound_devices import DeviceBuffer, load_sounddevice, open_device
from listenctl.media.sources.audio_sources import open_source
from tests.helpers.devices import FakeDevice

RAMP = np.arange(1, 8001, dtype="<i2").tobytes()


def test_the_buffer_begins_when_there_is_enough_not_to_crackle() -> None:
    buffer = DeviceBuffer(8000)

    buffer.add_audio(RAMP[:638])
    early = buffer.take_audio(160)
    buffer.add_audio(RAMP[638:640])

    assert early == bytes(320)
    assert buffer.take_audio(160) == RAMP[:320]
    assert buffer.take_audio(160) == RAMP[320:640]


def test_the_buffer_gives_silence_when_it_runs_out_and_fills_again() -> None:
    buffer = DeviceBuffer(8000)
    buffer.add_audio(RAMP[:640])

    ends = buffer.take_audio(300) + buffer.take_audio(100)
    buffer.add_audio(RAMP[640:700])

    assert ends == RAMP[:640] + bytes(160)
    assert buffer.take_audio(10) == bytes(20)
    buffer.add_audio(RAMP[700:1280])
    assert buffer.take_audio(320) == RAMP[640:1280]


def test_the_buffer_drops_the_oldest_beyond_200_ms() -> None:
    buffer = DeviceBuffer(8000)

    for at in range(0, 16000, 320):
        buffer.add_audio(RAMP[at : at + 320])

    assert buffer.take_audio(1600) == RAMP[-3200:]


def test_the_buffer_serves_requests_larger_than_its_cushion() -> None:
    buffer = DeviceBuffer(8000)
    buffer.add_audio(RAMP[:1600])

    assert buffer.take_audio(1000) == bytes(2000)
    buffer.add_audio(RAMP[1600:2000])
    assert buffer.take_audio(1000) == RAMP[:2000]


def test_the_buffer_gives_all_it_can_hold_to_a_request_for_more() -> None:
    buffer = DeviceBuffer(8000)
    buffer.add_audio(RAMP[:3200])

    assert buffer.take_audio(2000) == RAMP[:3200] + bytes(800)


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


def test_a_missing_portaudio_is_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    class Missing:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "sounddevice":
                raise OSError("PortAudio library not found")

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])

    with pytest.raises(ListenctlError, match="PortAudio library, which is missing; install it"):
        load_sounddevice()


def test_the_choice_of_the_system_is_no_name() -> None:
    device = FakeDevice()

    open_device("speaker", device.open, None, 8000, callback=None)

    assert device.asked[0]["device"] is None
