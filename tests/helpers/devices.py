"""A sound device that a test runs by hand, in place of PortAudio's."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

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
        if self.hangs == "closing":
            self.released.wait()
        self.running = False
        self.closed = True

    def hear(self, pcm: bytes) -> None:
        """Deliver what a microphone heard."""
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
