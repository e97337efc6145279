"""``play-to-call`` as users run it, against a real server with a simulated call."""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from listenctl.protocol.listen_verb.listen_verb import ListenVerb
from tests.helpers.cli import COMMAND, environment, listenctl
from tests.helpers.control import fake_control
from tests.helpers.live_call import LiveCall, clips, live_call, noise, streaming, write_sound
from tests.helpers.pty_command import on_terminal
from tests.helpers.server import until


async def run(call: LiveCall, *arguments: str, given: bytes = b"") -> CompletedProcess[str]:
    process = await start(call, *arguments)
    out, err = await process.communicate(given)
    assert process.returncode is not None
    return CompletedProcess(arguments, process.returncode, out.decode(), err.decode())


async def start(call: LiveCall, *arguments: str) -> Process:
    env = environment(call.folder)
    return await asyncio.create_subprocess_exec(
        *COMMAND, "play-to-call", *arguments, cwd=call.folder, env=env, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )


async def test_a_file_is_streamed_and_the_end_is_told(tmp_path: Path) -> None:
    pcm = noise(0.4, 8000)
    write_sound(tmp_path / "hello.wav", pcm, 8000)
    async with live_call(tmp_path, streaming()) as call:
        done = await run(call, call.id[:8], "hello.wav", "--wait")

    how = "the call streams at 8000 Hz, according to streamRate in the call's metadata"
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{call.id}: hello.wav played, 0.40 s; {how}\n"
    assert call.heard.count(pcm) == 1


