"""Simulated calls to a server under test: what they send, what their callers hear, and what is recorded."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from listenctl.events import Reporter
from listenctl.live_client.attached_call import AttachedCall
from listenctl.live_client.control_client import attach_to_call
from listenctl.protocol.call_metadata import CallMetadata
from listenctl.protocol.jambonz_model.profiles import CURRENT, Profile
from listenctl.protocol.listen_verb.listen_verb import BidirectionalAudio, ListenVerb
from listenctl.server.responders.call_responders import Responder
from listenctl.server.settings import ServerSettings
from listenctl.simulator.injected_faults import parse_fault
from listenctl.simulator.plan import CallPlan
from listenctl.simulator.simulated_call import SimulatedCall
from listenctl.simulator.simulated_call_log import SimulatedCallResult
from tests.helpers.scripted_server import target
from tests.helpers.server import FAST, Event, Events, Running, faster, read_sidecar, recorded_audio, running

Pcm = np.ndarray[tuple[int, ...], np.dtype[np.int16]]


@dataclass(frozen=True, slots=True)
class Noise:
    """A file with two channels of loud noise, and its samples, one row per channel."""

    path: Path
    samples: Pcm

    @property
    def length(self) -> int:
        return self.samples.shape[1]

    def fork(self, mix_type: str, length: int | None = None) -> bytes:
        """Return what jambonz sends of it, with silence up to ``length`` samples (listenctl-protocol(7) 3.1)."""
        missing = (length or self.length) - self.length
        left, right = np.pad(self.samples, ((0, 0), (0, missing)))
        if mix_type == "stereo":
            return interleave(left, right)
        return interleave(left if mix_type == "mono" else (left.astype(int) + right).clip(-32768, 32767))


def interleave(*channels: Pcm) -> bytes:
    """Return the samples of all channels interleaved, as on the wire."""
    return np.stack(channels, axis=1).astype("<i2").tobytes()


def make_noise(folder: Path, *, sample_rate: int, samples: int, seed: int = 1) -> Noise:
    """Write noise that depends on ``seed``; the sum of its channels sometimes clips."""
    generator = np.random.default_rng([seed, sample_rate, samples])
    noise = generator.integers(-32768, 32768, (2, samples)).astype(np.int16)
    path = folder / f"noise-{seed}-{sample_rate}-{samples}.wav"
    soundfile.write(path, noise.T, sample_rate, subtype="PCM_16")
    return Noise(path, noise)


def noise(seconds: float, rate: int, *, seed: int = 1) -> bytes:
    """Return noise that is nowhere the same, without a sample of value -1 and without silence."""
    values = np.random.default_rng([seed, rate]).integers(1, 8000, round(seconds * rate))
    return values.astype("<i2").tobytes()


def write_sound(path: Path, pcm: bytes, rate: int) -> Path:
    soundfile.write(path, np.frombuffer(pcm, "<i2"), rate, subtype="PCM_16")
    return path


@dataclass(slots=True)
class LiveCall:
    """The server, its socket, and the call; ``verdicts`` and ``heard`` are complete when the call is over."""

    run: Running
    socket: Path
    call: SimulatedCall
    events: Events
    over: asyncio.Task[SimulatedCallResult]
    heard_file: Path
    folder: Path

    @property
    def id(self) -> str:
        return self.call.metadata.call_sid or ""

    @asynccontextmanager
    async def attached(self) -> AsyncIterator[AttachedCall]:
        async with attach_to_call(self.socket, self.id) as attachment:
            yield attachment

    @property
    def heard(self) -> bytes:
        samples, _ = soundfile.read(self.heard_file, dtype="int16")
        audio: bytes = samples[:, 1].astype("<i2").tobytes()
        return audio

    @property
    def sounds(self) -> bool:
        levels = self.call.snapshot().heard
        return levels is not None and levels[0].peak_db > -60

    @property
    def faults(self) -> list[Event]:
        """What jambonz would not have done as the sender meant it."""
        return [verdict for verdict in self.events.of("verdict") if verdict["wrong"]]


@asynccontextmanager
async def live_call(
    folder: Path,
    verb: ListenVerb | None = None,
    *,
    profile: Profile = CURRENT,
    call_rate: int = 8000,
) -> AsyncIterator[LiveCall]:
    """Hold a call until the block is left."""
    socket = folder / "listenctl" / "default.sock"
    async with running(faster(control=socket)) as run:
        events = Events()
        heard = folder / "heard.wav"
        plan = CallPlan(
            target=target(run.port),
            verb=verb or ListenVerb(sample_rate=call_rate),
            profile=profile,
            call_rate=call_rate,
            duration=60,
            heard=heard,
        )
        call = SimulatedCall(plan, Reporter(events))
        over = asyncio.create_task(call.run())
        await run.events.wait_for("call-started")
        try:
            yield LiveCall(run, socket, call, events, over, heard, folder)
        finally:
            call.hang_up()
            await over


def streaming(rate: int = 8000, *, call_rate: int = 8000, known: bool = True) -> ListenVerb:
    """Return a verb that wants a stream, and says so in its metadata."""
    return ListenVerb(
        sample_rate=call_rate,
        bidirectional=BidirectionalAudio(enabled=True, streaming=True, sample_rate=rate),
        metadata={"streamRate": rate} if known else {},
    )


def clips(*, call_rate: int = 8000, known: bool = True) -> ListenVerb:
    """Return a verb that wants clips, and says so in its metadata."""
    return ListenVerb(
        sample_rate=call_rate,
        bidirectional=BidirectionalAudio(),
        metadata={"streamRate": 0} if known else {},
    )


@dataclass(frozen=True, slots=True)
class Heard:
    """What a caller heard, and what jambonz made of it."""

    metadata: CallMetadata
    audio: Pcm
    sample_rate: int
    events: Events

    @property
    def verdicts(self) -> set[tuple[str, str]]:
        """The command and the outcome of each message."""
        return {(verdict["command"], verdict["outcome"]) for verdict in self.events.of("verdict")}


@asynccontextmanager
async def responding(
    *responders: Responder, settings: ServerSettings = FAST, record: Path | None = None
) -> AsyncIterator[Running]:
    """Run a server with responders."""
    async with running(settings, record=record) as run:
        run.server.responders.extend(responders)
        yield run


def plan_to_hear(
    run: Running,
    heard: Path,
    *,
    caller: str | Noise = "silence",
    callee: str | None = "silence",
    duration: float | None = None,
    sample_rate: int = 8000,
    mix_type: str = "mono",
    stream_rate: int | None = 8000,
    metadata: dict[str, object] | None = None,
) -> CallPlan:
    """Return a call whose caller's ear is kept; with no ``stream_rate`` it takes clips."""
    audio = BidirectionalAudio(streaming=stream_rate is not None, sample_rate=stream_rate)
    verb = ListenVerb(sample_rate=sample_rate, mix_type=mix_type, bidirectional=audio, metadata=metadata or {})
    spec = str(caller.path) if isinstance(caller, Noise) else caller
    return CallPlan(target=target(run.port), verb=verb, caller=spec, callee=callee, duration=duration, heard=heard)


