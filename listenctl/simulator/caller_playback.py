"""What the caller of a simulated call hears, on a loudspeaker of this machine."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from listenctl.media.devices.mixer import CallMixer, ChannelChoice, single_call_gains
from listenctl.media.devices.playback_device import DEVICE_RETRY_EVERY, PlaybackDevice, PlaybackState
from listenctl.media.devices.sound_devices import OpenDeviceStream
from listenctl.protocol.audio import AudioFormat

_CALL = "heard"


class CallerPlayback:
    """
    Play audio while it comes; the call doesn't wait for the device, and goes on without one that goes away.

    Args:
        device: its number or a part of its name; None is the system's choice.
        on_change: told when sound begins, and why there is none.
        shares: whether the call has another device, as a microphone, that looking for new ones would stop.
    """

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
            self._mixer, device, on_change, look_again=not shares, open_stream=open_stream, retry_every=retry_every
        )
        self._playing: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """
        Open the device.

        Raises:
            ListenctlError: PortAudio or the device is missing, or it can't be used.
        """
        await self._player.open()
        self._mixer.set_calls({_CALL: (self._format, single_call_gains(1, ChannelChoice.BOTH))})
        self._playing = asyncio.create_task(self._player.run())

    def play(self, pcm: bytes) -> None:
        """Play 16-bit samples after those before."""
        self._mixer.add_audio(_CALL, pcm)

    async def close(self) -> None:
        """Let go of the device."""
        if self._playing is not None:
            self._playing.cancel()
            with suppress(asyncio.CancelledError):
                await self._playing
        await self._player.close()
        self._mixer.remove_calls()
