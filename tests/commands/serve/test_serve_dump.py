"""``serve --dump`` as users run it."""

import json
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from listenctl.protocol.listen_session import Sender
from tests.commands.serve.test_command import AUDIO, METADATA, call
from tests.helpers.cli import listenctl, service
from tests.helpers.dumps import load, shapes_of
from tests.helpers.frames import binary, close, cut_frames
from tests.helpers.server import until

SERVE = ("serve", "--port", "0", "--json", "--dump", "dumps")


def written(folder: Path) -> bytes:
    """Return the dump of the only call so far."""
    return b"".join(path.read_bytes() for path in (folder / "dumps").glob("*.jsonl"))


@pytest.mark.parametrize("command", [("serve",), ("record", "out")], ids=["serve", "record"])
async def test_a_call_is_dumped(command: tuple[str, ...], tmp_path: Path) -> None:
    async with service(*command, "--port", "0", "--json", "--once", "--dump", "dumps", home=tmp_path) as server:
        port = (await server.next("server-started"))["port"]
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


async def test_kill_9_leaves_a_dump_that_can_be_read(tmp_path: Path) -> None:
    async with service(*SERVE, home=tmp_path) as server:
        peer = await call((await server.next("server-started"))["port"], binary(AUDIO))
        await until(lambda: written(tmp_path).count(b"\n") >= 3)
        status, _ = await server.end(signal.SIGKILL)
        await peer.close()

    dump = load(tmp_path / "dumps" / "CS-A.jsonl")
    assert status == -signal.SIGKILL
    assert dump.shapes(Sender.JAMBONZ) == shapes_of(cut_frames(METADATA + binary(AUDIO)))
    assert dump.end is None


async def test_a_dump_can_be_followed_while_the_call_lasts(tmp_path: Path) -> None:
    jq = shutil.which("jq")
    assert jq is not None
    async with service(*SERVE, home=tmp_path) as server:
        peer = await call((await server.next("server-started"))["port"], binary(AUDIO))
        await until(lambda: written(tmp_path).count(b"\n") >= 3)
        live = subprocess.run(  # noqa: ASYNC221 - the call waits
            [jq, "-c", "select(.opcode) | [.from, .opcode]", tmp_path / "dumps" / "CS-A.jsonl"],
            capture_output=True,
            text=True,
            check=True,
        )
        await peer.close()

    assert live.stdout.split() == ['["jambonz","text"]', '["jambonz","binary"]']


async def test_people_read_where_the_dump_is(tmp_path: Path) -> None:
    arguments = ("serve", "--port", "0", "--once", "--dump", "dumps", "--events", "log")
    async with service(*arguments, home=tmp_path) as server:
        await until(lambda: (tmp_path / "log").exists() and (tmp_path / "log").read_text().endswith("\n"))
        port = json.loads((tmp_path / "log").read_text())["port"]
        peer = await call(port, close())
        await peer.read_to_end()
        await peer.close()
        status, said = await server.status()

    assert status == 0
    assert "dump-saved CS-A dumps/CS-A.jsonl: 3 frames, " in said


def test_a_folder_that_cannot_take_dumps_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    run = listenctl("serve", "--port", "0", "--dump", "file", home=tmp_path)

    assert run.returncode == 2
    assert "file: not a folder, so dumps can't be written there" in run.stderr
