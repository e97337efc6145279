"""Playing a sound to a live call of a real server: on simulated time, and as a process where users see one."""

import asyncio
import json
import signal
from asyncio.subprocess import PIPE
from contextlib import AbstractAsyncContextManager
from math import inf
from pathlib import Path
from typing import Any

import pytest

from listenctl.commands.live_calls.live_call_options import recipient_of
from listenctl.commands.live_calls.play_to_call import PlayOptions, play_settings, sound_edits
from listenctl.commands.live_calls.play_to_call_run import run_play
from listenctl.commands.live_calls.send_command_run import run_command
from listenctl.errors import ListenctlError, NotFoundError, TimedOutError, UsageError
from listenctl.protocol.application_commands import KillAudio
from listenctl.protocol.listen_verb.listen_verb import ListenVerb
from tests.helpers.cli import Service, service
from tests.helpers.server import until
from tests.helpers.simulated_calls import LiveCall, clips, live_call, noise, streaming, write_sound
from tests.helpers.terminals import on_terminal

pytestmark = pytest.mark.simulated_time
AS_PROCESS = pytest.mark.simulated_time(False)
STREAM_AND_CLIPS = pytest.mark.parametrize("verb", [streaming(), clips()], ids=["stream", "clip"])


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)


async def play(source: str, **changes: Any) -> int:
    """Play to the latest call and wait for the end, unless options say otherwise."""
    values: dict[str, Any] = {"call": "@latest", "source": source, "wait": True} | changes
    options = PlayOptions(**values)
    return await run_play(
        recipient_of(options, endless=True), options.source, sound_edits(options), play_settings(options)
    )


def playing(folder: Path, *arguments: str) -> AbstractAsyncContextManager[Service]:
    return service("play-to-call", "@latest", *arguments, "--wait", home=folder, stdin=PIPE)


async def test_file_is_streamed_unchanged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pcm = noise(0.4, 8000)
    write_sound(tmp_path / "hello.wav", pcm, 8000)
    async with live_call(tmp_path, streaming()) as call:
        status = await play("hello.wav")

    how = "the call streams at 8000 Hz, according to streamRate in the call's metadata"
    assert (status, call.heard.count(pcm)) == (0, 1)
    assert capsys.readouterr() == (f"{call.id}: hello.wav played, 0.40 s; {how}\n", "")


async def test_json_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_sound(tmp_path / "hello.wav", noise(0.2, 16000), 16000)
    async with live_call(tmp_path, clips(call_rate=16000), call_rate=16000) as call:
        await play("hello.wav", json=True)

    assert json.loads(capsys.readouterr().out) == {
        "v": 1,
        "call_sid": call.id,
        "source": "hello.wav",
        "mode": "clip",
        "sample_rate": 16000,
        "known_by": "metadata",
        "outcome": "played",
        "evidence": "play-done",
        "seconds": 0.2,
        "detail": "",
    }


