"""What the caller hears, on a loudspeaker of this machine."""

import asyncio
from collections.abc import Callable

from listenctl.media.devices import OpenStream, RingBuffer, Stream, is_running, library, open_device, start_device
from listenctl.media.resampling import soxr_resampler
from listenctl.protocol.resampling import Resampler

_WHAT = "speaker"


class Speaker:
    """
    Play audio while it comes: silence where there is none, and what a slow device leaves waiting is dropped.

    Args:
        device: its number or a part of its name; None is the system's choice.
        on_error: told once, in one sentence, if the device fails while it plays; the call goes on.
    """

    def __init__(
        self,
        sample_rate: int,
        device: str | None = None,
        *,
        on_error: Callable[[str], None] | None = None,
        open_stream: OpenStream | None = None,
    ) -> None:
        self._sample_rate = sample_rate
        self._device = device
        self._on_error = on_error
        self._open_stream = open_stream
        self._buffer = RingBuffer(sample_rate)
        self._resampler: Resampler | None = None
        self._stream: Stream | None = None
        self._failed = False

    async def start(self) -> None:
        """
        Open the device.

        Raises:
            ListenctlError: PortAudio or the device is missing, or it can't be used.
        """
        # Opening takes PortAudio a noticeable time.
        self._stream = await asyncio.to_thread(self._open)

    def play(self, pcm: bytes) -> None:
        """Play 16-bit samples after those before."""
        if self._stream is None or self._failed:
            return
        if not is_running(self._stream):
            self._fail()
            return
        self._buffer.put(self._resampler(pcm) if self._resampler else pcm)

    async def close(self) -> None:
        """Let go of the device."""
        if self._stream:
            await asyncio.to_thread(self._stream.close)
            self._stream = None

    def _open(self) -> Stream:
        opener = self._open_stream or library().RawOutputStream
        stream = open_device(_WHAT, opener, self._device, self._sample_rate, callback=self._fill)
        if (rate := round(stream.samplerate)) != self._sample_rate:
            self._resampler = soxr_resampler(self._sample_rate, rate)
            self._buffer = RingBuffer(rate)
        start_device(_WHAT, stream)
        return stream

    def _fill(self, outdata: bytearray, frames: int, time: object, status: object) -> None:  # noqa: ARG002
        outdata[:] = self._buffer.take(frames)

    def _fail(self) -> None:
        self._failed = True
        if self._on_error:
            self._on_error(f"{_WHAT}: stopped playing; the call goes on without it")
