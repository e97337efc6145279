"""Open and list sound devices, and buffer audio between a device and the event loop."""

import ctypes
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from listenctl.errors import ListenctlError, UsageError
from listenctl.protocol.audio import SAMPLE_BYTES

# More would be heard as delay.
_LIMIT = 0.2
# Seconds that are buffered before playback begins or resumes; with less, the sound crackles.
_CUSHION = 0.04
_MAX_NAMED = 8


class DeviceStream(Protocol):
    @property
    def active(self) -> bool:
        """Whether the device calls back."""

    @property
    def samplerate(self) -> float:
        """The rate at which it runs."""

    def start(self) -> None:
        """Begin to call back, in a thread of the device."""

    def close(self) -> None:
        """Stop, and drop what is buffered."""


OpenDeviceStream = Callable[..., DeviceStream]
"""``sounddevice.RawInputStream`` or ``RawOutputStream``, or a fake."""


class DeviceBuffer:
    """Buffer audio between a device and the loop, whose clocks differ: surplus is dropped, gaps become silence."""

    def __init__(self, sample_rate: int) -> None:
        self._limit = round(_LIMIT * sample_rate) * SAMPLE_BYTES
        self._cushion = round(_CUSHION * sample_rate) * SAMPLE_BYTES
        self._lock = threading.Lock()
        self._pcm = bytearray()
        self._filling = True

    def add_audio(self, pcm: bytes) -> None:
        """Add audio; beyond the limit, the oldest is dropped."""
        with self._lock:
            self._pcm += pcm
            if len(self._pcm) > self._limit:
                del self._pcm[: len(self._pcm) - self._limit]

    def take_audio(self, samples: int) -> bytes:
        wanted = samples * SAMPLE_BYTES
        with self._lock:
            if self._filling and len(self._pcm) < min(max(self._cushion, wanted), self._limit):
                return bytes(wanted)
            taken = bytes(self._pcm[:wanted])
            del self._pcm[:wanted]
            self._filling = len(taken) < wanted
        return taken.ljust(wanted, b"\0")


def load_sounddevice() -> Any:
    try:
        import sounddevice
    except OSError as exc:
        advice = "install it (Debian and Ubuntu: apt install libportaudio2)"
        raise MissingPortAudio(f"sound devices need the PortAudio library, which is missing; {advice}") from exc
    _silence_alsa()
    return sounddevice


class MissingPortAudio(ListenctlError):
    """PortAudio isn't installed; trying again is useless."""


def _silence_alsa() -> None:
    """Keep ALSA from writing to stderr at each underrun; errors are reported by us."""
    with suppress(OSError, AttributeError):
        # The handler gets the message as arguments; any function that ignores its arguments keeps it silent.
        handler = ctypes.cast(ctypes.CDLL(None).getpid, ctypes.c_void_p)
        ctypes.CDLL("libasound.so.2").snd_lib_error_set_handler(handler)


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundDevice:
    number: int
    name: str
    system: str
    inputs: int
    outputs: int
    sample_rate: float
    default_input: bool
    default_output: bool


def list_devices() -> list[SoundDevice]:
    sound = load_sounddevice()
    systems = sound.query_hostapis()
    default_input, default_output = sound.default.device
    return [
        SoundDevice(
            number=number,
            name=str(found["name"]),
            system=str(systems[found["hostapi"]]["name"]),
            inputs=int(found["max_input_channels"]),
            outputs=int(found["max_output_channels"]),
            sample_rate=float(found["default_samplerate"]),
            default_input=number == default_input,
            default_output=number == default_output,
        )
        for number, found in enumerate(sound.query_devices())
    ]


def open_device(
    what: str, open_stream: OpenDeviceStream, device: str | None, sample_rate: int, **options: object
) -> DeviceStream:
    """Open a device for 16-bit samples, at its own rate if it refuses ``sample_rate``; errors begin with ``what``."""
    choice = _choice(device)
    errors = (ValueError, OSError, load_sounddevice().PortAudioError)
    options = {"device": choice, "channels": 1, "dtype": "int16"} | options
    try:
        return open_stream(samplerate=sample_rate, **options)
    except errors:
        # Not every device supports telephone rates.
        try:
            return open_stream(samplerate=None, **options)
        except errors as exc:
            name = f"{what} {device}" if device else what
            advice = "name one that `listenctl monitor --list-devices` lists, or plug one in"
            raise ListenctlError(f"{name}: can't be opened: {_reason(exc)}; {advice}") from exc


def check_output_device(what: str, device: str) -> None:
    sound = load_sounddevice()
    try:
        sound.query_devices(_choice(device), "output")
    except (ValueError, sound.PortAudioError) as exc:
        playing = [f"{one.number} {one.name}" for one in list_devices() if one.outputs]
        if playing:
            names = ", ".join(playing[:_MAX_NAMED]) + (", ..." if len(playing) > _MAX_NAMED else "")
            raise UsageError(f"{what} {device}: {_reason(exc)}; name one of these: {names}") from exc


def _choice(device: str | None) -> int | str | None:
    return int(device) if device and device.isascii() and device.isdecimal() else device


def start_device(what: str, stream: DeviceStream) -> None:
    try:
        stream.start()
    except (OSError, load_sounddevice().PortAudioError) as exc:
        stream.close()
        raise ListenctlError(
            f"{what}: can't be started: {_reason(exc)}; check whether another program uses it"
        ) from exc


def is_running(stream: DeviceStream) -> bool:
    try:
        return stream.active
    except load_sounddevice().PortAudioError:
        return False


def _reason(exc: BaseException) -> str:
    text = str(exc.args[0] if exc.args else exc) or type(exc).__name__
    return text.splitlines()[0].rstrip(".:")