@pytest.mark.parametrize("verb", [streaming(known=False), clips(known=False)], ids=["stream", "clip"])
async def test_unknown_mode_is_probed_and_reported(
    tmp_path: Path, verb: ListenVerb, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sound(tmp_path / "hello.wav", noise(0.2, 8000), 8000)
    async with live_call(tmp_path, verb):
        await play("hello.wav", json=True)

    out, err = capsys.readouterr()
    result = json.loads(out)
    assert err == "listenctl: nothing says how this call takes sound, so it is probed\n"
    assert (result["outcome"], result["known_by"]) == ("played", "probe")


@pytest.mark.parametrize(
    ("verb", "options", "status", "out", "err"),
    [
        (streaming(), {"wait": False}, 0, "hello.wav sent, 0.10 s; ", ""),
        (streaming(), {"mode": "clip"}, 3, "hello.wav sent, but whether it was played isn't known: ", ""),
        (clips(), {"stream_rate": 8000}, 3, "nothing proves that it takes a stream\n", ""),
        (
            streaming(24000, known=False),
            {"stream_rate": 8000},
            3,
            "as if it played faster; 8000 Hz may be the wrong rate; without --stream-rate it is probed\n",
            "",
        ),
    ],
    ids=["not waiting", "clip to a stream", "only an option", "a wrong rate"],
)
async def test_uncertain_results(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    *,
    verb: ListenVerb,
    options: dict[str, Any],
    status: int,
    out: str,
    err: str,
) -> None:
    write_sound(tmp_path / "hello.wav", noise(0.1, 8000), 8000)
    async with live_call(tmp_path, verb):
        assert await play("hello.wav", **options) == status

    printed = capsys.readouterr()
    assert out in printed.out
    assert err in printed.err


async def test_a_stream_to_a_call_that_takes_clips_needs_a_rate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sound(tmp_path / "hello.wav", noise(0.1, 8000), 8000)
    async with live_call(tmp_path, clips()):
        with pytest.raises(ListenctlError, match="can't be measured for certain; give it with --stream-rate"):
            await play("hello.wav", mode="stream")

    assert "the call's metadata says that this call takes clips, not a stream; " in capsys.readouterr().err


async def test_unusable_gain_is_refused(tmp_path: Path) -> None:
    async with live_call(tmp_path, streaming()):
        with pytest.raises(UsageError, match="--gain must be a number"):
            await play("silence", gain=inf)


async def test_kill_audio_of_another_tool_is_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with live_call(tmp_path, streaming()) as call, asyncio.TaskGroup() as group:
        playing = group.create_task(play("tone:440"))
        await until(lambda: call.sounds)
        await run_command(recipient_of(PlayOptions(call="@latest", source="-", timeout=60)), KillAudio().serialize())
        assert await playing == 1

    assert "tone:440 interrupted after " in capsys.readouterr().out


async def test_timeout_stops_the_sound(tmp_path: Path) -> None:
    async with live_call(tmp_path, streaming()) as call:
        with pytest.raises(TimedOutError, match="not played within 1 s"):
            await play("tone:440", timeout=1)
        await until(lambda: call.call.snapshot().buffered == 0)


@STREAM_AND_CLIPS
async def test_end_of_the_call_is_an_error_with_a_json_result(
    tmp_path: Path, verb: ListenVerb, capsys: pytest.CaptureFixture[str]
) -> None:
    async def hang_up(call: LiveCall) -> None:
        await until(lambda: call.sounds)
        call.call.hang_up()

    async with live_call(tmp_path, verb) as call, asyncio.TaskGroup() as group:
        group.create_task(hang_up(call))
        with pytest.raises(NotFoundError, match="the call has ended"):
            await play("speech", json=True)

    result = json.loads(capsys.readouterr().out)
    assert (result["outcome"], result["evidence"], result["detail"]) == ("interrupted", None, "the call has ended")
    assert 0 < result["seconds"] < 1


# As a process.


@AS_PROCESS
@STREAM_AND_CLIPS
async def test_stdin_is_played_completely(tmp_path: Path, verb: ListenVerb) -> None:
    pcm = noise(0.5, 8000)
    async with live_call(tmp_path, verb) as call, playing(tmp_path, "-") as command:
        _, out, _ = await command.result(pcm)

    assert "- played, 0.50 s; " in out
    assert call.heard.count(pcm) == 1


@AS_PROCESS
async def test_empty_stdin_is_wrong_usage(tmp_path: Path) -> None:
    async with live_call(tmp_path, streaming()), playing(tmp_path, "-") as command:
        status, _, err = await command.result(b"")

    assert status == 2
    assert "stdin: ended without any audio" in err


@AS_PROCESS
@pytest.mark.parametrize(
    ("verb", "number"), [(streaming(), signal.SIGINT), (clips(), signal.SIGTERM)], ids=["stream", "clip"]
)
async def test_signal_stops_the_sound_in_the_call(tmp_path: Path, verb: ListenVerb, number: signal.Signals) -> None:
    async with live_call(tmp_path, verb) as call, playing(tmp_path, "speech", "--json") as command:
        await until(lambda: call.sounds)
        command.process.send_signal(number)
        status, out, err = await command.result()
        await until(lambda: call.call.snapshot().buffered == 0)

    result = json.loads(out)
    assert (status, err) == (128 + number, "")
    assert (result["outcome"], result["detail"]) == ("interrupted", "stopped before its end")
    assert call.run.events.of("call-ended")


@AS_PROCESS
async def test_progress_is_drawn_on_a_terminal(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "hello.wav", noise(1.0, 8000), 8000)
    async with (
        live_call(tmp_path, streaming()) as call,
        on_terminal("play-to-call", "@latest", str(path), home=tmp_path) as terminal,
    ):
        await terminal.until("playing")
        drawn = await terminal.to_end()

    assert terminal.process.returncode == 0
    assert " / 0:01.0" in drawn
    assert "lead 0." in drawn
    # The terminal is narrower than the line.
    assert f"{call.id}: {tmp_path}" in drawn.replace("\r\n  ", " ")
