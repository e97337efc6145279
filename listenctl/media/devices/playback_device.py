"""Play sound on a device that may be missing or disappear; a call to it can hang, so a daemon thread makes it."""

import asyncio
import atexit
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from typing import TypeVar

from listenctl.background_task import in_daemon_thread, log_failure
from listenctl.errors import ListenctlError
from listenctl.media.devices.mixer import CallMixer
from listenctl.media.devices.sound_devices import (
    DeviceStream,
    MissingPortAudio,
    OpenDeviceStream,
    check_output_device,
    is_running,
    load_sounddevice,
    open_device,
    start_device,
)
from listenctl.media.resampling import to_pcm

T = TypeVar("T")

DEVICE_RETRY_EVERY = 2.0
PATIENCE = 5.0
"""Seconds after which a device is reported as not answering."""

_WHAT = "speaker"
# Seconds that the device buffers: with less, PulseAudio crackles; with more, sound is late.
_LATENCY = 0.05
_CLOSE_LIMIT = 2.0
# A PulseAudio sink that was suspended can take two seconds to start.
_STALLED = 3.0
_CHECK_EVERY = 0.1
# Seconds without a callback after which the device is taken to have paused.
_PAUSED = 0.15
# Seconds of sound that no device takes without playing it.
_PROOF = 0.3


@dataclass(frozen=True, slots=True)
class PlaybackState:
    """Whether there is sound; ``text`` says since when, or why not."""

    playing: bool
    text: str

    @property
    def rule(self) -> str:
        return "sound-back" if self.playing else "no-sound"


