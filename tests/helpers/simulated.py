"""Simulated calls to a recorder under test: noise to send, and the result at both ends."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from listenctl.events import Reporter
from listenctl.protocol.call_metadata import CallMetadata
from listenctl.protocol.listen_verb.listen_verb import ListenVerb
from listenctl.simulator.injected_faults import parse_fault
from listenctl.simulator.plan import CallPlan
from listenctl.simulator.simulated_call import SimulatedCall
from listenctl.simulator.simulated_call_log import SimulatedCallResult
from tests.helpers.scripted_server import target
from tests.helpers.server import Event, Events, Running, read_sidecar, recorded_audio

Pcm = np.ndarray[tuple[int, ...], np.dtype[np.int16]]


@dataclass(frozen=True, slots=True)
class Noise:
    """A file with two channels of loud noise, and its samples, one row per channel."""

    path: Path
    samples: Pcm

    @property
    def length(self) -> int:
        """Samples of each channel."""
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
        """The recorded audio."""
        return recorded_audio(self.saved)

    @property
    def sidecar(self) -> Event:
        """The sidecar of the recording."""
        return read_sidecar(self.saved)

    @property
    def faults(self) -> list[str]:
        """The faults that the caller reported."""
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
    saved = await wait_for_recording(run, recorded_as or call.metadata.call_sid or "")
    return Placed(summary, events, call.metadata, saved)


async def wait_for_recording(run: Running, call: str) -> Event:
    """Return the ``recording-saved`` of a call."""
    number = 1
    while (saved := await run.events.wait_for("recording-saved", number))["call"] != call:
        number += 1
    return saved
