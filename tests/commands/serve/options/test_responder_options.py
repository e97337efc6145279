"""What ``listenctl serve`` does with calls by itself, as users start it."""

import json
import signal
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.helpers.cli import listenctl, refusal, service
from tests.helpers.server import until
from tests.helpers.simulated_calls import is_alive, without_silence

SERVE = ("serve", "--port", "0", "--json")
STREAMING = ("--streaming", "8000", "-m", "streamRate:=8000")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--echo", "--exec", "cat"], "--echo and --exec both answer the caller"),
        (["--exec", ""], "--exec needs a command"),
        (["--exec", "'cat"], "no closing quotation"),
        (["--exec", "/nonexistent/agent x"], "there is no executable program '/nonexistent/agent'"),
        (["--play", "nothing.wav"], "--play 'nothing.wav': can't be read: No such file"),
        (["--play", ""], "--play '': can't be read"),
        (["--play", "/etc/passwd"], "give a sound file or speech"),
        (["--play", "/tmp"], "--play '/tmp': is not a regular file; give a sound file or speech"),
        (["--play", "empty.wav"], "--play 'empty.wav': holds no audio; give a sound file"),
        (["--play", "tone:440"], "--play 'tone:440': a greeting needs an end"),
        (["--play", "tone:abc"], "--play 'tone:abc': a greeting needs an end"),
        (["--play", "mic"], "--play 'mic': a greeting needs an end"),
        (["--play", "silence"], "--play 'silence': a greeting needs an end"),
        (["--play", "-"], "--play - isn't possible"),
        (["--echo", "--lead", "7s"], "--lead 7s: must be between 20ms and 5s"),
        (["--echo", "--lead", "soon"], "--lead 'soon' isn't a time"),
        (["--echo", "--lead", "1s"], "--lead needs --play or --exec"),
        (["--exec-end", "disconnect"], "--exec-end needs --exec"),
        (["--play", "speech", "--exec-channel", "left"], "--exec-channel needs --exec"),
        (["--dump", ""], "--dump is empty"),
        (["--upstream", ""], "--upstream is empty"),
        (["--upstream", "ws://h/a#b"], "--upstream can't have a fragment"),
        (["--echo", "--upstream", "ws://127.0.0.1:1/"], "leave out --play, --echo and --exec"),
    ],
)
def test_what_cant_be_done_is_refused_at_the_start(options: list[str], complaint: str, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "empty.wav", np.zeros(0, np.int16), 8000)

    assert complaint in refusal("serve", "--port", "0", *options, home=tmp_path)


@pytest.mark.parametrize("option", ["--echo", "--upstream", "--play"])
def test_what_serve_has_is_named_where_record_is_asked_for_it(option: str, tmp_path: Path) -> None:
    said = refusal("record", option, "x", home=tmp_path)

    assert f"record has no {option}, but `listenctl serve --record DEST` has" in said


def test_a_variable_may_say_of_a_program_what_is_of_no_use_today(tmp_path: Path) -> None:
    env = {"LISTENCTL_EXEC_END": "disconnect"}

    run = listenctl("serve", "--port", "0", "--timeout", "0", home=tmp_path, env=env)

    assert run.returncode == 124


async def test_a_server_greets_and_then_runs_a_program(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "hello.wav", np.full(4000, 1000, np.int16), 8000, subtype="PCM_16")
    agent = 'sh -c \'echo "$LISTENCTL_CALL" >&2; head -c 3200 | tr "\\000-\\377" "\\020"; exit 3\''

    options = ("--play", "hello.wav", "--exec", agent, "--exec-end", "disconnect")
    async with service(*SERVE, *options, home=tmp_path) as server:
        started = await server.started()
        # The call ends when the program has, however long it takes to start.
        called = listenctl(
            "call", started["url"], "--duration", "60", "--heard", "heard.wav", *STREAMING, home=tmp_path
        )
        server.process.send_signal(signal.SIGTERM)
        events = [json.loads(line) for line in (await server.events.read()).splitlines()]
        status, errors = await server.status()
    said, played, ended = (
        next(event for event in events if event["event"] == kind) for kind in ("exec-said", "played", "exec-ended")
    )

    heard = without_silence(soundfile.read(tmp_path / "heard.wav", dtype="int16")[0][:, 1])
    assert called.returncode == 0
    assert said["line"] == said["call_sid"]
    assert (played["outcome"], played["mode"]) == ("played", "stream")
    assert (ended["status"], ended["signal"]) == (3, None)
    assert heard.tolist() == [1000] * 4000 + [0x1010] * 1600
    assert (status, errors) == (0, "")


async def test_the_second_signal_ends_the_programs_too(tmp_path: Path) -> None:
    agent = "sh -c 'trap \"\" TERM; echo $$ >&2; while :; do sleep 60; done'"

    async with service(*SERVE, "--exec", agent, home=tmp_path) as server:
        url = (await server.started())["url"]
        async with service("call", url, "--duration", "30", "--quiet", home=tmp_path):
            pid = int((await server.next("exec-said"))["line"])
            server.process.send_signal(signal.SIGTERM)
            await server.next("call-ended")
            status, _ = await server.end(signal.SIGTERM)

    assert status == 128 + signal.SIGTERM
    await until(lambda: not is_alive(pid))
