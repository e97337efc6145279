"""Playback of what a simulated caller hears, on a loudspeaker of this machine."""

from collections.abc import Callable
from contextlib import AsyncExitStack

from listenctl.background_task import background_task
from listenctl.media.devices.mixer import CallMixer, ChannelChoice, single_call_gains
from listenctl.media.devices.playback_device import DEVICE_RETRY_EVERY, PlaybackDevice, PlaybackState
from listenctl.media.devices.sound_devices import OpenDeviceStream
from listenctl.protocol.audio import AudioFormat

_CALL = "heard"


class CallerPlayback:
    """Play audio as it arrives. With ``shares`` there is no search for devices, which would stop a microphone."""

    def __init__(
        self,
        sample_rate: int,
        device: str | None,
        on_change: Callable[[PlaybackState], None],
        *,
        shares: bool = False,
        open_stream: OpenDeviceStream | None = None,
        retry_every: float = DEVICE_RETRY_EVERY,
    ) -> None:
        self._format = AudioFormat(sample_rate, 1)
        self._mixer = CallMixer()
        self._player = PlaybackDevice(
            self._mixer, device, on_change, rescan=not shares, open_stream=open_stream, retry_every=retry_every
        )
        self._playing = AsyncExitStack()

    async def open(self) -> None:
        """Open the device; the task that opens it must also close it."""
        await self._player.open()
        self._mixer.set_calls({_CALL: (self._format, single_call_gains(1, ChannelChoice.BOTH))})
        await self._playing.enter_async_context(background_task(self._player.play()))

    def add_audio(self, pcm: bytes) -> None:
        self._mixer.add_audio(_CALL, pcm)

    async def close(self) -> None:
        await self._playing.aclose()
        await self._player.close()
        self._mixer.remove_calls()
