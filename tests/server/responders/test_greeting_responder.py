"""Each caller hears a sound first."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
import soundfile

from listenctl.play_to_call.playable_sound import prepare_sound
from listenctl.server.responders.echo_responder import EchoResponder
from listenctl.server.responders.exec_responder import ExecProgram, ExecResponder
from listenctl.server.responders.greeting_responder import GreetingResponder
from tests.helpers.simulated_calls import (
    answer_call,
    as_streamed,
    make_noise,
    place_and_hear,
    plan_to_hear,
    responding,
    without_silence,
)

pytestmark = pytest.mark.simulated_time


async def greeting(path: Path) -> GreetingResponder:
    return GreetingResponder(await prepare_sound(str(path)), lead=0.2)


def reader(path: Path) -> ExecResponder:
    """Return a program that keeps what it hears."""
    return ExecResponder(ExecProgram(["sh", "-c", f"cat > {path}"]))


def write_tone(path: Path, value: int, samples: int) -> Path:
    soundfile.write(path, np.full(samples, value, np.int16), 8000, subtype="PCM_16")
    return path


@pytest.mark.parametrize(("stream_rate", "mode", "evidence"), [(8000, "stream", "mark"), (None, "clip", "play-done")])
async def test_callers_are_greeted_in_the_way_that_their_call_takes(
    stream_rate: int | None, mode: str, evidence: str, tmp_path: Path
) -> None:
    noise = make_noise(tmp_path, sample_rate=8000, samples=8000)
    soundfile.write(tmp_path / "hello.wav", noise.samples[0], 8000, subtype="PCM_16")

    async with responding(await greeting(tmp_path / "hello.wav")) as run:
        plans = [
            plan_to_hear(
                run,
                tmp_path / f"heard-{number}.wav",
                duration=3.0,
                stream_rate=stream_rate,
                metadata={"streamRate": stream_rate or 0},
            )
            for number in range(2)
        ]
        calls = await asyncio.gather(*(place_and_hear(plan) for plan in plans))
        played = [await run.events.wait_for_one("played", call=heard.metadata.call_sid) for heard in calls]

    expected = as_streamed(noise.samples[0]) if stream_rate else noise.samples[0]
    for heard in calls:
        assert np.array_equal(without_silence(heard.audio), without_silence(expected))
    for event in played:
        assert event["source"] == str(tmp_path / "hello.wav")
        assert (event["mode"], event["known_by"]) == (mode, "metadata")
        assert (event["outcome"], event["evidence"]) == ("played", evidence)
        assert event["seconds"] == pytest.approx(1.0, abs=0.1)


async def test_the_program_is_heard_after_the_greeting(tmp_path: Path) -> None:
    hello = await greeting(write_tone(tmp_path / "hello.wav", 1000, 8000))
    (tmp_path / "pcm").write_bytes(np.full(4000, 2000, "<i2").tobytes())

    program = ExecResponder(ExecProgram(["cat", str(tmp_path / "pcm")]))
    _, heard = await answer_call(tmp_path, hello, program, duration=3.0, metadata={"streamRate": 8000})

    assert without_silence(heard.audio).tolist() == [1000] * 8000 + [2000] * 4000


async def test_the_echo_begins_after_the_greeting(tmp_path: Path) -> None:
    hello = await greeting(write_tone(tmp_path / "hello.wav", 1000, 8000))
    caller = write_tone(tmp_path / "caller.wav", 3000, 24000)

    _, heard = await answer_call(
        tmp_path, hello, EchoResponder(), caller=str(caller), duration=3.0, metadata={"streamRate": 8000}
    )

    sounding = without_silence(heard.audio)
    assert sounding[:8000].tolist() == [1000] * 8000
    assert set(sounding[8000:].tolist()) == {3000}
    assert len(sounding) > 12000


async def test_the_program_takes_the_rate_that_the_greeting_has_found_out(tmp_path: Path) -> None:
    hello = await greeting(write_tone(tmp_path / "hello.wav", 1000, 4000))
    tell = ExecResponder(ExecProgram(["sh", "-c", 'echo "$LISTENCTL_STREAM_RATE" >&2']))

    run, _ = await answer_call(tmp_path, hello, tell, duration=4.0, sample_rate=16000, stream_rate=8000)

    assert [said["line"] for said in run.events.of("exec-said")] == ["8000"]


@pytest.mark.simulated_time(False)
async def test_the_program_hears_the_whole_call_during_a_long_greeting(tmp_path: Path) -> None:
    hello = await greeting(write_tone(tmp_path / "hello.wav", 1000, 32000))
    caller = make_noise(tmp_path, sample_rate=8000, samples=48000)

    run, _ = await answer_call(tmp_path, hello, reader(tmp_path / "pcm"), caller=caller, duration=6.0)

    (ended,), (played,) = run.events.of("exec-ended"), run.events.of("played")
    assert (tmp_path / "pcm").read_bytes() == caller.samples[0].astype("<i2").tobytes()
    assert (ended["dropped_samples"], run.events.of("warning")) == (0, [])
    assert (played["known_by"], played["outcome"]) == ("probe", "played")


@pytest.mark.simulated_time(False)
async def test_a_program_that_had_to_wait_for_the_greeting_hears_the_call_from_then_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As on a busy machine, where measuring the rate takes longer than the audio may wait.
    monkeypatch.setattr("listenctl.play_to_call.rate_probe.certain_rate", lambda measured: 8000 * (len(measured) > 6))
    hello = await greeting(write_tone(tmp_path / "hello.wav", 1000, 16000))
    caller = make_noise(tmp_path, sample_rate=8000, samples=48000)

    run, _ = await answer_call(tmp_path, hello, reader(tmp_path / "pcm"), caller=caller, duration=6.0)

    (ended,) = run.events.of("exec-ended")
    audio = (tmp_path / "pcm").read_bytes()
    assert 0 < len(audio) < 2 * 48000
    assert caller.samples[0].astype("<i2").tobytes().endswith(audio)
    assert (ended["dropped_samples"], run.events.of("warning")) == (0, [])


async def test_the_end_of_the_call_ends_the_greeting_without_a_word(tmp_path: Path) -> None:
    hello = await greeting(write_tone(tmp_path / "hello.wav", 1000, 80000))

    run, _ = await answer_call(tmp_path, hello, duration=0.5, metadata={"streamRate": 8000})

    assert [event["event"] for event in run.events.all if event["event"] in ("played", "warning")] == []


async def test_a_greeting_that_breaks_off_is_a_warning(tmp_path: Path) -> None:
    path = write_tone(tmp_path / "hello.wav", 1000, 80000)
    hello = await greeting(path)
    path.unlink()

    run, _ = await answer_call(tmp_path, hello, duration=0.5, metadata={"streamRate": 8000})

    assert str(path) in (await run.events.wait_for_warning("play-failed"))["detail"]
