"""The sound of ``listenctl monitor``: mixed, played on a device, and saved."""

import asyncio
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from listenctl.commands.monitor.monitored_call import MonitoredCall
from listenctl.errors import CheckFailedError, ListenctlError, UsageError
from listenctl.media.channel_layout import ChannelLayout, ChannelMap
from listenctl.media.devices.mixer import DEVICE_RATE, CallMixer, ChannelChoice, stereo_gains
from listenctl.media.devices.playback_device import PlaybackDevice, PlaybackState
from listenctl.media.files.audio_writer import AudioWriter
from listenctl.media.resampling import to_pcm
from listenctl.protocol.audio import AudioFormat

if TYPE_CHECKING:
    from listenctl.commands.monitor.command import MonitorOptions

STDOUT = "-"

_MIXED = AudioFormat(DEVICE_RATE, 2)
_TICK = 0.02
# Audio that is later than this is skipped.
_MAX_LATE = DEVICE_RATE // 2
_CHOICES = tuple(ChannelChoice)


class MonitorSound:
    """The sound of a monitor."""

    def __init__(
        self, options: "MonitorOptions", print_message: Callable[[str], None], on_pipe_closed: Callable[[], None]
    ) -> None:
        self.channels = options.channel
        self.muted = options.mute
        self._options = options
        self._print_message = print_message  # called with a sentence about each change
        self._on_pipe_closed = on_pipe_closed  # called when the reader of stdout has closed the pipe
        self._loop = asyncio.get_running_loop()
        self._calls: Sequence[MonitoredCall] = ()
        self._mixer = CallMixer()
        self._mixer.muted = options.mute
        self._state = PlaybackState(False, "starting the sound")
        self._unmuted = asyncio.Event()
        if not options.mute:
            self._unmuted.set()
        self._saver: AudioWriter | None = None
        self._saved_call: ChannelMap | None = None
        self._saved_mix: CallMixer | None = None
        self._missing = 0.0  # seconds that the saved file lacks, as far as is known
        self._interrupted = False  # whether it lacks sound of unknown length

    @property
    def status(self) -> tuple[str, bool]:
        """A text about the sound, and whether it is playing."""
        if self.muted:
            return "muted", False
        if self._state.playing:
            return f"sound on {self._options.device or 'the default device'}", True
        return self._state.text, False

    async def play(self) -> None:
        """
        Play until cancelled; a muted monitor opens the device when it is unmuted. Raises UsageError if the named device
        doesn't exist, but others do.
        """
        player = PlaybackDevice(self._mixer, self._options.device, self._set_state)
        if self._unmuted.is_set() and self._options.device is not None:
            await _open(player)
        await self._unmuted.wait()
        await player.play()

    def save_call(self, audio_format: AudioFormat) -> None:
        """Save the unchanged samples of one call with --save; raises UsageError if the file can't be created."""
        if self._options.save is not None:
            layout = (
                ChannelLayout.AS_IS
                if self._options.channel is ChannelChoice.BOTH
                else ChannelLayout(self._options.channel.value)
            )
            self._saved_call = ChannelMap(layout, audio_format)
            self._save(self._options.save, self._saved_call.output_format)

    async def save_mix(self) -> None:
        """
        Save the mix of all calls in real time with --save, until cancelled; raises UsageError if the file exists or
        can't be created.
        """
        if self._options.save is None:
            return
        self._save(self._options.save, _MIXED)
        # Import numpy before the clock starts.
        await asyncio.to_thread(CallMixer().take_frames, 1)
        self._saved_mix = CallMixer()
        self._update_mixers()
        start, done = self._loop.time(), 0
        while True:
            await asyncio.sleep(_TICK)
            due = int((self._loop.time() - start) * DEVICE_RATE) - done
            done += due
            assert self._saver is not None
            self._saver.write_audio(to_pcm(self._saved_mix.take_frames(min(due, _MAX_LATE))))
            if due > _MAX_LATE:
                self._print_message(f"{due / DEVICE_RATE:.1f} s skipped, because this process was stopped or too slow")
                self.note_missing((due - _MAX_LATE) / DEVICE_RATE)
                await self._write_silence(self._saver, due - _MAX_LATE)

    async def _write_silence(self, saver: AudioWriter, samples: int) -> None:
        """Write silence for skipped audio, so that later audio keeps its position."""
        while samples > 0 and saver.error is None:
            piece = min(samples, DEVICE_RATE)
            samples -= piece
            saver.write_audio(bytes(piece * _MIXED.frame_bytes))
            # The process may have been stopped for hours.
            await asyncio.to_thread(saver.wait_until_written)

    def close(self) -> None:
        """Finish the saved file; this blocks. Raises CheckFailedError if a part of the sound isn't in it."""
        for mixer in (self._mixer, self._saved_mix):
            if mixer is not None:
                mixer.remove_calls()
        if self._saver is None:
            return
        self._saver.close()
        if self._missing or self._interrupted:
            missing = f"{self._missing:.1f} s of sound" if self._missing else "sound"
            raise CheckFailedError(
                f"{self._options.save}: {missing} is missing in it, because this computer was too slow"
                + (" and the connection to the server was interrupted" if self._interrupted else "")
            )

    def note_missing(self, seconds: float) -> None:
        """Remember that the saved file lacks sound."""
        self._missing += seconds

    def note_interruption(self) -> None:
        """Remember that the saved file lacks sound of unknown length."""
        self._interrupted = True

    def set_played_calls(self, calls: Sequence[MonitoredCall]) -> None:
        """Play these calls, from left to right."""
        self._calls = list(calls)
        self._update_mixers()

    def add_audio(self, call: str, pcm: bytes) -> None:
        self._mixer.add_audio(call, pcm)
        if self._saved_mix is not None:
            self._saved_mix.add_audio(call, pcm)
        elif self._saver is not None and self._saved_call is not None:
            self._saver.write_audio(self._saved_call.rearrange(pcm)[0])

    def toggle_mute(self) -> None:
        self.muted = self._mixer.muted = not self.muted
        self._unmuted.set()

    def choose_channels(self, channels: ChannelChoice) -> None:
        self.channels = channels
        self._update_mixers()

    def choose_next_channels(self) -> None:
        self.choose_channels(_CHOICES[(_CHOICES.index(self.channels) + 1) % len(_CHOICES)])

    def _update_mixers(self) -> None:
        gains = stereo_gains([call.format.channels for call in self._calls], self.channels)
        calls = {call.id: (call.format, gain) for call, gain in zip(self._calls, gains, strict=True)}
        for mixer in (self._mixer, self._saved_mix):
            if mixer is not None:
                mixer.set_calls(calls)

    def _save(self, target: str, audio_format: AudioFormat) -> None:
        if target != STDOUT:
            self._saver = AudioWriter.to_file(Path(target), audio_format, self._on_write_error)
            return
        self._saver = AudioWriter.to_pipe(sys.stdout.fileno(), self._on_write_error)
        channels = "one channel" if audio_format.channels == 1 else "two channels"
        self._print_message(f"stdout: 16-bit little-endian samples at {audio_format.sample_rate} Hz, {channels}")

    def _on_write_error(self, problem: OSError) -> None:
        with suppress(RuntimeError):  # The loop has ended already.
            self._loop.call_soon_threadsafe(self._report_write_error, problem)

    def _report_write_error(self, problem: OSError) -> None:
        if isinstance(problem, BrokenPipeError):
            self._on_pipe_closed()
        else:
            self._print_message(f"{self._options.save}: can't be written: {problem.strerror}; saving stopped")

    def _set_state(self, state: PlaybackState) -> None:
        self._state = state
        if state.text:
            self._print_message(state.text)


async def _open(player: PlaybackDevice) -> None:
    try:
        await player.open()
    except UsageError:
        raise
    except ListenctlError:
        pass  # The device may appear later. The player retries and reports the problem.