class PlaybackDevice:
    """Play the sound of a mixer; without a device, keep trying. ``rescan`` stops other devices of this process."""

    def __init__(
        self,
        mixer: CallMixer,
        device: str | None,
        on_change: Callable[[PlaybackState], None],
        *,
        rescan: bool = True,
        open_stream: OpenDeviceStream | None = None,
        retry_every: float = DEVICE_RETRY_EVERY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._mixer = mixer
        self._device = device
        self._on_change = on_change  # called when sound begins, and with the reason when there is none
        self._rescans = rescan and open_stream is None
        self._open_stream = open_stream
        self._retry_every = retry_every
        self._stream: DeviceStream | None = None
        # Until it is done, a thread may be opening or closing a stream that nobody waits for.
        self._closing: asyncio.Future[DeviceStream] | asyncio.Future[None] | None = None
        self._in_use = asyncio.Lock()
        self._channels = 2
        self._played_samples = 0
        self._clock = clock
        self._called_at = -inf
        self._tried = False
        self._reported: PlaybackState | None = None

    async def open(self) -> None:
        """Open the device now, so that errors can be reported; ``run`` then plays."""
        try:
            self._stream = await self._wait_for(in_daemon_thread(self._open, "sound"))
        except asyncio.CancelledError:
            await self.close()
            raise

    async def run(self) -> None:
        """Play until cancelled, or until playback can never work; waits for an earlier run that is still closing."""
        async with self._in_use:
            try:
                again = True
                while again:
                    again = await self._try_once()
                    await asyncio.sleep(self._retry_every if again else 0)
            finally:
                await self.close()

    async def play(self) -> None:
        """Play like ``run``; a fault of the device or of its driver is reported, and ends nothing else."""
        failed = PlaybackState(False, f"no sound: {_WHAT}: failed unexpectedly")
        await log_failure(self.run, "playback", lambda: self._report(failed))

    async def _try_once(self) -> bool:
        try:
            if self._stream is None:
                self._stream = await self._wait_for(in_daemon_thread(self._open, "sound"))
        except ListenctlError as exc:
            self._report(PlaybackState(False, f"no sound: {exc}"))
            return not isinstance(exc, MissingPortAudio)
        await self._until_stopped(self._stream)
        self._report(PlaybackState(False, f"no sound: {_WHAT}: stopped playing; trying again every few seconds"))
        await self.close()
        return True

    async def _wait_for(self, opening: "asyncio.Future[DeviceStream]") -> DeviceStream:
        try:
            done, _ = await asyncio.wait([opening], timeout=PATIENCE)
            if not done:
                self._report(PlaybackState(False, f"no sound: {_WHAT}: doesn't answer; still waiting"))
                await asyncio.wait([opening])
            return opening.result()
        except asyncio.CancelledError:
            # Python can't exit in the middle of an import or a callback.
            done, _ = await asyncio.wait([opening], timeout=_CLOSE_LIMIT)
            if not done:
                _skip_exit_handler()
                self._closing = opening
                opening.add_done_callback(self._close_late_stream)
            elif opening.exception() is None:
                self._stream = opening.result()
            raise

    def _close_late_stream(self, opening: "asyncio.Future[DeviceStream]") -> None:
        if opening.exception() is None:
            self._closing = in_daemon_thread(opening.result().close, "sound")

    async def _until_stopped(self, stream: DeviceStream) -> None:
        loop = asyncio.get_running_loop()
        begin = played = self._played_samples
        since = loop.time()
        while loop.time() - since < _STALLED and is_running(stream):
            if self._played_samples != played:
                played, since = self._played_samples, loop.time()
            if played - begin > _PROOF * self._mixer.sample_rate:
                self._report(PlaybackState(True, f"{_WHAT}: sound is back" if self._reported else ""))
            await asyncio.sleep(_CHECK_EVERY)

    async def close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is None:
            return
        self._closing = in_daemon_thread(stream.close, "sound")
        done, _ = await asyncio.wait([self._closing], timeout=_CLOSE_LIMIT)
        if not done:
            _skip_exit_handler()

    def _open(self) -> DeviceStream:
        # A rescan closes every device; PortAudio crashes or hangs if another thread is doing so.
        closing = self._closing is not None and not self._closing.done()
        if self._tried and self._rescans and not closing:
            _rescan_devices()
        self._tried = True
        opener = self._open_stream or load_sounddevice().RawOutputStream
        stream = self._open_with_channels(opener)
        if (rate := round(stream.samplerate)) != self._mixer.sample_rate:
            self._mixer.change_sample_rate(rate)
        start_device(_WHAT, stream)
        return stream

    def _open_with_channels(self, opener: OpenDeviceStream) -> DeviceStream:
        errors: list[ListenctlError] = []
        for self._channels in (2, 1):
            try:
                return open_device(
                    _WHAT,
                    opener,
                    self._device,
                    self._mixer.sample_rate,
                    channels=self._channels,
                    latency=_LATENCY,
                    callback=self._fill,
                )
            except ListenctlError as exc:
                errors.append(exc)
        if self._device and self._open_stream is None:
            check_output_device(_WHAT, self._device)
        raise errors[0]

    def _fill(self, outdata: bytearray, frames: int, time: object, status: object) -> None:  # noqa: ARG002
        self._played_samples += frames
        now = self._clock()
        # A sink takes a while to start or resume, and audio arrives meanwhile.
        if now - self._called_at > _PAUSED:
            self._mixer.skip_backlog()
        self._called_at = now
        sound = self._mixer.take_frames(frames)
        outdata[:] = to_pcm(sound if self._channels == 2 else sound.mean(axis=1))

    def _report(self, state: PlaybackState) -> None:
        if self._reported is None or (
            state.text != self._reported.text and not (state.playing and self._reported.playing)
        ):
            self._reported = state
            self._on_change(state)


def _rescan_devices() -> None:
    """Make PortAudio list the devices again, which it does only when it is initialised."""
    sound = load_sounddevice()
    with suppress(sound.PortAudioError):
        sound._terminate()  # noqa: SLF001 - there is no public way
    with suppress(sound.PortAudioError):
        sound._initialize()  # noqa: SLF001


def _skip_exit_handler() -> None:
    """Let the process exit without PortAudio's exit handler, which would wait for a device that hangs."""
    # Not ``load_sounddevice()``, which would wait for an import that hangs; until that ends, there is no handler.
    if handler := getattr(sys.modules.get("sounddevice"), "_exit_handler", None):
        atexit.unregister(handler)
