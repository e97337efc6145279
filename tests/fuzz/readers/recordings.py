"""Recordings: a sidecar, a NUL and the audio file; the samples before the damage are found."""

import json
from functools import cache
from itertools import count

from listenctl.capture.capture_events import CaptureEvent
from listenctl.capture.compressed_files import OpenedCapture
from listenctl.capture.formats.read_recording import read_recording, read_sidecar
from tests.fuzz.found import frames
from tests.fuzz.reader import Reader, Seed, undamaged, written
from tests.fuzz.seeds import json_places, wav_file
from tests.helpers.capture import received_audio
from tests.helpers.frames import BINARY

_HEADER = 44
_EVENTS = [
    {"event": "dtmf", "digit": "1", "duration": "1600", "position": 800},
    {"event": "mark", "name": "m", "result": "playout", "position": 900},
    {"event": "play-done", "id": "1", "reason": "x", "played_ms": 5, "position": 900},
    {"event": "message", "text": "{}", "position": 1000},
]
_GAPS = [
    {"kind": "late-start", "position": 0, "missing": 0, "length": 0.5},
    {"kind": "hole", "position": 480, "missing": 800, "length": 0.1},
    {"kind": "burst", "position": 1600, "missing": 0, "length": 0.4},
]


def check(data: bytes) -> None:
    found = _audio(_read(data))
    seed, whole = undamaged(data, _seeds())
    sound = seed.data.index(b"\0") + 1
    if (size := whole - sound - _HEADER - _filled(seed)) > 0:
        expected = _audio(_read(seed.data))[: size & ~3]
        assert found.startswith(expected), f"{len(expected)} bytes come before the damage"


def _filled(seed: Seed) -> int:
    """Return the bytes of inserted silence in a recording."""
    return 2 * 800 if b'"gaps_filled": true' in seed.data else 0


def _read(data: bytes) -> list[CaptureEvent]:
    text, _, sound = data.partition(b"\0")
    for name in ("fuzz.wav", "fuzz.raw"):
        path = written(sound, name)
    sidecar = read_sidecar(OpenedCapture("fuzz.json", text[:64], iter([text])))
    return list(read_recording(str(path.with_name("fuzz.json")), sidecar, count(1))) if sidecar else []


def _audio(events: list[CaptureEvent]) -> bytes:
    return b"".join(frame.payload for _, _, frame in frames(events) if frame.opcode == BINARY)


@cache
def _seeds() -> list[Seed]:
    return [_seed("wav", 1, filled=False), _seed("wav", 2, filled=False), _seed("raw", 1, filled=True)]


def _seed(kind: str, channels: int, *, filled: bool) -> Seed:
    samples = received_audio("a_mono8k_sip").data[16_000:22_000]
    metadata = json.dumps({"sampleRate": 8000, "mixType": "stereo" if channels > 1 else "mono", "callSid": "CS-A"})
    audio = {"format": kind, "files": [f"fuzz.{kind}"], "sample_rate": 8000, "channels": channels}
    sidecar = {
        "started": "2026-11-20T10:00:00.000Z",
        "ended": "2026-11-20T10:00:03.000Z",
        "remote": "10.0.0.5:1",
        "target": "/x",
        "metadata_raw": metadata,
        "audio": {**audio, "samples": len(samples) // 2 // channels, "gaps_filled": filled},
        "gaps": _GAPS,
        "events": _EVENTS,
        "close": {"by": "jambonz", "code": 1000, "reason": "bye"},
    }
    text = json.dumps(sidecar).encode()
    sound = wav_file(samples, 8000, channels) if kind == "wav" else bytes(_HEADER) + samples
    return Seed(text + b"\0" + sound, json_places(text))


READER = Reader("recordings", _seeds, check)
