"""Simulated calls to the recorder: of each kind, rate and mix, what was said arrives complete and sample-exact."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from listenctl.protocol.jambonz_model.first_text import CallKind
from listenctl.simulator.plan import CallPlan
from tests.helpers.server import running
from tests.helpers.simulated import Noise, make_noise, place, plan_for

RATES = (8000, 11025, 16000, 24000, 32000, 44100, 48000, 64000)
MIXES = ("mono", "stereo", "mixed")
CHANNELS = {"mono": 1, "stereo": 2, "mixed": 1}
PUBLIC = {
    "sampleRate", "mixType", "callSid", "direction", "from", "to", "callId", "sbcCallid", "sipStatus", "sipReason",
    "callStatus", "accountSid", "traceId", "applicationSid", "fsSipAddress", "fsPublicIp",
}  # fmt: skip
ORIGIN = {"originatingSipIp", "originatingSipTrunkName"}
LEG = PUBLIC - {"fsSipAddress", "fsPublicIp"} | {
    "hasRecording", "callerName", "parentCallSid", "callerId", "localSipAddress", "publicIp",
}  # fmt: skip
MEMBER = {"room", "memberId", "callSid", "accountSid", "tag", "sampleRate"}
FIELDS = {
    CallKind.INBOUND: PUBLIC | ORIGIN | {"tenant"},
    CallKind.OUTBOUND: PUBLIC | {"tenant"},
    CallKind.CONFIG: PUBLIC | ORIGIN | {"tenant"},
    CallKind.RECORD: PUBLIC | ORIGIN,
    CallKind.DIAL: LEG | {"tenant"},
    CallKind.ROOM: MEMBER | {"tenant", "mixType"},
}
DIRECTIONS = {CallKind.ROOM: None, CallKind.OUTBOUND: "outbound", CallKind.DIAL: "outbound"}


def noise_at(folder: Path, sample_rate: int, seed: int = 1) -> Noise:
    """Return some 0.3 s that end in the middle of a frame, after an odd number of samples."""
    return make_noise(folder, sample_rate=sample_rate, samples=int(sample_rate * 0.313) | 1, seed=seed)


def whole_frames(samples: int, sample_rate: int, ptime: float = 0.02) -> int:
    """Return how many samples there are up to the end of the frame that the last one is in."""
    frames = -(-samples // (sample_rate * ptime))
    return int(frames * ptime * sample_rate + 1e-6)


@pytest.mark.parametrize("kind", CallKind)
async def test_each_kind_of_call_is_recorded_with_its_metadata(kind: CallKind, tmp_path: Path) -> None:
    noise = noise_at(tmp_path, 8000)
    # Cloud recording is always stereo, and takes no metadata (protocol.md 2.4).
    mixes = ("stereo",) if kind is CallKind.RECORD else MIXES

    async with running(record=tmp_path / "recordings") as run:
        plans = [replace(with_metadata(plan_for(run.port, noise, mix_type=mix), kind), kind=kind) for mix in mixes]
        calls = await asyncio.gather(*(place(run, plan) for plan in plans))

    for mix_type, placed in zip(mixes, calls, strict=True):
        sidecar, metadata = placed.sidecar, placed.sidecar["metadata"]
        assert metadata == placed.metadata.fields
        assert set(metadata) == FIELDS[kind]
        assert (metadata["sampleRate"], metadata["mixType"]) == (8000, mix_type)
        assert metadata.get("direction") == DIRECTIONS.get(kind, "inbound")
        assert metadata.get("tenant") == (None if kind is CallKind.RECORD else "Zoë")
        assert (sidecar["metadata_valid"], sidecar["warnings"]) == (True, [])
        assert (sidecar["complete"], sidecar["audio"]["channels"]) == (True, CHANNELS[mix_type])
        assert placed.audio == noise.fork(mix_type, whole_frames(noise.length, 8000))


def with_metadata(plan: CallPlan, kind: CallKind) -> CallPlan:
    """Return a call with metadata of its own; a room's tap says nothing else about the mix (protocol.md 2.5)."""
    mix = {"mixType": plan.verb.mix_type} if kind is CallKind.ROOM else {}
    return replace(plan, verb=replace(plan.verb, metadata={"tenant": "Zoë", **mix}))


