"""A server that others find, that dumps its calls, and that waits for a call no longer than it should."""

import asyncio
import json
import shutil
import signal
import subprocess
from collections.abc import Coroutine
from pathlib import Path

import pytest

from listenctl.background_task import background_task
from listenctl.commands.serve.command import ServeOptions
from listenctl.commands.serve.run import run_server
from listenctl.errors import TimedOutError
from listenctl.live_client.list_calls import list_calls
from listenctl.protocol.listen_session import Sender
from tests.commands.serve.test_command import AUDIO, METADATA, call
from tests.helpers.cli import listenctl, refusal, service
from tests.helpers.control import controlled
from tests.helpers.dumps import load, shapes_of
from tests.helpers.frames import HANDSHAKE, binary, close, cut_frames, text
from tests.helpers.server import LIMIT, Events, Peer, faster, mode_of, running, until
from tests.helpers.sound_devices import sound_system

SERVE = ("serve", "--port", "0", "--json")


async def test_a_server_opens_its_control_socket_and_removes_it(tmp_path: Path) -> None:
    async with service(*SERVE, "--name", "pbx-2", home=tmp_path) as server:
        path = (await server.started())["control"]
        mode = mode_of(path)
        status, _ = await server.end(signal.SIGTERM)

    assert path == str(tmp_path / "listenctl" / "pbx-2.sock")
    assert mode == 0o600
    assert status == 0
    assert not (tmp_path / "listenctl" / "pbx-2.sock").exists()


async def test_a_second_server_needs_a_name_of_its_own(tmp_path: Path) -> None:
    async with service(*SERVE, home=tmp_path) as first:
        await first.started()

        refused = listenctl("record", "--port", "0", "--name", "default", home=tmp_path)
        async with service(*SERVE, home=tmp_path, env={"LISTENCTL_NAME": "second"}) as second:
            path = (await second.started())["control"]

    assert refused.returncode == 1
    assert refused.stderr == "listenctl: a server named default is already running; choose another --name\n"
    assert path == str(tmp_path / "listenctl" / "second.sock")


async def test_a_second_server_without_a_name_takes_calls_all_the_same(tmp_path: Path) -> None:
    async with service(*SERVE, home=tmp_path) as first:
        await first.started()
        async with service(*SERVE, home=tmp_path) as second:
            started = await second.started()
            warning = await second.next("warning")
            status, _ = await second.end(signal.SIGTERM)

        assert (tmp_path / "listenctl" / "default.sock").exists()

    assert started["control"] is None
    assert (warning["rule"], warning["call"]) == ("no-control", None)
    assert "a server named default is already running; choose another --name" in warning["detail"]
    assert status == 0


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("tenant", "the verb's metadata lacks it"),
        ("callSidd", "the verb's metadata lacks it; did you mean {callSid}?"),
    ],
)
async def test_a_field_that_only_a_verb_can_add_is_a_warning_at_the_start(
    tmp_path: Path, field: str, said: str
) -> None:
    async with service(*SERVE, "--record", f"{tmp_path}/{{{field}}}/{{callSid}}.wav", home=tmp_path) as server:
        await server.started()
        warning = await server.next("warning")

    assert (warning["rule"], warning["call"]) == ("unknown-field", None)
    assert warning["detail"].startswith(f"{{{field}}} is no field of jambonz, so names have `unknown`")
    assert warning["detail"].endswith(said)


