"""Sound devices without a sound card: one run by hand, and PulseAudio with a sink that leads nowhere."""

import asyncio
import contextlib
import signal
import subprocess
import threading
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.helpers.cli import Service, environment, service
from tests.helpers.server import LIMIT, until
from tests.helpers.simulated_calls import Pcm

RATE = 48000
_ASOUNDRC = "pcm.!default { type pulse }\nctl.!default { type pulse }\n"
_MODULES = ["-L", "module-null-sink sink_name=null", "-L", "module-native-protocol-unix"]


@dataclass(slots=True)
class SoundSystem:
    """PulseAudio below a folder, which is HOME and XDG_RUNTIME_DIR of whatever uses it."""

    folder: Path
    process: Process | None = None

    @property
    def env(self) -> dict[str, str]:
        return environment(self.folder, {"LANG": "C.UTF-8", "TERM": "dumb"})

    def prepare(self) -> None:
        """Lead ALSA, which PortAudio uses, to PulseAudio."""
        (self.folder / ".asoundrc").write_text(_ASOUNDRC)
        self.folder.chmod(0o700)

    async def start(self) -> None:
        """Start it and wait until it answers."""
        command = ["pulseaudio", "--daemonize=no", "--exit-idle-time=-1", "-n", *_MODULES]
        self.process = await asyncio.create_subprocess_exec(
            *command, env=self.env, cwd=self.folder, stdout=DEVNULL, stderr=DEVNULL
        )
        await until(lambda: self.ask("info").returncode == 0)
        # What the sink plays is what a microphone hears.
        assert self.ask("set-default-source", "null.monitor").returncode == 0

    def command(self, *arguments: str) -> AbstractAsyncContextManager[Service]:
        return service(*arguments, home=self.folder, env=self.env)

    def ask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["pactl", *arguments], env=self.env, capture_output=True, text=True, timeout=LIMIT, check=False
        )

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    async def kill(self) -> None:
        """Have it die without a word."""
        if self.process is not None and self.process.returncode is None:
            self.signal(signal.SIGCONT)
            self.process.kill()
            await self.process.wait()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Listener"]:
        """Hear what the sink plays, from now on."""
        parec = ["parec", "-d", "null.monitor", "--format=s16le", f"--rate={RATE}", "--channels=2", "--latency-msec=10"]
        process = await asyncio.create_subprocess_exec(*parec, env=self.env, stdout=PIPE, stderr=DEVNULL)
        assert process.stdout is not None
        listener = Listener()
        hearing = asyncio.create_task(listener.hear(process.stdout))
        await listener.heard(0.1)
        try:
            yield listener
        finally:
            hearing.cancel()
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await asyncio.wait([hearing])
            await process.communicate()


