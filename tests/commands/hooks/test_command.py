"""``listenctl hooks retry``, and hooks of a server in a process of its own."""

import asyncio
import json
import signal
import subprocess
from pathlib import Path

import pytest

from listenctl.json_lines import json_line
from listenctl.server.hooks.dead_letter_file import DeadLetterFile
from listenctl.server.hooks.hook_delivery import HookDelivery, HookKind
from tests.helpers.cli import listenctl_here, refusal, service
from tests.helpers.frames import HANDSHAKE, binary, close, text
from tests.helpers.server import Peer
from tests.helpers.webhook_receiver import SECRET, events_of, receiving_webhooks

METADATA = text('{"sampleRate":8000,"mixType":"mono","callSid":"CS-A"}')


@pytest.fixture
def dead(tmp_path: Path) -> DeadLetterFile:
    (tmp_path / "secret").write_text(SECRET)
    file = DeadLetterFile(tmp_path / "dead-letters.jsonl")
    file.create()
    return file


def add_letters(file: DeadLetterFile, target: str, *calls: str, kind: HookKind = HookKind.WEBHOOK) -> list[str]:
    """Return the ids of the letters."""
    event = {"v": 1, "event": "call-ended", "call": None}
    letters = [HookDelivery.of(kind, target, call, json_line(event | {"call": call}).encode()) for call in calls]
    for letter in letters:
        letter.attempts, letter.error = 9, "it answered 500"
    file.append([json_line(letter.serialize()) for letter in letters])
    return [letter.id for letter in letters]


