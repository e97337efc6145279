import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from listenctl.errors import UsageError
from listenctl.media.devices.playback_device import PlaybackState
from listenctl.media.files.libsndfile import read_clip_wav
from listenctl.media.resampling import PromptResampler
from listenctl.media.sources.tones import dtmf_tones
from listenctl.protocol.audio import MIX_CHANNELS
from listenctl.protocol.jambonz_model.first_text import CallKind
from listenctl.protocol.jambonz_model.playout import Playout
from listenctl.protocol.listen_verb.listen_verb import BidirectionalAudio, ListenVerb
from listenctl.simulator.plan import CallPlan
from listenctl.simulator.simulated_audio import CallFrame, SimulatedAudio
from tests.helpers.playout import play, tone
from tests.helpers.scripted_server import target
from tests.helpers.server import running
from tests.helpers.simulated_calls import Noise, make_noise, place, plan_for

pytestmark = pytest.mark.simulated_time

STREAM = BidirectionalAudio(streaming=True, sample_rate=8000)
RATES = (8000, 11025, 16000, 24000, 32000, 44100, 48000, 64000)


def plan(
    mix_type: str = "mono", *, sample_rate: int = 8000, caller: str = "silence", streaming: bool = False
) -> CallPlan:
    bidirectional = STREAM if streaming else BidirectionalAudio()
    verb = ListenVerb(sample_rate=sample_rate, mix_type=mix_type, bidirectional=bidirectional)
    return CallPlan(target=target(1), verb=verb, caller=caller)


@asynccontextmanager
async def opened(plan: CallPlan) -> AsyncIterator[tuple[SimulatedAudio, Playout]]:
    playout = Playout(
        plan.profile,
        plan.verb.bidirectional,
        call_rate=plan.call_rate,
        resampler=PromptResampler,
        wav_reader=read_clip_wav,
    )
    states: list[PlaybackState] = []
    audio = await SimulatedAudio.open(plan, playout, states.append)
    yield audio, playout
    await audio.close()
    assert states == []


async def frames_of(audio: SimulatedAudio, count: int, samples: int = 160) -> list[CallFrame]:
    return [await audio.next_frame(samples) for _ in range(count)]


def joined(frames: list[CallFrame], what: str) -> bytes:
    return b"".join(getattr(frame, what) for frame in frames)


def numbers(data: bytes) -> list[int]:
    return list(struct.unpack(f"<{len(data) // 2}h", data))


@pytest.mark.parametrize("mix_type", ["mono", "stereo", "mixed"])
async def test_frames_contain_the_mix_and_silence_after_the_end(mix_type: str, tmp_path: Path) -> None:
    noise = make_noise(tmp_path, sample_rate=8000, samples=501)

    async with opened(plan(mix_type, caller=str(noise.path))) as (audio, _):
        frames = await frames_of(audio, 5)

    assert joined(frames, "sent") == noise.fork(mix_type, 800)
    assert joined(frames, "caller") == noise.fork("mono", 800)
    # In mono, the second channel of the caller's file is ignored.
    callee = b"" if mix_type == "mono" else noise.samples[1].astype("<i2").tobytes()
    assert joined(frames, "heard") == callee.ljust(1600, b"\0")
    assert [frame.over for frame in frames] == [False, False, False, False, True]


async def test_clips_are_in_the_right_channel_and_cover_the_callee() -> None:
    async with opened(replace(plan("stereo"), callee="tone:440@-30")) as (audio, playout):
        playout.take_text(play(tone(320, 7000)))
        frames = await frames_of(audio, 10)

    right = numbers(joined(frames, "sent"))[1::2]
    assert right == numbers(joined(frames, "heard"))
    assert right.count(7000) == 320
    first = right.index(7000)
    assert right[first : first + 320] == [7000] * 320
    # Before and after it the other party is heard.
    assert 100 < max(right[:first]) < 2000
    assert 100 < max(right[first + 320 :]) < 2000


async def test_a_clip_is_summed_into_mixed_but_not_into_mono(tmp_path: Path) -> None:
    path = tmp_path / "caller.wav"
    soundfile.write(path, np.full(1600, 30_000, np.int16), 8000)
    forks = {}

    for mix_type in ("mono", "mixed"):
        async with opened(plan(mix_type, caller=str(path))) as (audio, playout):
            playout.take_text(play(tone(160, 7000)))
            forks[mix_type] = set(numbers(joined(await frames_of(audio, 10), "sent")))

    assert forks == {"mono": {30_000}, "mixed": {30_000, 32_767}}


