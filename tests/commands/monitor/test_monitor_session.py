"""``monitor`` without a loudspeaker: what it saves, what it prints, and how it ends."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.helpers.cli import ROOT, Service, listenctl_beside, service
from tests.helpers.control import FakeControl, controlled, fake_control, live_call
from tests.helpers.frames import binary, text
from tests.helpers.server import mode_of, until
from tests.helpers.simulated_calls import interleave
from tests.helpers.sound_devices import tone

NO_DEVICE = ("--device", "no such thing")
TONE = tone(440, 0.5, 8000)
DTMF = '{"event": "dtmf", "dtmf": "5", "duration": "1600"}'
TOO_SLOW = '{"type": "listenctl:error", "data": {"reason": "too-slow", "detail": "d", "dropped_samples": 20000}}'
SERVER_WARNING = {"v": 1, "ts": "2026-11-20T22:33:44.567Z", "event": "warning", "call": None, "call_sid": None} | {
    "rule": "no-sound",
    "detail": "no sound: speaker: gone",
}

monitor = partial(service, "monitor")


@asynccontextmanager
async def fake_and_monitor(
    folder: Path, *options: str, calls: Sequence[dict[str, Any]] = (), events: Sequence[dict[str, Any]] = ()
) -> AsyncIterator[tuple[FakeControl, Service]]:
    """Run a fake server, and a monitor without sound."""
    async with (
        fake_control(folder, calls=[*calls], events=[*events], hold_events=True) as control,
        monitor("--mute", *options, home=folder) as command,
    ):
        yield control, command


@pytest.mark.parametrize(
    ("mix", "channel", "saved"),
    [
        ("mono", "both", [TONE]),
        ("stereo", "both", [TONE, TONE // 2]),
        ("stereo", "left", [TONE]),
        ("stereo", "right", [TONE // 2]),
        ("stereo", "mix", [TONE + TONE // 2]),
    ],
)
async def test_samples_of_a_call_are_saved_unchanged_without_a_device(
    mix: str, channel: str, saved: list[np.ndarray[tuple[int], np.dtype[np.int16]]], tmp_path: Path
) -> None:
    pcm = TONE.tobytes() if mix == "mono" else interleave(TONE, TONE // 2)
    path = tmp_path / "saved.wav"
    options = ("one", "--channel", channel, "--save", str(path), *NO_DEVICE)
    async with controlled(tmp_path) as server:
        peer = await server.place_call("one", mix=mix)
        async with monitor(*options, home=tmp_path) as command:
            await server.wait_for_tools()
            await peer.send(binary(pcm))
            await peer.close()
            status, _ = await command.status()

    samples, rate = soundfile.read(path, dtype="int16", always_2d=True)
    assert (status, rate) == (0, 8000), command.said
    assert np.array_equal(samples, np.stack(saved, axis=1))
    assert mode_of(path) == 0o600
    assert "one: the call has ended" in command.said
    assert "Traceback" not in command.said
    assert "leaked" not in command.said


async def test_raw_samples_on_stdout(tmp_path: Path) -> None:
    async with controlled(tmp_path) as server:
        peer = await server.place_call("one")
        async with monitor("one", "--save", "-", "--mute", home=tmp_path) as command:
            await command.says("stdout: 16-bit little-endian samples at 8000 Hz, one channel")
            await server.wait_for_tools()
            await peer.send(binary(TONE.tobytes()))
            await peer.close()
            heard = await command.events.read()
            status, _ = await command.status()

    assert (status, heard) == (0, TONE.tobytes())


async def test_closed_pipe_ends_the_monitor(tmp_path: Path) -> None:
    async with controlled(tmp_path) as server:
        await server.place_call("one")
        async with monitor("--save", "-", "--mute", home=tmp_path) as command:
            await command.events.read(1000)
            command.process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]
            status, _ = await command.status()

    assert (status, command.said.count("listenctl:")) == (0, 1)


def saves_whole_tones(path: Path) -> bool:
    """Return whether both sides of a file that is being written have had sound, and are silent again."""
    samples, rate = soundfile.read(path)
    return samples.size > 0 and bool(samples.any(axis=0).all()) and not samples[-rate // 10 :].any()


async def test_mix_of_several_calls_is_saved(tmp_path: Path) -> None:
    path = tmp_path / "saved.wav"
    async with controlled(tmp_path) as server:
        peers = [await server.place_call("one"), await server.place_call("two")]
        async with monitor("--all", "--mute", "--save", str(path), home=tmp_path) as command:
            await server.wait_for_tools(2)
            # The mix is saved from the moment at which its mixer is ready.
            await until(lambda: path.exists() and len(soundfile.read(path)[0]) > 0)
            await peers[0].send(binary(tone(440, 0.18, 8000).tobytes()))
            await peers[1].send(binary(tone(1000, 0.18, 8000).tobytes()))
            await until(lambda: saves_whole_tones(path))
            status, _ = await command.end(signal.SIGINT)

    samples, rate = soundfile.read(path)
    spectra = [np.abs(np.fft.rfft(samples[:, side], 48000)) for side in (0, 1)]
    assert (status, rate) == (0, 48000)
    assert [int(spectrum.argmax()) for spectrum in spectra] == pytest.approx([440, 1000], abs=4)
    assert spectra[0][1000] < spectra[0][440] / 50


async def test_missing_device_is_reported_once(tmp_path: Path) -> None:
    async with controlled(tmp_path) as server, monitor(*NO_DEVICE, home=tmp_path) as command:
        await command.says("no sound: speaker no such thing: can't be opened: No output device matching")
        peer = await server.place_call("one")
        await command.says("call-started one")
        await server.wait_for_tools()
        await peer.send(text(DTMF))
        await command.says("dtmf one 5")
        await peer.close()
        await command.says("call-ended one")
        status, _ = await command.end(signal.SIGINT)

    assert status == 0
    assert command.said.count("no sound") == 1


async def test_missing_portaudio_is_reported_and_audio_still_saved(tmp_path: Path) -> None:
    missing = tmp_path / "without"
    missing.mkdir()
    (missing / "sounddevice.py").write_text('raise OSError("PortAudio library not found")\n')
    env = {"PYTHONPATH": f"{missing}:{ROOT}"}
    async with controlled(tmp_path) as server:
        peer = await server.place_call("one")
        async with monitor("one", "--save", "saved.wav", home=tmp_path, env=env) as command:
            await server.wait_for_tools()
            await peer.send(binary(TONE.tobytes()))
            await peer.close()
            status, said = await command.status()
        listed = await listenctl_beside("monitor", "--list-devices", home=tmp_path, env=env)

    sentence = "sound devices need the PortAudio library, which is missing; install it"
    assert status == 0
    assert f"listenctl: no sound: {sentence}" in said
    assert np.array_equal(soundfile.read(tmp_path / "saved.wav", dtype="int16")[0], TONE)
    assert (listed.returncode, listed.stdout) == (1, "")
    assert listed.stderr.startswith(f"listenctl: {sentence}")


async def test_monitor_ends_with_the_server(tmp_path: Path) -> None:
    async with controlled(tmp_path) as server:
        await server.place_call("one")
        async with monitor("--mute", home=tmp_path) as command:
            await server.wait_for_tools()
            server.run.server.shutdown.begin()
            await server.run.ended
            status, _ = await command.status()

    assert status == 0
    assert command.said.endswith("listenctl: the server has ended\n")


async def test_lost_connection_is_status_1(tmp_path: Path) -> None:
    async with fake_and_monitor(tmp_path, calls=[live_call()]) as (control, command):
        await until(lambda: len(control.connections) == 2)
        control.abort()
        status, _ = await command.status()

    assert status == 1
    assert "listenctl: the connection to the server broke" in command.said


async def test_skipped_audio_is_reported(tmp_path: Path) -> None:
    async with fake_and_monitor(tmp_path, "7f1c", calls=[live_call()]) as (control, command):
        await until(lambda: len(control.connections) == 2)
        await control.connections[-1].send(TOO_SLOW)
        printed = await command.says("skipped")

    assert printed == "listenctl: 7f1c9a52-aaaa: 2.5 s of sound skipped, because this computer was too slow\n"


@pytest.mark.parametrize(
    ("name", "calls", "printed"),
    [
        ("nobody", [], "there is no live call"),
        ("@latest", [], "there is no live call"),
        ("ab", ["ab1", "ab2"], "ab matches 2 live calls: ab1, ab2"),
    ],
)
async def test_name_of_no_call_is_status_4(name: str, calls: list[str], printed: str, tmp_path: Path) -> None:
    async with controlled(tmp_path) as server:
        for call in calls:
            await server.place_call(call)
        async with monitor(name, "--mute", home=tmp_path) as command:
            assert await command.status() == (4, f"listenctl: {printed}\n")


async def test_call_that_isnt_listed_is_status_4(tmp_path: Path) -> None:
    async with fake_and_monitor(tmp_path, "7f1c") as (_, command):
        assert await command.status() == (4, "listenctl: there is no live call 7f1c\n")


async def test_dropped_call_is_attached_again(tmp_path: Path) -> None:
    calls = [live_call("one"), live_call("two")]
    async with fake_and_monitor(tmp_path, calls=calls) as (control, command):
        await until(lambda: len(control.connections) == 3)
        one = next(each for each in control.connections if each.request and "/one" in each.request.path)
        await one.close(1008, "too slow")
        printed = await command.says("closed the connection")
        await until(lambda: len([target for target in control.targets if "/one" in target]) == 2)
        status, _ = await command.end(signal.SIGINT)

    assert printed == "listenctl: one: the server closed the connection: too slow; reconnecting\n"
    assert len([target for target in control.targets if "/two" in target]) == 1
    assert status == 0


async def test_dropped_events_are_followed_again(tmp_path: Path) -> None:
    async with fake_and_monitor(tmp_path) as (control, command):
        await command.says("waiting for a call")
        control.calls = [live_call("one")]
        await control.connections[0].close(1008, "too slow")
        printed = await command.says("closed the connection")
        await until(lambda: "/calls/one?audio=1" in control.targets)
        status, _ = await command.end(signal.SIGINT)

    assert printed.startswith("listenctl: events: the server closed the connection: too slow; reconnecting")
    assert status == 0


async def test_warning_about_the_sound_of_the_server_names_it(tmp_path: Path) -> None:
    async with fake_and_monitor(tmp_path, events=[SERVER_WARNING]) as (_, command):
        printed = await command.says("no sound")

    assert printed.endswith(" warning the server: no sound: speaker: gone\n")


async def test_interrupts_during_the_end_are_ignored(tmp_path: Path) -> None:
    async with monitor("--name", "nosuch", home=tmp_path) as command:
        await command.says("")
        for _ in range(20):
            with suppress(ProcessLookupError):
                # `send_signal` would collect the exit status of a process that has just ended.
                os.kill(command.process.pid, signal.SIGINT)
            await asyncio.sleep(0)
        status, said = await command.status()

    assert status in (4, 130)
    assert said.count("\n") == 1


@pytest.mark.parametrize(("name", "problem"), [("mine.wav", "already exists"), ("missing/saved.wav", "No such file")])
async def test_unusable_file_is_status_2(name: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "mine.wav").write_text("mine")
    async with fake_and_monitor(tmp_path, "7f1c", "--save", name, calls=[live_call()]) as (_, command):
        status, said = await command.status()

    assert status == 2
    assert f"{name}: " in said
    assert problem in said
    assert (tmp_path / "mine.wav").read_text() == "mine"
