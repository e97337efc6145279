"""Simulated calls to a server under test, and what their callers hear."""

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
from listenctl.simulator.plan import CallPlan
from listenctl.simulator.simulated_call import SimulatedCall
from listenctl.simulator.simulated_call_log import SimulatedCallResult
from tests.helpers.scripted_server import target
from tests.helpers.server import FAST, Event, Events, Running, faster, running
from tests.helpers.simulated import Noise, Pcm


def noise(seconds: float, rate: int, *, seed: int = 1) -> bytes:
    """Return noise that is nowhere the same, without a sample of value -1 and without silence."""
    values = np.random.default_rng([seed, rate]).integers(1, 8000, round(seconds * rate))
    return values.astype("<i2").tobytes()


def write_sound(path: Path, pcm: bytes, rate: int) -> Path:
    """Write a WAV file of one channel."""
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
        """Attach a tool."""
        async with attach_to_call(self.socket, self.id) as attachment:
            yield attachment

    @property
    def heard(self) -> bytes:
        """What the caller has heard in the whole call."""
        samples, _ = soundfile.read(self.heard_file, dtype="int16")
        audio: bytes = samples[:, 1].astype("<i2").tobytes()
        return audio

    @property
    def sounds(self) -> bool:
        """Whether the caller hears something now."""
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
    read_interval: float = 0.02,
) -> AsyncIterator[LiveCall]:
    """Hold a call until the block is left."""
    socket = folder / "listenctl" / "default.sock"
    async with running(faster(control=socket, read_interval=read_interval)) as run:
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


def clips(*, call_rate: int = 8000, known: bool = True, enabled: bool = True) -> ListenVerb:
    """Return a verb that wants clips, and says so in its metadata."""
    return ListenVerb(
        sample_rate=call_rate,
        bidirectional=BidirectionalAudio(enabled=enabled),
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


async def event_of(events: Events, kind: str, metadata: CallMetadata) -> Event:
    """Return the first event of a kind of one call."""
    number = 1
    while (event := await events.wait_for(kind, number))["call"] != metadata.call_sid:
        number += 1
    return event


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; what has ended may still wait for its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
