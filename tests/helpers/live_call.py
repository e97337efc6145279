"""A server with a control socket and a simulated call to it, to play to; and what the caller has heard in the end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from listenctl.events import Reporter
from listenctl.live_client.attached_call import AttachedCall
from listenctl.live_client.control_client import attach_to_call
from listenctl.protocol.jambonz_model.profiles import CURRENT, Profile
from listenctl.protocol.listen_verb.listen_verb import BidirectionalAudio, ListenVerb
from listenctl.simulator.plan import CallPlan
from listenctl.simulator.simulated_call import SimulatedCall
from listenctl.simulator.simulated_call_log import SimulatedCallResult
from tests.helpers.scripted_server import target
from tests.helpers.server import Event, Events, Running, faster, running


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
