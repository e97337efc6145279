"""
Sound on a device that may be missing, stall or go away while we run.

Whatever asks a device can hang with it, so that happens in threads that nobody has to wait for at the end.
"""

import asyncio
import atexit
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from typing import TypeVar

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
"""Seconds after which a device doesn't answer any more."""

_WHAT = "speaker"
# Seconds that the device keeps: with less PulseAudio crackles, and with more sound is late.
_LATENCY = 0.05
_FAREWELL = 2.0
# A sink of PulseAudio that has slept can take two seconds to begin.
_STALLED = 3.0
_CHECK_EVERY = 0.1
# Seconds without a call back after which a device has stood still.
_STOOD = 0.15
# Seconds of sound that no device takes without playing it.
_PLAYS = 0.3


@dataclass(frozen=True, slots=True)
class PlaybackState:
    """Whether there is sound; ``text`` says since when, or why not, in one sentence."""

    playing: bool
    text: str

    @property
    def rule(self) -> str:
        """The name of the warning that it makes (`listenctl-events(5)`)."""
        return "sound-back" if self.playing else "no-sound"


class PlaybackDevice:
    """
    Play what a mixer gives; where no device plays it, look for one again and again.

    Args:
        device: its number or a part of its name; None is the system's choice.
        on_change: told when sound begins, and why there is none.
        look_again: whether to look for devices that are new, which stops every other device of this process.
        clock: in seconds.
    """

    def __init__(
        self,
        mixer: CallMixer,
        device: str | None,
        on_change: Callable[[PlaybackState], None],
        *,
        look_again: bool = True,
        open_stream: OpenDeviceStream | None = None,
        retry_every: float = DEVICE_RETRY_EVERY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._mixer = mixer
        self._device = device
        self._on_change = on_change
        self._looks_again = look_again and open_stream is None
        self._open_stream = open_stream
        self._retry_every = retry_every
        self._stream: DeviceStream | None = None
        self._channels = 2
        self._asked = 0
        self._clock = clock
        self._asked_at = -inf
        self._tried = False
        self._said: PlaybackState | None = None

    async def open(self) -> None:
        """
        Begin to play, where it matters whether that goes; ``run`` goes on.

        Raises:
            UsageError: none of the devices that are there has this name.
            ListenctlError: PortAudio or the device is missing, or it can't be used.
        """
        try:
            self._stream = await self._patiently(_in_thread(self._open))
        except asyncio.CancelledError:
            await self.close()
            raise

    async def run(self) -> None:
        """Play until cancelled, or until it is certain that nothing ever can."""
        try:
            again = True
            while again:
                again = await self._try_once()
                await asyncio.sleep(self._retry_every if again else 0)
        finally:
            await self.close()

    async def _try_once(self) -> bool:
        """Play as long as that goes; return whether to try again."""
        try:
            if self._stream is None:
                self._stream = await self._patiently(_in_thread(self._open))
        except ListenctlError as exc:
            self._say(PlaybackState(False, f"no sound: {exc}"))
            return not isinstance(exc, MissingPortAudio)
        await self._until_stopped(self._stream)
        self._say(PlaybackState(False, f"no sound: {_WHAT}: stopped playing; it is tried again every few seconds"))
        await self.close()
        return True

    async def _patiently(self, opening: "asyncio.Future[DeviceStream]") -> DeviceStream:
        """Wait for a device, however long it takes, but say so when that is long."""
        try:
            done, _ = await asyncio.wait([opening], timeout=PATIENCE)
            if not done:
                self._say(PlaybackState(False, f"no sound: {_WHAT}: doesn't answer; it is waited for"))
                await asyncio.wait([opening])
            return opening.result()
        except asyncio.CancelledError:
            # Python can't end in the middle of an import or a call back.
            done, _ = await asyncio.wait([opening], timeout=_FAREWELL)
            if not done:
                _leave_at_once()
            elif opening.exception() is None:
                self._stream = opening.result()
            raise

    async def _until_stopped(self, stream: DeviceStream) -> None:
        loop = asyncio.get_running_loop()
        begin = asked = self._asked
        since = loop.time()
        while loop.time() - since < _STALLED and is_running(stream):
            if self._asked != asked:
                asked, since = self._asked, loop.time()
            if asked - begin > _PLAYS * self._mixer.sample_rate:
                self._say(PlaybackState(True, f"{_WHAT}: sound is back" if self._said else ""))
            await asyncio.sleep(_CHECK_EVERY)

    async def close(self) -> None:
        """Let go of the device, which the end of ``run`` does as well."""
        stream, self._stream = self._stream, None
        if stream is None:
            return
        done, _ = await asyncio.wait([_in_thread(stream.close)], timeout=_FAREWELL)
        if not done:
            _leave_at_once()

    def _open(self) -> DeviceStream:
        if self._tried and self._looks_again:
            _look_again()
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
        self._asked += frames
        now = self._clock()
        # A sink that begins, or wakes up, takes a while, and the call goes on meanwhile.
        if now - self._asked_at > _STOOD:
            self._mixer.skip_backlog()
        self._asked_at = now
        sound = self._mixer.take_frames(frames)
        outdata[:] = to_pcm(sound if self._channels == 2 else sound.mean(axis=1))

    def _say(self, state: PlaybackState) -> None:
        if self._said is None or (state.text != self._said.text and not (state.playing and self._said.playing)):
            self._said = state
            self._on_change(state)


def _look_again() -> None:
    """Have PortAudio look which devices there are now; it does so only when it begins."""
    sound = load_sounddevice()
    with suppress(sound.PortAudioError):
        sound._terminate()  # noqa: SLF001 - there is no public way
    with suppress(sound.PortAudioError):
        sound._initialize()  # noqa: SLF001


def _leave_at_once() -> None:
    """Have the process end without PortAudio's farewell, which waits for a device that hangs."""
    # Not ``library()``: that would wait for an import that hangs.
    if sound := sys.modules.get("sounddevice"):
        atexit.unregister(sound._exit_handler)  # noqa: SLF001 - there is no public way


def _in_thread(work: Callable[[], T]) -> "asyncio.Future[T]":
    """Run what may hang in a thread that doesn't keep us from ending, unlike those of the loop's own executor."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.cancelled():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type] # it is what work returned

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except Exception as exc:  # noqa: BLE001 - it is raised where the future is awaited
            error = exc
        with suppress(RuntimeError):  # The loop has ended meanwhile.
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="sound", daemon=True).start()
    return future