async def test_a_stream_is_mixed_with_the_callee_but_not_sent(tmp_path: Path) -> None:
    path = tmp_path / "callee.wav"
    soundfile.write(path, np.full(8000, 100, np.int16), 8000)

    async with opened(replace(plan("stereo", streaming=True), callee=str(path))) as (audio, playout):
        playout.take_audio(tone(4000, 7000))
        frames = await frames_of(audio, 40)

    assert set(numbers(joined(frames, "sent"))[1::2]) == {100}
    heard = numbers(joined(frames, "heard"))
    assert heard.count(7100) > 3000
    # Where nothing is played, silence of jambonz is 0 or -1 (listenctl-protocol(7) 3.3).
    assert set(heard) <= {7100, 100, 99}


@pytest.mark.parametrize("ptime_ms", [10, 20, 30, 40, 60])
async def test_playout_keeps_the_time_of_the_call_whatever_a_frame_lasts(ptime_ms: int) -> None:
    samples = 8 * ptime_ms
    async with opened(plan("stereo", streaming=True)) as (audio, playout):
        playout.take_audio(bytes(8000) + tone(800, 7000) + bytes(8000))
        frames = await frames_of(audio, 1200 // ptime_ms, samples)

    assert {len(frame.sent) for frame in frames} == {4 * samples}
    assert sum(len(frame.ticks) for frame in frames) == 60
    # All of it is played in one piece, half a second after the start.
    heard = numbers(joined(frames, "heard"))
    assert heard.index(7000) == 4000
    assert heard[4000:4800] == [7000] * 800
    assert heard.count(7000) == 800


@pytest.mark.parametrize("sample_rate", RATES)
@pytest.mark.parametrize(("call_rate", "ptime"), [(8000, 0.02), (8000, 0.03), (16000, 0.02), (16000, 0.01)])
async def test_resampled_playout_has_no_seams(sample_rate: int, call_rate: int, ptime: float) -> None:
    wave = 8000 * np.sin(2 * np.pi * 200 * np.arange(call_rate) / call_rate)
    bidirectional = replace(STREAM, sample_rate=call_rate)
    asked = plan("stereo", sample_rate=sample_rate, streaming=True)
    asked = replace(asked, call_rate=call_rate, verb=replace(asked.verb, bidirectional=bidirectional))
    ends = [int(number * ptime * sample_rate + 1e-6) for number in range(round(0.9 / ptime))]

    async with opened(asked) as (audio, playout):
        playout.take_audio(wave.astype("<i2").tobytes())
        frames = [await audio.next_frame(end - start) for start, end in pairwise(ends)]

    # Every sample of a sine follows from the two before it.
    heard = np.array(numbers(joined(frames, "heard")), float)[sample_rate // 50 :]
    predicted = 2 * np.cos(2 * np.pi * 200 / sample_rate) * heard[1:-1] - heard[:-2]
    assert np.abs(heard[2:] - predicted).max() < 20
    assert np.abs(heard).max() == pytest.approx(8000, rel=0.02)


async def test_dtmf_tones_are_mixed_into_the_caller_to_their_end() -> None:
    tones = dtmf_tones("5", 8000, tone=0.05, gap=0.0)

    async with opened(plan("stereo")) as (audio, _):
        await audio.next_frame(160)
        audio.add_dtmf_tones("5", 0.05)
        frames = await frames_of(audio, 4)

    assert joined(frames, "caller") == tones.ljust(1280, b"\0")
    assert numbers(joined(frames, "sent"))[::2] == numbers(tones.ljust(1280, b"\0"))
    assert not joined(frames, "heard").strip(b"\0")


async def test_the_caller_is_not_over_while_a_tone_still_sounds(tmp_path: Path) -> None:
    noise = make_noise(tmp_path, sample_rate=8000, samples=160)

    async with opened(plan(caller=str(noise.path))) as (audio, _):
        await audio.next_frame(160)
        audio.add_dtmf_tones("5", 0.03)
        frames = await frames_of(audio, 3)

    assert [frame.over for frame in frames] == [False, False, True]


async def test_the_recording_has_the_caller_left_and_what_it_heard_right(tmp_path: Path) -> None:
    noise = make_noise(tmp_path, sample_rate=16000, samples=3200)
    path = tmp_path / "heard.wav"

    async with opened(replace(plan("stereo", sample_rate=16000, caller=str(noise.path)), heard=path)) as (audio, _):
        await audio.play_beep()
        await frames_of(audio, 10, 320)

    samples, rate = soundfile.read(path, dtype="int16")
    assert (rate, samples.shape) == (16000, (8000 + 3200, 2))
    assert not samples[:8000, 0].any()
    assert samples[:8000, 1].any()
    assert samples[8000:].tobytes() == noise.fork("stereo")


async def test_a_missing_file_leaves_nothing_open(tmp_path: Path) -> None:
    noise = make_noise(tmp_path, sample_rate=8000, samples=160)
    asked = replace(plan(caller=str(noise.path)), callee=str(tmp_path / "nowhere.wav"))

    # What stays open warns when it is collected, and a warning is an error.
    with pytest.raises(UsageError, match=r"nowhere\.wav"):
        async with opened(asked):
            raise AssertionError


def noise_at(folder: Path, sample_rate: int, seed: int = 1) -> Noise:
    """Return about 0.3 s of noise that end in the middle of a frame, after an odd number of samples."""
    return make_noise(folder, sample_rate=sample_rate, samples=int(sample_rate * 0.313) | 1, seed=seed)


def whole_frames(samples: int, sample_rate: int) -> int:
    """Round a number of samples up to whole frames of 20 ms."""
    return int(-(-samples // (sample_rate * 0.02)) * 0.02 * sample_rate + 1e-6)


@pytest.mark.parametrize("kind", CallKind)
async def test_each_kind_of_call_is_recorded_with_its_metadata(kind: CallKind, tmp_path: Path) -> None:
    noise = noise_at(tmp_path, 8000)
    # Cloud recording is always stereo, and takes no metadata (listenctl-protocol(7) 2.4).
    mixes = ("stereo",) if kind is CallKind.RECORD else tuple(MIX_CHANNELS)

    async with running(record=tmp_path / "recordings") as run:
        plans = [replace(with_metadata(plan_for(run.port, noise, mix_type=mix), kind), kind=kind) for mix in mixes]
        calls = await asyncio.gather(*(place(run, plan) for plan in plans))

    for mix_type, placed in zip(mixes, calls, strict=True):
        sidecar, metadata = placed.sidecar, placed.sidecar["metadata"]
        assert metadata == placed.metadata.fields
        assert ("memberId" in metadata, "parentCallSid" in metadata) == (kind is CallKind.MEMBER, kind is CallKind.DIAL)
        assert (metadata["sampleRate"], metadata["mixType"]) == (8000, mix_type)
        assert metadata.get("tenant") == (None if kind is CallKind.RECORD else "Zoë")
        assert (sidecar["metadata_valid"], sidecar["warnings"]) == (True, [])
        assert (sidecar["complete"], sidecar["audio"]["channels"]) == (True, MIX_CHANNELS[mix_type])
        assert placed.audio == noise.fork(mix_type, whole_frames(noise.length, 8000))


def with_metadata(plan: CallPlan, kind: CallKind) -> CallPlan:
    """Return a call with metadata of its own; a room's taps say nothing of the mix (listenctl-protocol(7) 2.5)."""
    mix = {"mixType": plan.verb.mix_type} if kind in (CallKind.ROOM, CallKind.MEMBER) else {}
    own = {"sampleRate": plan.verb.sample_rate, "callSid": plan.verb.mix_type} if kind is CallKind.ROOM else {}
    return replace(plan, verb=replace(plan.verb, metadata={"tenant": "Zoë", **mix, **own}))


@pytest.mark.parametrize("mix_type", MIX_CHANNELS)
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
        assert sidecar["audio"]["channels"] == MIX_CHANNELS[mix_type]
        assert sidecar["received_samples"] == length == placed.summary.samples
        assert (sidecar["complete"], sidecar["completeness"], sidecar["gaps"]) == (True, 1.0, [])
        assert sidecar["close"] == {"code": 1000, "reason": "", "by": "jambonz"}
        assert (placed.summary.taken, placed.summary.lost_samples, placed.summary.wrong) == (True, 0, 0)