def retry(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return listenctl_here("hooks", "retry", *arguments, "--webhook-secret-file", "secret", home=home)


def test_dead_letters_are_sent_again_with_their_ids_and_leave_the_file(tmp_path: Path, dead: DeadLetterFile) -> None:
    with receiving_webhooks() as receiver:
        ids = add_letters(dead, receiver.url, "a", "b", "c")
        run = retry(tmp_path)
        webhooks = receiver.take(3)

    assert (run.returncode, run.stdout, run.stderr) == (0, "3 events delivered, 0 left\n", "")
    assert {sent.id for sent in webhooks} == set(ids)
    assert {sent.event["call"] for sent in webhooks} == {"a", "b", "c"}
    assert dead.read() == []


def test_what_fails_again_stays_and_the_status_says_so(tmp_path: Path, dead: DeadLetterFile) -> None:
    with receiving_webhooks(500, body=b"no disk") as receiver:
        add_letters(dead, receiver.url, "a", "b")
        run = retry(tmp_path)

    assert (run.returncode, run.stdout) == (1, "1 event delivered, 1 left\n")
    assert run.stderr == f"listenctl: {receiver.url}: it answered 500 Internal Server Error: no disk\n"
    [left] = [json.loads(line) for line in dead.read()]
    assert (left["attempts"], left["error"]) == (10, "it answered 500 Internal Server Error: no disk")


def test_a_receiver_that_is_down_costs_one_attempt_and_others_get_theirs(tmp_path: Path, dead: DeadLetterFile) -> None:
    with receiving_webhooks() as gone:
        pass
    with receiving_webhooks() as receiver:
        add_letters(dead, gone.url, *(f"call-{number}" for number in range(100)))
        add_letters(dead, receiver.url, "a")
        run = retry(tmp_path)

    assert (run.returncode, run.stdout) == (1, "1 event delivered, 100 left\n")
    assert run.stderr == f"listenctl: {gone.url}: can't connect: Connection refused\n"
    assert sum(json.loads(line)["attempts"] - 9 for line in dead.read()) <= 16


UNREADABLE = [b'{"cut": ', b"\xff", b'{"id":"m","webhook":"http://h","attempts":1,"event":{"call":[]}}']


@pytest.mark.parametrize("line", UNREADABLE, ids=["cut", "not UTF-8", "a call of another type"])
def test_lines_that_cannot_be_read_are_left(tmp_path: Path, dead: DeadLetterFile, line: bytes) -> None:
    dead.path.write_bytes(line + b"\n")
    with receiving_webhooks() as receiver:
        add_letters(dead, receiver.url, "a")
        run = retry(tmp_path)

    assert (run.returncode, run.stdout) == (1, "1 event delivered, 1 left\n")
    assert run.stderr == "listenctl: dead-letters.jsonl: 1 line can't be read, and left as it is\n"
    assert dead.path.read_bytes() == line + b"\n"


def test_what_a_server_appends_meanwhile_stays(tmp_path: Path, dead: DeadLetterFile) -> None:
    late = f"sh -c 'echo late >> {dead.path}'"
    add_letters(dead, late, "a", kind=HookKind.COMMAND)

    run = retry(tmp_path)

    assert (run.returncode, run.stdout) == (0, "1 event delivered, 0 left\n")
    assert dead.read() == ["late"]


def test_a_command_runs_again_but_not_from_a_file_that_others_can_write(tmp_path: Path, dead: DeadLetterFile) -> None:
    add_letters(dead, f"touch {tmp_path}/ran", "a", kind=HookKind.COMMAND)
    dead.path.chmod(0o622)
    refused = refusal("hooks", "retry", home=tmp_path)
    ran_before = (tmp_path / "ran").exists()
    dead.path.chmod(0o600)

    run = retry(tmp_path, str(dead.path))

    assert "dead-letters.jsonl: it has commands to run, and others can write it; " in refused
    assert not ran_before
    assert (tmp_path / "ran").exists()
    assert run.returncode == 0


def test_a_program_that_is_missing_does_not_keep_events_from_others(tmp_path: Path, dead: DeadLetterFile) -> None:
    add_letters(dead, "/nowhere/notify now", "a", kind=HookKind.COMMAND)
    with receiving_webhooks() as receiver:
        add_letters(dead, receiver.url, "b")
        run = retry(tmp_path)

    assert (run.returncode, run.stdout) == (1, "1 event delivered, 1 left\n")
    assert run.stderr == "listenctl: /nowhere/notify now: it can't be started: No such file or directory\n"


async def test_what_is_interrupted_stays_in_the_file(tmp_path: Path, dead: DeadLetterFile) -> None:
    with receiving_webhooks() as receiver:
        receiver.gate.clear()
        add_letters(dead, receiver.url, "a", "b")
        async with service("hooks", "retry", "--webhook-secret-file", "secret", home=tmp_path) as run:
            await asyncio.to_thread(receiver.take, 2)
            status, _ = await run.end(signal.SIGINT)

    assert status == 130
    assert [json.loads(line)["attempts"] for line in dead.read()] == [10, 10]


def test_nothing_is_sent_without_file_or_secret(tmp_path: Path) -> None:
    missing = refusal("hooks", "retry", "none", home=tmp_path)
    add_letters(DeadLetterFile(tmp_path / "dead"), "http://127.0.0.1:1/", "a")
    unsigned = refusal("hooks", "retry", "dead", home=tmp_path)

    assert missing == "listenctl: none: can't be read and changed: No such file or directory\n"
    assert unsigned.startswith("listenctl: webhooks are signed: set LISTENCTL_WEBHOOK_SECRET")


@pytest.mark.parametrize("signals", [1, 2])
async def test_a_server_that_is_stopped_keeps_what_was_not_taken(
    tmp_path: Path, dead: DeadLetterFile, signals: int
) -> None:
    with receiving_webhooks() as receiver:
        receiver.gate.clear()
        options = ("--port", "0", "--json", "--webhook", receiver.url, "--hook-events", "call-started")
        async with service("serve", *options, home=tmp_path, env={"LISTENCTL_WEBHOOK_SECRET": SECRET}) as server:
            peer = await Peer.open((await server.started())["port"])
            await peer.send(HANDSHAKE, METADATA, binary(bytes(320)))
            await asyncio.to_thread(receiver.take)
            if signals == 2:
                server.process.send_signal(signal.SIGTERM)
                await server.next("warning")
                status, _ = await server.end()
            else:
                # A receiver that fails, rather than one that does not answer, so that nothing waits for it.
                receiver.statuses.append(500)
                receiver.gate.set()
                assert (await server.next("warning"))["rule"] == "hook-failed"
                status, _ = await server.end()
            await peer.close()

    [letter] = [json.loads(line) for line in dead.read()]
    assert status == (143 if signals == 2 else 0)
    assert letter["event"]["event"] == "call-started"


async def test_a_secret_can_be_replaced_while_the_server_runs(tmp_path: Path, dead: DeadLetterFile) -> None:
    secret = tmp_path / "secret"
    secret.write_text("whsec_plJ3nmyCDGBKInavdOK15jsl0000000000000000000=")
    with receiving_webhooks() as receiver:
        options = ("--port", "0", "--json", "--once", "--webhook", receiver.url, "--webhook-secret-file", str(secret))
        async with service("serve", *options, home=tmp_path) as server:
            port = (await server.started())["port"]
            secret.write_text(SECRET)
            server.process.send_signal(signal.SIGHUP)
            reloaded = await server.next("warning")
            peer = await Peer.open(port)
            await peer.send(HANDSHAKE, METADATA, binary(bytes(320)), close())
            status, _ = await server.status()
            await peer.close()
        # The receiver takes only what is signed with the new secret.
        webhooks = receiver.take(2)

    assert reloaded["rule"] == "reloaded"
    assert (status, events_of(webhooks), dead.read()) == (0, ["call-started", "call-ended"], [])


async def test_a_server_sends_signed_events_and_hides_its_secrets_from_commands(tmp_path: Path) -> None:
    secrets = {"LISTENCTL_WEBHOOK_SECRET": SECRET, "LISTENCTL_AUTH": "me:hunter2"}
    command = f"sh -c 'env > {tmp_path}/env; exit 0'"
    with receiving_webhooks() as receiver:
        options = ("--port", "0", "--once", "--webhook", receiver.url, "--on-event", command, "--no-auth")
        async with service("record", "calls", "--json", *options, home=tmp_path, env=secrets) as server:
            peer = await Peer.open((await server.started())["port"])
            await peer.send(HANDSHAKE, METADATA, binary(bytes(320)), close())
            status, _ = await server.status()
            await peer.close()
        webhooks = receiver.take(3)

    assert status == 0
    assert events_of(webhooks) == ["call-started", "call-ended", "recording-saved"]
    environment = (tmp_path / "env").read_text()
    assert "LISTENCTL_EVENT=" in environment
    assert "hunter2" not in environment
    assert SECRET not in environment
    assert (tmp_path / "dead-letters.jsonl").read_text() == ""
