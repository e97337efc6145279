"""Simulated calls whose audio is in trouble, to the recorder: it says where how much is missing, and keeps the rest."""

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.server import running
from tests.helpers.simulated import Noise, make_noise, place, plan_for

FRAME = 160


def missing_part(recorded: bytes, sent: bytes, frame_bytes: int) -> tuple[int, int]:
    """Return after how many sample frames of ``sent`` how many are missing; all others must have been recorded."""
    recorded_frames, sent_frames = (np.frombuffer(data, f"V{frame_bytes}") for data in (recorded, sent))
    lost = len(sent_frames) - len(recorded_frames)
    differs = recorded_frames != sent_frames[: len(recorded_frames)]
    position = int(differs.argmax()) if differs.any() else len(recorded_frames)
    assert recorded_frames[position:].tobytes() == sent_frames[position + lost :].tobytes()
    return position, lost


async def test_a_burst_is_complete_and_nothing_is_missing(tmp_path: Path) -> None:
    noise = make_noise(tmp_path, sample_rate=8000, samples=8000)

    async with running(record=tmp_path / "recordings") as run:
        placed = await place(run, plan_for(run.port, noise, "burst=0.6", mix_type="stereo"))

    sidecar = placed.sidecar
    assert placed.audio == noise.fork("stereo")
    assert (sidecar["complete"], sidecar["lost_samples"], sidecar["paused_samples"]) == (True, 0, 0)
    assert placed.gaps == [("burst", 0)]
    assert sidecar["gaps"][0]["position"] == 0
    assert sidecar["gaps"][0]["length"] == pytest.approx(0.6, abs=0.15)


async def test_a_stall_is_a_hole_at_the_right_place_and_channels_do_not_swap(tmp_path: Path) -> None:
    noise = make_noise(tmp_path, sample_rate=8000, samples=3 * 8000)
    frame_bytes = {"mono": 2, "stereo": 4, "mixed": 2}

    async with running(record=tmp_path / "recordings") as run:
        plans = (plan_for(run.port, noise, "stall=0.75@0.3", mix_type=mix_type) for mix_type in frame_bytes)
        calls = await asyncio.gather(*(place(run, replace(plan, buffer=0.5)) for plan in plans))

    for (mix_type, size), placed in zip(frame_bytes.items(), calls, strict=True):
        # The buffer overflows with its 26th frame, which loses the other 25 and 16 bytes of its own (protocol.md 3.3).
        lost = 25 * FRAME + 16 // size
        sidecar = placed.sidecar
        position, missing = missing_part(placed.audio, noise.fork(mix_type), size)
        assert missing == lost
        assert position == pytest.approx(0.3 * 8000, abs=4 * FRAME)
        # The ledger measures the hole by the clock, but knows from the short message where it is.
        [hole] = sidecar["gaps"]
        assert (hole["kind"], hole["position"]) == ("hole", position)
        assert hole["missing"] == pytest.approx(lost, abs=2 * FRAME)
        assert (sidecar["complete"], sidecar["lost_samples"]) == (False, hole["missing"])
        # The caller tells what was lost too, though it doesn't hold against the server what was asked for.
        [gap] = placed.events.of("gap")
        assert (gap["kind"], gap["position"], gap["missing"]) == ("hole", position, lost)
        assert placed.events.of("call-ended")[0]["lost_samples"] == lost
        assert placed.summary.lost_samples == 0


async def test_a_stall_loses_nothing_while_the_buffer_holds_or_the_fork_is_resampled(tmp_path: Path) -> None:
    slow, fast = (make_noise(tmp_path, sample_rate=rate, samples=rate * 2) for rate in (8000, 16000))

    async with running(record=tmp_path / "recordings") as run:
        plans = [
            plan_for(run.port, slow, "stall=0.6@0.3", mix_type="stereo"),
            replace(plan_for(run.port, fast, "stall=0.6@0.3", sample_rate=16000), buffer=0.25),
        ]
        buffered, resampled = await asyncio.gather(*(place(run, plan) for plan in plans))

    assert buffered.audio == slow.fork("stereo")
    assert resampled.audio == fast.fork("mono")
    for placed in (buffered, resampled):
        assert placed.sidecar["complete"]
        # It came late and all at once.
        assert placed.gaps == [("burst", 0)]
        assert placed.events.of("gap") == []


async def test_a_pause_is_cut_out_and_told(tmp_path: Path) -> None:
    noise = make_noise(tmp_path, sample_rate=8000, samples=3 * 8000)

    async with running(record=tmp_path / "recordings") as run:
        placed = await place(run, plan_for(run.port, noise, "pause=0.5@0.3", mix_type="stereo"))

    sidecar = placed.sidecar
    position, missing = missing_part(placed.audio, noise.fork("stereo"), 4)
    assert missing == pytest.approx(0.5 * 8000, abs=FRAME)
    assert missing % FRAME == position % FRAME == 0
    [pause] = sidecar["gaps"]
    assert (pause["kind"], pause["position"]) == ("pause", position)
    assert pause["missing"] == pytest.approx(missing, abs=2 * FRAME)
    # What was never sent isn't lost.
    assert (sidecar["complete"], sidecar["lost_samples"], sidecar["paused_samples"]) == (True, 0, pause["missing"])
    assert placed.summary.samples == len(placed.audio) // 4


@pytest.mark.parametrize("mix_type", ["mono", "stereo"])
async def test_odd_chunks_are_joined_without_a_fault(mix_type: str, tmp_path: Path) -> None:
    noise = make_noise(tmp_path, sample_rate=8000, samples=4000)

    async with running(record=tmp_path / "recordings") as run:
        placed = await place(run, plan_for(run.port, noise, "odd-chunks", mix_type=mix_type))

    assert placed.audio == noise.fork(mix_type)
    assert (placed.sidecar["complete"], placed.gaps) == (True, [])
    assert placed.faults == ["odd-chunks"]


async def test_skewed_stereo_is_recorded_as_it_comes(tmp_path: Path) -> None:
    noise = make_noise(tmp_path, sample_rate=8000, samples=3200)

    async with running(record=tmp_path / "recordings") as run:
        placed = await place(run, plan_for(run.port, noise, "skew=237", mix_type="stereo"))

    late = Noise(noise.path, noise.samples.copy())
    late.samples[1] = np.pad(noise.samples[1], (237, 0))[:3200]
    assert placed.audio == late.fork("stereo")
    assert (placed.sidecar["complete"], placed.gaps) == (True, [])