async def test_the_end_is_told_as_json(tmp_path: Path) -> None:
    write_sound(tmp_path / "hello.wav", noise(0.2, 16000), 16000)
    async with live_call(tmp_path, clips(call_rate=16000), call_rate=16000) as call:
        done = await run(call, "@latest", "hello.wav", "--wait", "--json")

    assert json.loads(done.stdout) == {
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
async def test_where_nobody_knows_how_a_call_takes_sound_it_says_that_it_tries(
    tmp_path: Path, verb: ListenVerb
) -> None:
    write_sound(tmp_path / "hello.wav", noise(0.2, 8000), 8000)
    async with live_call(tmp_path, verb) as call:
        done = await run(call, "@latest", "hello.wav", "--wait", "--json")

    told = json.loads(done.stdout)
    assert done.stderr == "listenctl: nothing says how this call takes sound, so it is probed\n"
    assert (told["outcome"], told["known_by"]) == ("played", "probe")


async def test_without_a_terminal_it_ends_when_all_was_sent(tmp_path: Path) -> None:
    pcm = noise(0.3, 8000)
    write_sound(tmp_path / "hello.wav", pcm, 8000)
    async with live_call(tmp_path, streaming()) as call:
        done = await run(call, "@latest", "hello.wav")
        await until(lambda: call.call.snapshot().buffered == 0)

    assert (done.returncode, "hello.wav sent, 0.30 s; " in done.stdout) == (0, True)
    assert pcm in call.heard


@pytest.mark.parametrize("verb", [streaming(), clips()], ids=["stream", "clip"])
async def test_what_is_piped_in_is_played_whole(tmp_path: Path, verb: ListenVerb) -> None:
    pcm = noise(0.5, 8000)
    async with live_call(tmp_path, verb) as call:
        done = await run(call, "@latest", "-", "--wait", given=pcm)

    assert "- played, 0.50 s; " in done.stdout
    assert call.heard.count(pcm) == 1


async def test_the_options_shape_the_sound(tmp_path: Path) -> None:
    pcm = noise(1.0, 8000)
    write_sound(tmp_path / "hello.wav", pcm, 8000)
    async with live_call(tmp_path, streaming()) as call:
        done = await run(
            call, "@latest", "hello.wav", "--wait", "--start", "200ms", "--duration", "0.3", "--lead", "2s"
        )

    assert "hello.wav played, 0.30 s; " in done.stdout
    part = pcm[3200:8000]
    assert part in call.heard
    assert call.heard.replace(part, b"").strip(b"\0") == b""


@pytest.mark.parametrize("verb", [streaming(), clips()], ids=["stream", "clip"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_stops_the_sound_for_the_caller_too(
    tmp_path: Path, verb: ListenVerb, number: signal.Signals
) -> None:
    async with live_call(tmp_path, verb) as call:
        process = await start(call, "@latest", "speech", "--wait", "--json")
        await until(lambda: call.sounds)
        process.send_signal(number)
        out, err = await process.communicate()
        await until(lambda: call.call.snapshot().buffered == 0)

    told = json.loads(out)
    assert (process.returncode, err) == (128 + number, b"")
    assert (told["outcome"], told["detail"]) == ("interrupted", "stopped before its end")
    assert 0 < told["seconds"] < 8
    assert call.run.events.of("call-ended")


async def test_a_kill_from_another_terminal_is_status_1(tmp_path: Path) -> None:
    async with live_call(tmp_path, streaming()) as call:
        process = await start(call, "@latest", "tone:440", "--wait")
        await until(lambda: call.sounds)
        await asyncio.to_thread(lambda: listenctl("kill-audio", "@latest", home=tmp_path))
        out, _ = await process.communicate()

    assert process.returncode == 1
    assert b"tone:440 interrupted after " in out


async def test_what_nothing_tells_is_status_3(tmp_path: Path) -> None:
    write_sound(tmp_path / "hello.wav", noise(0.1, 8000), 8000)
    async with live_call(tmp_path, streaming()) as call:
        done = await run(call, "@latest", "hello.wav", "--wait", "--mode", "clip")

    assert done.returncode == 3
    assert "hello.wav sent, but whether it was played isn't known: " in done.stdout


async def test_a_timeout_stops_the_sound(tmp_path: Path) -> None:
    async with live_call(tmp_path, streaming()) as call:
        done = await run(call, "@latest", "tone:440", "--wait", "--timeout", "1")
        await until(lambda: call.call.snapshot().buffered == 0)

    assert (done.returncode, done.stderr) == (124, "listenctl: not played within 1 s\n")


async def test_a_call_that_ends_meanwhile_is_status_4(tmp_path: Path) -> None:
    async with live_call(tmp_path, streaming()) as call:
        process = await start(call, "@latest", "tone:440", "--wait")
        await until(lambda: call.sounds)
        call.call.hang_up()
        _, err = await process.communicate()

    assert (process.returncode, err) == (4, b"listenctl: the call has ended\n")


@pytest.mark.parametrize("verb", [streaming(), clips()], ids=["stream", "clip"])
async def test_as_json_the_end_of_the_call_is_told_too(tmp_path: Path, verb: ListenVerb) -> None:
    async with live_call(tmp_path, verb) as call:
        process = await start(call, "@latest", "speech", "--wait", "--json")
        await until(lambda: call.sounds)
        call.call.hang_up()
        out, _ = await process.communicate()

    told = json.loads(out)
    assert process.returncode == 4
    assert (told["outcome"], told["evidence"], told["detail"]) == ("interrupted", None, "the call has ended")
    assert 0 < told["seconds"] < 5


async def test_an_option_alone_is_no_proof_that_a_call_takes_a_stream(tmp_path: Path) -> None:
    write_sound(tmp_path / "hello.wav", noise(0.1, 8000), 8000)
    async with live_call(tmp_path, clips()) as call:
        done = await run(call, "@latest", "hello.wav", "--wait", "--stream-rate", "8000")

    assert done.returncode == 3
    assert "nothing proves that it takes a stream" in done.stdout


async def test_who_wants_a_stream_against_the_metadata_is_told(tmp_path: Path) -> None:
    write_sound(tmp_path / "hello.wav", noise(0.1, 8000), 8000)
    async with live_call(tmp_path, clips()) as call:
        done = await run(call, "@latest", "hello.wav", "--mode", "stream")

    assert "the call's metadata says that this call takes clips, not a stream; " in done.stderr
    assert "nobody says" not in done.stderr


async def test_piped_silence_of_no_length_is_wrong_usage(tmp_path: Path) -> None:
    async with live_call(tmp_path, streaming()) as call:
        done = await run(call, "@latest", "-", "--wait")

    assert (done.returncode, "stdin: ended without any audio" in done.stderr) == (2, True)


async def test_on_a_terminal_it_shows_how_far_it_is(tmp_path: Path) -> None:
    write_sound(tmp_path / "hello.wav", noise(1.0, 8000), 8000)
    async with (
        live_call(tmp_path, streaming()) as call,
        on_terminal("play-to-call", "@latest", str(tmp_path / "hello.wav"), home=tmp_path) as terminal,
    ):
        await terminal.until("playing")
        drawn = await terminal.to_end()

    assert terminal.process.returncode == 0
    assert " / 0:01.0" in drawn
    assert "lead 0." in drawn
    assert f"{call.id}: {tmp_path}" in drawn


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--mode", "clip", "--stream-rate", "8000"], "--mode clip has no --stream-rate"),
        (["--stream-rate", "12"], "--stream-rate 12 isn't an audio rate"),
        (["--lead", "10ms"], "--lead 10ms: must be between 20ms and 5s"),
        (["--lead", "soon"], "--lead 'soon' isn't a time"),
        (["--duration", "-1"], "--duration '-1' isn't a time"),
        (["--gain", "inf"], "--gain must be a number"),
        (["--timeout", "nan"], "--timeout must be a number of seconds"),
        (["--channel", "0"], "--channel"),
    ],
)
async def test_options_that_make_no_sense_are_refused(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    async with fake_control(tmp_path) as control:
        done = await asyncio.to_thread(
            lambda: listenctl("play-to-call", "@latest", "silence", *arguments, home=tmp_path)
        )

    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr
    assert control.sent == []


def test_without_a_server_nothing_is_played(tmp_path: Path) -> None:
    done = listenctl("play-to-call", "@latest", "tone:440", home=tmp_path)

    assert (done.returncode, "no server named default is running" in done.stderr) == (4, True)


def test_what_is_not_needed_is_not_imported_before_the_sound() -> None:
    code = (
        "import sys, listenctl.commands.live_calls.play_to_call, listenctl.commands.serve.command;"
        "import listenctl.commands.live_calls.play_to_call_run;"
        "print(*sorted({'numpy', 'rich', 'sounddevice', 'soundfile', 'soxr'} & sys.modules.keys()))"
    )

    done = asyncio.run(_python(code))

    assert done == b"\n"


async def _python(code: str) -> bytes:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=PIPE)
    out, _ = await process.communicate()
    return out