@pytest.mark.parametrize(
    ("reads", "warns", "lost"),
    [("head -c 100 >/dev/null; ", True, True), ("", True, False), ("exec <&-; ", False, False)],
    ids=["a program that is too slow", "one that never reads", "one that closes stdin"],
)
async def test_audio_that_a_program_does_not_read_in_time_is_lost(
    tmp_path: Path, reads: str, warns: bool, lost: bool
) -> None:
    (tmp_path / "bot.sh").write_text(f"{reads}echo ready >&2; while [ ! -e heard ]; do sleep 0.05; done")
    async with service(*SERVE, "--exec", "sh bot.sh", "--stream-rate", "8000", home=tmp_path) as server:
        peer = await call((await server.started())["port"], binary(AUDIO))
        await server.next("exec-said")
        await peer.send(*[binary(bytes(32_000))] * 10)
        rules = {(await server.next("warning"))["rule"]} if warns else set()
        await peer.send(close())
        (tmp_path / "heard").touch()
        ended = await server.next("exec-ended")
        server.process.send_signal(signal.SIGTERM)
        total = await server.next("server-ended")
        status, _ = await server.status()
        await peer.close()

    assert rules == ({"exec-too-slow"} if warns else set())
    assert (ended["dropped_samples"] > 0, total["unread_seconds"] > 0) == (lost, lost)
    assert total["unread_seconds"] == ended["dropped_seconds"]
    assert status == (3 if lost else 0)


async def test_a_server_can_do_without_a_control_socket(tmp_path: Path) -> None:
    async with service(*SERVE, "--no-control", home=tmp_path) as server:
        path = (await server.started())["control"]

    assert path is None
    assert not (tmp_path / "listenctl").exists()


def test_a_name_that_is_none_is_wrong_usage(tmp_path: Path) -> None:
    said = refusal("serve", "--name", "a/b", home=tmp_path)

    assert said == "listenctl: --name 'a/b': use 1 to 64 of the characters A-Z a-z 0-9 . _ -\n"


def test_a_server_that_starts_doesnt_import_what_answers_tools(tmp_path: Path) -> None:
    timed_out = listenctl(
        "serve", "--port", "0", "--timeout", "0.1", "--quiet", home=tmp_path, env={"PYTHONPROFILEIMPORTTIME": "1"}
    )

    assert timed_out.returncode == 124
    assert "listenctl.server.control_api.control_socket" in timed_out.stderr
    assert "websockets.asyncio" not in timed_out.stderr


@pytest.mark.parametrize("command", [("serve",), ("record", "out")], ids=["serve", "record"])
async def test_a_call_is_dumped(command: tuple[str, ...], tmp_path: Path) -> None:
    async with service(*command, "--port", "0", "--json", "--once", "--dump", "dumps", home=tmp_path) as server:
        port = (await server.started())["port"]
        peer = await call(port, binary(AUDIO), close())
        await peer.read_to_end()
        await peer.close()
        saved = await server.next("dump-saved")
        status, said = await server.status()

    dump = load(tmp_path / saved["path"])
    assert (status, said) == (0, "")
    assert (saved["call"], saved["path"]) == ("CS-A", "dumps/CS-A.jsonl")
    assert dump.payloads(Sender.JAMBONZ)[1:] == [AUDIO, b"\x03\xe8"]
    assert dump.header.server == f"ws://127.0.0.1:{port}/"
    assert dump.end is not None


async def test_a_dump_can_be_followed_while_the_call_lasts_and_read_after_kill_9(tmp_path: Path) -> None:
    jq = shutil.which("jq")
    assert jq is not None
    path = tmp_path / "dumps" / "CS-A.jsonl"
    async with service(*SERVE, "--dump", "dumps", home=tmp_path) as server:
        peer = await call((await server.started())["port"], binary(AUDIO))
        await until(lambda: path.exists() and path.read_bytes().count(b"\n") >= 3)
        live = subprocess.run(  # noqa: ASYNC221 - the call waits
            [jq, "-c", "select(.opcode) | [.from, .opcode]", path], capture_output=True, text=True, check=True
        )
        status, _ = await server.end(signal.SIGKILL)
        await peer.close()

    dump = load(path)
    assert live.stdout.split() == ['["jambonz","text"]', '["jambonz","binary"]']
    assert status == -signal.SIGKILL
    assert dump.shapes(Sender.JAMBONZ) == shapes_of(cut_frames(METADATA + binary(AUDIO)))
    assert dump.end is None


def test_a_folder_that_cannot_take_dumps_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    said = refusal("serve", "--port", "0", "--dump", "file", home=tmp_path)

    assert "file: not a folder, so dumps can't be written there" in said


