"""``serve --monitor``: play all live calls on a sound device of the server's machine, side by side."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module

from listenctl.media.devices.mixer import CallMixer, ChannelChoice, stereo_gains
from listenctl.media.devices.playback_device import PlaybackDevice, PlaybackState
from listenctl.protocol.audio import AudioFormat
from listenctl.server.responders.call_responders import RespondedCall


class LocalMonitor:
    """
    Play the audio of all calls as it arrives; no call waits for the device, and none ends with it. The device, given by
    number or a part of its name, is open only while there are calls.
    """

    name = "monitor"
    wants_audio = True

    def __init__(self, device: str | None) -> None:
        self.on_change: Callable[[PlaybackState], None] = lambda _: None
        """Called when playback begins, and when it fails."""
        self._mixer = CallMixer()
        self._player = PlaybackDevice(self._mixer, device, self._report_change)
        self._playing: asyncio.Task[None] | None = None
        self._formats: dict[str, AudioFormat] = {}

    async def handle_call(self, call: RespondedCall) -> None:
        await asyncio.to_thread(_import_libraries)
        self._add_call(call)
        try:
            while True:
                message = await call.tool.receive()
                if isinstance(message, bytes):
                    self._play(call, message)
        finally:
            await self._remove_call(call)

    def _report_change(self, state: PlaybackState) -> None:
        self.on_change(state)

    def _add_call(self, call: RespondedCall) -> None:
        self._formats[call.log.id] = call.log.audio_format
        self._update_mixer()
        if self._playing is None:
            self._playing = call.tasks.create_task(self._player.play())

    async def _remove_call(self, call: RespondedCall) -> None:
        del self._formats[call.log.id]
        self._update_mixer()
        if not self._formats and self._playing is not None:
            playing, self._playing = self._playing, None
            playing.cancel()
            with suppress(asyncio.CancelledError):
                await playing
            if not self._formats:
                self._mixer.remove_calls()

    def _play(self, call: RespondedCall, pcm: bytes) -> None:
        # Late metadata may have changed the format (listenctl-protocol(7) 2).
        audio_format = call.log.audio_format
        if self._formats[call.log.id] != audio_format:
            self._formats[call.log.id] = audio_format
            self._update_mixer()
        self._mixer.add_audio(call.log.id, pcm[: len(pcm) - len(pcm) % audio_format.frame_bytes])

    def _update_mixer(self) -> None:
        gains = stereo_gains([one.channels for one in self._formats.values()], ChannelChoice.BOTH)
        self._mixer.set_calls(
            {call: (one, gain) for (call, one), gain in zip(self._formats.items(), gains, strict=True)}
        )


def _import_libraries() -> None:
    """Import what would block the event loop, and so all calls, when the first call is played."""
    for name in ("numpy", "soxr"):
        import_module(name)
