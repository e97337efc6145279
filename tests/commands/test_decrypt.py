"""Encrypted recordings from a real server, read with our command and with Debian's age."""

import json
import random
import re
import shutil
import signal
import subprocess
from functools import partial
from pathlib import Path

import pytest

from tests.commands.serve.test_command import call
from tests.helpers.cli import COMMAND, ROOT, listenctl, listenctl_here, service
from tests.helpers.frames import binary, close, text
from tests.helpers.server import mode_of, until

SECOND = 16_000
AUDIO = random.Random(3).randbytes(20 * SECOND)
DIGITS = "9483716205"


@pytest.fixture
def recipient(tmp_path: Path) -> str:
    """Make `key.txt` with age's own tool; return its public key."""
    subprocess.run(["age-keygen", "-o", tmp_path / "key.txt"], check=True, capture_output=True)
    run = subprocess.run(["age-keygen", "-y", tmp_path / "key.txt"], check=True, capture_output=True, text=True)
    return run.stdout.strip()


async def record_call(home: Path, recipient: str, *options: str, kill: bool = False) -> Path:
    """Record AUDIO and DIGITS to `calls/CS-A.wav.age`, in pieces; a killed server had taken all but the last second."""
    record = ("record", "--port", "0", "--json", "--once", "--encrypt-to", recipient, *options, "calls/")
    async with service(*record, home=home) as server:
        peer = await call((await server.started())["port"])
        for digit in DIGITS:
            await peer.send(text(json.dumps({"event": "dtmf", "dtmf": digit, "duration": "1600"})))
        path = home / "calls" / "CS-A.wav.age"
        for at in range(0, len(AUDIO), SECOND):
            size = path.stat().st_size if path.exists() else 0
            await peer.send(binary(AUDIO[at : at + SECOND]))
            if kill:
                await until(partial(has_size, path, size + SECOND))
        if kill:
            await server.end(signal.SIGKILL)
        else:
            await peer.send(close())
            assert (await server.status())[0] == 0
        await peer.close()
    return path


def has_size(path: Path, size: int) -> bool:
    return path.exists() and path.stat().st_size >= size


def files_with(patterns: list[bytes], *folders: Path) -> list[Path]:
    found = []
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and path.suffix != ".txt":
                data = path.read_bytes()
                found += [path for pattern in patterns if pattern in data]
    return found


async def test_a_killed_server_leaves_all_that_it_had_written_and_nothing_in_plain(
    tmp_path: Path, recipient: str
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()

    path = await record_call(tmp_path, recipient, kill=True)

    patterns = [AUDIO[at : at + 32] for at in range(0, len(AUDIO), SECOND // 2)]
    assert files_with([*patterns, b"CS-A", b'"dtmf"'], tmp_path / "calls", temporary) == []
    assert sorted(found.name for found in (tmp_path / "calls").iterdir()) == ["CS-A.json.age", "CS-A.wav.age"]
    run = listenctl("decrypt", "-i", "key.txt", str(path), home=tmp_path)
    assert run.returncode == 3
    assert f"CS-A.wav.age: {len(AUDIO) / SECOND:.2f} s decrypted to" in run.stdout
    assert "it ends at 20.00 s without its last message" in run.stderr
    assert (tmp_path / "calls" / "CS-A.wav").read_bytes()[80:] == AUDIO
    sidecar = json.loads((tmp_path / "calls" / "CS-A.json").read_text())
    assert (sidecar["call"], sidecar["finished"], sidecar["audio"]["files"]) == ("CS-A", False, ["CS-A.wav"])


async def test_a_finished_recording_is_decrypted_with_its_sidecar(tmp_path: Path, recipient: str) -> None:
    path = await record_call(tmp_path, recipient)
    assert mode_of(path) == 0o600

    run = listenctl_here("decrypt", "-i", "key.txt", str(path), str(path.with_name("CS-A.json.age")), home=tmp_path)

    assert (run.returncode, run.stderr) == (0, "")
    assert (tmp_path / "calls" / "CS-A.wav").read_bytes()[80:] == AUDIO
    sidecar = json.loads((tmp_path / "calls" / "CS-A.json").read_text())
    assert "".join(event["digit"] for event in sidecar["events"]) == DIGITS
    assert {mode_of(tmp_path / "calls" / name) for name in ("CS-A.wav", "CS-A.json")} == {0o600}
    elsewhere = listenctl_here("decrypt", "-i", "key.txt", "-o", "new/folder/", str(path), home=tmp_path)
    assert elsewhere.returncode == 0
    assert sorted(found.name for found in (tmp_path / "new" / "folder").iterdir()) == ["CS-A.json", "CS-A.wav"]
    again = listenctl_here("decrypt", "-i", "key.txt", str(path), home=tmp_path)
    assert again.returncode == 1
    assert "already exists" in again.stderr


async def test_the_recipe_of_the_manual_reads_a_recording_with_age(tmp_path: Path, recipient: str) -> None:
    path = await record_call(tmp_path, recipient)
    manual = (ROOT / "man" / "listenctl-recording.5").read_text()
    recipe = re.search(r"\.Bd -literal -offset indent\n(\$ \{ read.*?)\.Ed", manual, re.DOTALL)
    assert recipe is not None
    lines = recipe[1].replace("\\e", "\\").removeprefix("$ ").replace("NAME", str(path.with_name("CS-A")))
    bash = shutil.which("bash")
    assert bash is not None

    run = subprocess.run([bash, "-ec", lines], cwd=tmp_path, check=True, capture_output=True)  # noqa: ASYNC221
    sidecar = subprocess.run(  # noqa: ASYNC221
        ["age", "-d", "-i", "key.txt", path.with_name("CS-A.json.age")], cwd=tmp_path, check=True, capture_output=True
    )

    assert run.stderr == b""
    assert path.with_name("CS-A.raw").read_bytes() == AUDIO
    assert json.loads(sidecar.stdout)["call"] == "CS-A"


async def test_a_recording_is_decrypted_to_stdout_without_a_file(tmp_path: Path, recipient: str) -> None:
    path = await record_call(tmp_path, recipient)

    run = subprocess.run(  # noqa: ASYNC221
        [*COMMAND, "decrypt", "-i", "key.txt", "-o", "-", path], cwd=tmp_path, check=True, capture_output=True
    )

    assert run.stdout[:4] == b"RIFF"
    assert run.stdout[44:] == AUDIO
    assert sorted(found.name for found in path.parent.iterdir()) == ["CS-A.json.age", "CS-A.wav.age"]


async def test_other_commands_say_what_reads_the_file(tmp_path: Path, recipient: str) -> None:
    path = await record_call(tmp_path, recipient)

    inspected = listenctl_here("inspect", str(path), home=tmp_path)
    recovered = listenctl_here("recover", str(path), home=tmp_path)

    assert "encrypted; `listenctl decrypt` gives" in inspected.stderr
    assert "an encrypted recording for `listenctl decrypt`, not WAV" in recovered.stderr


async def test_with_another_key_nothing_is_written(tmp_path: Path, recipient: str) -> None:
    path = await record_call(tmp_path, recipient)
    subprocess.run(["age-keygen", "-o", tmp_path / "other.txt"], check=True, capture_output=True)  # noqa: ASYNC221

    run = listenctl_here("decrypt", "-i", "other.txt", str(path), home=tmp_path)

    assert run.returncode == 1
    assert "can't be decrypted with this key" in run.stderr
    assert len(list(path.parent.iterdir())) == 2
