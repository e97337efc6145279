import sys

import numpy as np
import pytest

from listenctl.errors import ListenctlError
from listenctl.media.devices.sound_devices import DeviceBuffer, load_sounddevice

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


def test_the_buffer_drops_the_oldest_beyond_200_ms_and_ends_in_silence() -> None:
    buffer = DeviceBuffer(8000)

    for at in range(0, 16000, 320):
        buffer.add_audio(RAMP[at : at + 320])

    assert buffer.take_audio(2000) == RAMP[-3200:] + bytes(800)


def test_the_buffer_serves_requests_larger_than_its_cushion() -> None:
    buffer = DeviceBuffer(8000)
    buffer.add_audio(RAMP[:1600])

    assert buffer.take_audio(1000) == bytes(2000)
    buffer.add_audio(RAMP[1600:2000])
    assert buffer.take_audio(1000) == RAMP[:2000]


def test_a_missing_portaudio_is_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    class Missing:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "sounddevice":
                raise OSError("PortAudio library not found")

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])

    with pytest.raises(ListenctlError, match="PortAudio library, which is missing; install it"):
        load_sounddevice()