def serve_here(events: Events, patience: float, **settings: float) -> Coroutine[object, object, int]:
    """Run a server in this process: on a busy machine, a client may come later than any real timeout allows."""
    options = ServeOptions(quiet=True)
    return run_server(faster(**settings), options, on_event=events, stop_after=1, patience=patience)


@pytest.mark.simulated_time
async def test_the_timeout_never_cuts_a_call() -> None:
    events = Events()
    async with asyncio.timeout(LIMIT), background_task(serve_here(events, 0.3, ping_interval=0.6)) as server:
        peer = await call((await events.wait_for("server-started"))["port"])
        ping = await peer.read_frame()  # It comes when the timeout has long passed.
        await peer.send(binary(AUDIO), close())
        ended = await events.wait_for("call-ended")
        await peer.close()
        status = await server

    assert ping == b"\x89\x00"
    assert ended["received_samples"] == 160
    assert status == 0


@pytest.mark.simulated_time
async def test_a_connection_that_never_became_a_call_doesnt_stop_the_timeout() -> None:
    events = Events()

    async def connect_and_leave() -> None:
        peer = await Peer.open((await events.wait_for("server-started"))["port"])
        await peer.send(HANDSHAKE)
        await peer.read_head()
        await peer.send(close())
        await peer.read_to_end()
        await peer.close()

    async with asyncio.timeout(LIMIT), background_task(connect_and_leave()) as left:
        with pytest.raises(TimedOutError, match=r"^no call arrived within 0\.5 s$"):
            await serve_here(events, 0.5)
        await left


@pytest.mark.parametrize(
    ("server_rate", "metadata", "known"),
    [(None, {}, None), (8000, {}, 8000), (8000, {"streamRate": 0}, 0), (None, {"streamRate": 16_000}, 16_000)],
)
async def test_calls_are_listed_with_the_rate_that_is_known(
    server_rate: int | None, metadata: dict[str, int], known: int | None, tmp_path: Path
) -> None:
    socket = tmp_path / "listenctl" / "default.sock"
    async with running(faster(control=socket, stream_rate=server_rate)) as run:
        await run.call(text(json.dumps({"callSid": "a", "sampleRate": 8000} | metadata)))
        await run.events.wait_for("call-started")
        (call,) = (await asyncio.to_thread(list_calls, socket)).calls

    assert call.stream_rate == known


async def test_what_a_tool_found_out_is_listed(tmp_path: Path) -> None:
    async with controlled(tmp_path) as server:
        await server.run.call(text('{"callSid":"a","sampleRate":8000}'))
        await server.run.events.wait_for("call-started")
        async with server.attach() as tool:
            await tool.send('{"type":"listenctl:acquire","data":{"sampleRate":24000}}')
            await tool.text()
            (call,) = await server.list_calls()

    assert call["stream_rate"] == 24_000


async def test_a_server_plays_its_calls_and_loses_nothing_when_its_device_hangs(tmp_path: Path) -> None:
    options = ("record", "--json", "--port", "0", "--monitor", "--monitor-device", "default")
    sent = ("--audio", "tone:440@-12", "--duration", "600")
    level = 10 ** (-12 / 20)
    async with (
        sound_system(tmp_path) as system,
        system.listening() as listener,
        service(*options, home=tmp_path, env=system.env) as server,
    ):
        url = (await server.started())["url"]
        async with system.command("call", url, *sent) as call_:
            await listener.tones({440: level}, {440: level})
            await call_.end(signal.SIGINT)
        first = await server.next("recording-saved")
        await listener.silent()
        async with system.command("call", url, *sent) as call_:
            await listener.loud()
            system.signal(signal.SIGSTOP)
            warning = await server.next("warning")
            await call_.end(signal.SIGINT)
        second = await server.next("recording-saved")
        assert await server.end(signal.SIGINT) == (0, "")

    assert (warning["rule"], warning["call"]) == ("no-sound", None)
    assert first["complete"]
    assert second["complete"]
