"""A microphone as an audio source."""

import asyncio

from listenctl.errors import ListenctlError
from listenctl.media.devices.sound_devices import (
    DeviceBuffer,
    DeviceStream,
    OpenDeviceStream,
    is_running,
    load_sounddevice,
    open_device,
    start_device,
)
from listenctl.media.resampling import PromptResampler
from listenctl.protocol.audio import Resampler

_WHAT = "microphone"


async def open_microphone(
    device: str | None, sample_rate: int, *, open_stream: OpenDeviceStream | None = None
) -> "MicrophoneSource":
    """Open a microphone by its number or a part of its name; None is the system's default."""
    # PortAudio takes a noticeable time to open a device.
    return await asyncio.to_thread(MicrophoneSource, device, sample_rate, open_stream)


class MicrophoneSource:
    def __init__(self, device: str | None, sample_rate: int, open_stream: OpenDeviceStream | None = None) -> None:
        self._buffer = DeviceBuffer(sample_rate)
        self._resampler: Resampler | None = None
        opener = open_stream or load_sounddevice().RawInputStream
        self._stream: DeviceStream = open_device(_WHAT, opener, device, sample_rate, callback=self._on_audio)
        if (rate := round(self._stream.samplerate)) != sample_rate:
            self._resampler = PromptResampler(rate, sample_rate)
        start_device(_WHAT, self._stream)

    async def read(self, samples: int) -> bytes:
        if not is_running(self._stream):
            raise ListenctlError(f"{_WHAT}: stopped delivering audio; check whether it is still plugged in")
        return self._buffer.take_audio(samples)

    async def close(self) -> None:
        await asyncio.to_thread(self._stream.close)

    def _on_audio(self, indata: bytes, frames: int, time: object, status: object) -> None:  # noqa: ARG002
        pcm = bytes(indata)
        self._buffer.add_audio(self._resampler(pcm) if self._resampler else pcm)
