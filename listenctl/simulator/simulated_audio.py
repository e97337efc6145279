"""The audio of a simulated call: what the caller says and hears, and what jambonz sends (listenctl-protocol(7) 3.1)."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Self

from listenctl.media.devices.playback_device import PlaybackState
from listenctl.media.files.audio_writer import StereoRecording
from listenctl.media.pacing import Pacer
from listenctl.media.resampling import PromptResampler
from listenctl.media.sources.audio_sources import AudioSource, has_second_channel, mix_parties, open_source
from listenctl.media.sources.tones import beep, dtmf_tones
from listenctl.protocol.audio import SAMPLE_BYTES, add_wrapping
from listenctl.protocol.jambonz_model.playout import Playout, PlayoutTick
from listenctl.simulator.caller_playback import CallerPlayback
from listenctl.simulator.plan import CallPlan


@dataclass(frozen=True, slots=True)
class CallFrame:
    """One frame of a call; ``caller`` and ``heard`` have one channel each, at the rate of ``sent``."""

    sent: bytes
    caller: bytes
    heard: bytes
    ticks: tuple[PlayoutTick, ...]
    over: bool  # the caller's audio has ended; the frame is silence


class SimulatedAudio:
    def __init__(
        self, plan: CallPlan, playout: Playout, sources: list[AudioSource], on_sound: Callable[[PlaybackState], None]
    ) -> None:
        self._plan = plan
        self._playout = playout
        self._sources = sources
        self._closing = AsyncExitStack()
        self._rate = plan.verb.sample_rate
        self._resample = PromptResampler(plan.call_rate, self._rate) if plan.call_rate != self._rate else None
        self._played = bytearray()
        self._tones = b""
        self._heard_file = None if plan.heard is None else StereoRecording(plan.heard, self._rate)
        self._playback: CallerPlayback | None = None
        if plan.speaker is not None:
            self._playback = CallerPlayback(self._rate, plan.speaker or None, on_sound, shares=plan.has_microphone)

    @classmethod
    async def open(cls, plan: CallPlan, playout: Playout, on_sound: Callable[[PlaybackState], None]) -> Self:
        async with AsyncExitStack() as closing:
            sources = []
            for spec, channel in _source_specs(plan):
                source = await open_source(spec, plan.verb.sample_rate, loop=plan.loop, channel=channel)
                closing.push_async_callback(source.close)
                sources.append(source)
            audio = cls(plan, playout, sources, on_sound)
            if audio._playback is not None:
                await audio._playback.open()
            audio._closing = closing.pop_all()
        return audio

    async def play_beep(self) -> None:
        """Play the beep of ``playBeep`` to the caller and wait for its end; nothing is sent of it."""
        sound = beep(self._rate)
        pacer = Pacer(self._rate)
        size = round(self._plan.ptime * self._rate) * SAMPLE_BYTES
        # All at once would be more than a loudspeaker buffers.
        for at in range(0, len(sound), size):
            frame = sound[at : at + size]
            await pacer.wait_for_chunk(len(frame) // SAMPLE_BYTES)
            self._play_to_caller(bytes(len(frame)), frame)
        await pacer.wait_for_chunk(0)

    def add_dtmf_tones(self, digit: str, duration: float) -> None:
        self._tones += dtmf_tones(digit, self._rate, tone=duration, gap=0.0)

    async def next_frame(self, samples: int) -> CallFrame:
        size = samples * SAMPLE_BYTES
        caller, *others = [await source.read(samples) for source in self._sources]
        over = not caller and not self._tones
        caller = self._with_tones(caller.ljust(size, b"\0"))
        callee = (others[0] if others else b"").ljust(size, b"\0")
        ticks = tuple(self._play_ticks(size))
        played = bytes(self._played[:size])
        del self._played[:size]
        if self._playout.streams:
            right, heard = callee, add_wrapping(callee, played)
        else:
            right = heard = played if played.strip(b"\0") else callee
        self._play_to_caller(caller, heard)
        return CallFrame(mix_parties(self._plan.verb.mix_type, caller, right), caller, heard, ticks, over)

    async def close(self) -> None:
        await self._closing.aclose()
        if self._playback is not None:
            await self._playback.close()
        if self._heard_file is not None:
            await self._heard_file.close()

    def _play_ticks(self, size: int) -> list[PlayoutTick]:
        """Play ticks until there is enough for a frame; the rest of the last tick is kept for the next frame."""
        ticks = []
        while len(self._played) < size:
            tick = self._playout.play_tick()
            self._played += self._resample(tick.audio) if self._resample else tick.audio
            ticks.append(tick)
        return ticks

    def _with_tones(self, caller: bytes) -> bytes:
        if not self._tones:
            return caller
        tones, self._tones = self._tones[: len(caller)], self._tones[len(caller) :]
        return mix_parties("mixed", caller, tones.ljust(len(caller), b"\0"))

    def _play_to_caller(self, caller: bytes, heard: bytes) -> None:
        if self._heard_file is not None:
            self._heard_file.add_audio(caller, heard)
        if self._playback is not None:
            self._playback.add_audio(heard)


def _source_specs(plan: CallPlan) -> list[tuple[str, int]]:
    """Return what to open, and which channel of it; the callee can be the second channel of the caller's file."""
    if plan.callee is not None:
        return [(plan.caller, 0), (plan.callee, 0)]
    if plan.verb.mix_type != "mono" and has_second_channel(plan.caller):
        return [(plan.caller, 0), (plan.caller, 1)]
    return [(plan.caller, 0)]