async def place_and_hear(plan: CallPlan) -> Heard:
    """Place a call to its end, and return what its caller heard."""
    events = Events()
    call = SimulatedCall(plan, Reporter(events))
    await call.run()
    assert plan.heard is not None
    both, sample_rate = await asyncio.to_thread(soundfile.read, plan.heard, dtype="int16", always_2d=True)
    return Heard(call.metadata, both[:, 1], sample_rate, events)


async def answer_call(
    folder: Path, *responders: Responder, settings: ServerSettings = FAST, record: Path | None = None, **plan: Any
) -> tuple[Running, Heard]:
    """Place a call that responders answer; return all of it, and what its caller heard."""
    async with responding(*responders, settings=settings, record=record) as run:
        return run, await place_and_hear(plan_to_hear(run, folder / "heard.wav", **plan))


def without_silence(samples: Pcm) -> Pcm:
    """Return the samples that are not 0: where a stream ran dry there are others between."""
    sounding: Pcm = samples[samples != 0]
    return sounding


def as_streamed(samples: Pcm) -> Pcm:
    """Return what is heard of samples: none of value -1, taken for a mark (listenctl-protocol(7) 6.4)."""
    streamed = samples.copy()
    streamed[samples == -1] = -2
    return streamed


def is_alive(pid: int) -> bool:
    """Return whether a process runs; one that has ended may still wait for its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def plan_for(port: int, noise: Noise, *faults: str, sample_rate: int = 8000, mix_type: str = "mono") -> CallPlan:
    """Return a call that sends ``noise``, which must have the sample rate of the call."""
    verb = ListenVerb(sample_rate=sample_rate, mix_type=mix_type)
    parsed = tuple(parse_fault(fault) for fault in faults)
    return CallPlan(target=target(port), verb=verb, caller=str(noise.path), faults=parsed)


@dataclass(frozen=True, slots=True)
class Placed:
    """A call that has ended, as the caller saw it, and its recording."""

    summary: SimulatedCallResult
    events: Events
    metadata: CallMetadata
    saved: Event

    @property
    def audio(self) -> bytes:
        return recorded_audio(self.saved)

    @property
    def sidecar(self) -> Event:
        return read_sidecar(self.saved)

    @property
    def faults(self) -> list[str]:
        return [fault["name"] for fault in self.events.of("fault")]

    @property
    def gaps(self) -> list[tuple[str, int]]:
        """The kind of each gap that the recorder found, and its missing samples."""
        return [(gap["kind"], gap["missing"]) for gap in self.sidecar["gaps"]]


async def place(run: Running, plan: CallPlan, *, recorded_as: str | None = None) -> Placed:
    """
    Place a call, and wait until its recording is saved.

    Args:
        recorded_as: the recorder's id of the call if it doesn't learn the callSid.
    """
    events = Events()
    call = SimulatedCall(plan, Reporter(events))
    summary = await call.run()
    saved = await run.events.wait_for_one("recording-saved", call=recorded_as or call.metadata.call_sid)
    return Placed(summary, events, call.metadata, saved)