@dataclass(slots=True)
class Listener:
    """What was heard: stereo at ``RATE``. Each look copies only what it needs, so that a busy machine keeps up."""

    _pcm: bytearray = field(default_factory=bytearray)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _ended: bool = False

    async def hear(self, stream: asyncio.StreamReader) -> None:
        while piece := await stream.read(65536):
            self._pcm += piece
            self._changed.set()
        self._ended = True
        self._changed.set()

    @property
    def sound(self) -> Pcm:
        """A row for each sample, left and right."""
        return self._since(0)

    async def heard(self, seconds: float) -> None:
        """Wait until so much more was heard."""
        wanted = self._samples + seconds * RATE
        while self._samples < wanted:
            await self._next()

    async def silent(self) -> None:
        """Wait for half a second of silence, after which nothing of an earlier sound is on its way."""
        await self.heard(0.5)
        while self._since(self._samples - RATE // 2).any():
            await self.heard(0.1)

    async def loud(self) -> None:
        seen = self._samples
        while True:
            new = self._since(seen)
            if (np.abs(new.astype(int)) > 300).any():
                return
            seen += len(new)
            await self._next()

    async def tones(self, left: Mapping[int, float], right: Mapping[int, float]) -> None:
        """Wait for half a second that consists of tones with these amplitudes, by their frequency."""
        await self.heard(0.5)
        while True:
            latest = self._since(self._samples - RATE // 2)
            if all(consists_of(latest[:, side], wanted) for side, wanted in enumerate((left, right))):
                return
            await self.heard(0.1)

    @property
    def _samples(self) -> int:
        return len(self._pcm) // 4

    def _since(self, sample: int) -> Pcm:
        return np.frombuffer(bytes(self._pcm[4 * sample : 4 * self._samples]), "<i2").reshape(-1, 2)

    async def _next(self) -> None:
        assert not self._ended, "PulseAudio, or the program that listens to it, has ended"
        self._changed.clear()
        await self._changed.wait()


@asynccontextmanager
async def sound_system(folder: Path) -> AsyncIterator[SoundSystem]:
    system = SoundSystem(folder)
    system.prepare()
    await system.start()
    try:
        yield system
    finally:
        await system.kill()


def tone(frequency: float, seconds: float, rate: int, level: float = 0.25) -> Pcm:
    wave = level * 32767 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)
    return wave.astype(np.int16)


def loudness(sound: Pcm) -> float:
    return float(np.sqrt((sound.astype(float) ** 2).mean()) / 32768)


def share_of(sound: Pcm, frequency: float, rate: int = RATE) -> float:
    """Return the amplitude of one frequency in a sound, of which 1 is full scale."""
    window = np.hanning(len(sound))
    turns = np.exp(-2j * np.pi * frequency * np.arange(len(sound)) / rate)
    return float(2 * np.abs((sound * window * turns).sum()) / window.sum() / 32768)


def consists_of(sound: Pcm, tones: Mapping[int, float], rate: int = RATE) -> bool:
    """Return whether a sound consists of tones with these amplitudes, by their frequency, and nothing else."""
    wanted = [*tones.values(), (sum(level**2 for level in tones.values()) / 2) ** 0.5]
    shares = [share_of(sound, frequency, rate) for frequency in tones]
    return bool(np.allclose([*shares, loudness(sound)], wanted, rtol=0.05, atol=0.002))


Callback = Callable[[object, int, object, object], None]


@dataclass
class FakeDevice:
    """
    Opens one stream, as ``sounddevice`` does, and calls back when the test says so.

    Args:
        rate: that it runs at when not told otherwise.
        refuses: the rates that it can't run at; None is its own.
        refuses_channels: how many channels it can't have.
        hangs: until ``released``, while ``opening`` or ``closing``.
    """

    rate: float = 48000.0
    refuses: Sequence[int | None] = ()
    asked: list[dict[str, object]] = field(default_factory=list)
    running: bool = False
    closing: bool = False
    closed: bool = False
    start_error: Exception | None = None
    refuses_channels: Sequence[int] = ()
    hangs: str = ""
    released: threading.Event = field(default_factory=threading.Event)

    def open(self, *, samplerate: int | None, callback: Callback, **options: object) -> "FakeDevice":
        self.asked.append({"samplerate": samplerate, **options})
        if self.hangs == "opening":
            self.released.wait()
        if samplerate in self.refuses or options["channels"] in self.refuses_channels:
            raise ValueError("Invalid sample rate [PaErrorCode -9997]")
        self.rate = samplerate or self.rate
        self._callback = callback
        return self

    @property
    def active(self) -> bool:
        return self.running

    @property
    def samplerate(self) -> float:
        return self.rate

    def start(self) -> None:
        if self.start_error:
            raise self.start_error
        self.running = True

    def close(self) -> None:
        self.closing = True
        if self.hangs == "closing":
            self.released.wait()
        self.running = False
        self.closed = True

    def hear(self, pcm: bytes) -> None:
        self._callback(memoryview(pcm), len(pcm) // 2, None, None)

    def play(self, samples: int) -> bytes:
        """Return what a loudspeaker is given next."""
        heard = bytearray(2 * samples)
        self._callback(memoryview(heard), samples, None, None)
        return bytes(heard)

    def play_stereo(self, samples: int) -> bytes:
        """Return what a loudspeaker with two channels is given next."""
        heard = bytearray(4 * samples)
        self._callback(memoryview(heard), samples, None, None)
        return bytes(heard)