@pytest.mark.parametrize("mix_type", MIXES)
async def test_each_rate_is_recorded_sample_by_sample(mix_type: str, tmp_path: Path) -> None:
    noises = {rate: noise_at(tmp_path, rate) for rate in RATES}

    async with running(record=tmp_path / "recordings") as run:
        plans = [plan_for(run.port, noises[rate], sample_rate=rate, mix_type=mix_type) for rate in RATES]
        calls = await asyncio.gather(*(place(run, plan) for plan in plans))

    for rate, placed in zip(RATES, calls, strict=True):
        sidecar = placed.sidecar
        length = whole_frames(noises[rate].length, rate)
        assert placed.audio == noises[rate].fork(mix_type, length), f"{rate} Hz"
        assert sidecar["audio"]["sample_rate"] == rate
        assert sidecar["audio"]["channels"] == CHANNELS[mix_type]
        assert sidecar["received_samples"] == length == placed.summary.samples
        assert (sidecar["complete"], sidecar["completeness"], sidecar["gaps"]) == (True, 1.0, [])
        assert sidecar["close"] == {"code": 1000, "reason": "", "by": "jambonz"}
        assert (placed.summary.taken, placed.summary.lost_samples, placed.summary.wrong) == (True, 0, 0)


@pytest.mark.parametrize("rate", [8000, 11025])
async def test_frames_of_each_length_join_to_the_same_audio(rate: int, tmp_path: Path) -> None:
    ptimes = (0.01, 0.02, 0.03, 0.04, 0.06)
    noise = noise_at(tmp_path, rate)

    async with running(record=tmp_path / "recordings") as run:
        plan = plan_for(run.port, noise, sample_rate=rate, mix_type="stereo")
        calls = await asyncio.gather(*(place(run, replace(plan, ptime=ptime)) for ptime in ptimes))

    for ptime, placed in zip(ptimes, calls, strict=True):
        length = whole_frames(noise.length, rate, ptime)
        assert placed.audio == noise.fork("stereo", length), f"{ptime * 1000} ms"
        assert placed.events.of("call-ended")[0]["frames"] == -(-noise.length // (rate * ptime))
        assert placed.sidecar["complete"]


async def test_the_callee_can_be_a_file_of_its_own_with_another_length(tmp_path: Path) -> None:
    caller, callee = noise_at(tmp_path, 16000, seed=1), make_noise(tmp_path, sample_rate=16000, samples=1000, seed=2)

    async with running(record=tmp_path / "recordings") as run:
        plan = plan_for(run.port, caller, sample_rate=16000, mix_type="stereo")
        placed = await place(run, replace(plan, callee=str(callee.path)))

    length = whole_frames(caller.length, 16000)
    both = Noise(caller.path, caller.samples.copy())
    both.samples[1] = 0
    both.samples[1, :1000] = callee.samples[0]
    assert placed.audio == both.fork("stereo", length)


async def test_a_call_of_given_duration_goes_on_in_silence_or_is_cut(tmp_path: Path) -> None:
    noise = noise_at(tmp_path, 8000)

    async with running(record=tmp_path / "recordings") as run:
        plan = plan_for(run.port, noise)
        durations = (replace(plan, duration=duration) for duration in (0.1, 0.5))
        cut, filled = await asyncio.gather(*(place(run, each) for each in durations))

    assert cut.audio == noise.fork("mono")[:1600]
    assert filled.audio == noise.fork("mono", 4000)
    assert cut.sidecar["complete"]
    assert filled.sidecar["complete"]


async def test_many_calls_at_once_do_not_mix(tmp_path: Path) -> None:
    noises = [noise_at(tmp_path, 8000, seed) for seed in range(20)]

    async with running(record=tmp_path / "recordings") as run:
        calls = await asyncio.gather(*(place(run, plan_for(run.port, noise)) for noise in noises))

    for noise, placed in zip(noises, calls, strict=True):
        assert placed.audio == noise.fork("mono", whole_frames(noise.length, 8000))
    assert len({placed.saved["path"] for placed in calls}) == 20
