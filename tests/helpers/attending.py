"""Simulated calls to a server that does something with each call by itself, and what their callers hear."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import soundfile

from listenctl.events import Reporter
from listenctl.protocol.call_metadata import CallMetadata
from listenctl.protocol.listen_verb.listen_verb import BidirectionalAudio, ListenVerb
from listenctl.server.responders.call_responders import Responder
from listenctl.server.settings import ServerSettings
from listenctl.simulator.plan import CallPlan
from listenctl.simulator.simulated_call import SimulatedCall
from tests.helpers.scripted_server import target
from tests.helpers.server import FAST, Event, Events, Running, running
from tests.helpers.simulated import Noise, Pcm


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
