"""Servers with several processes, as users run them, and what is left when one of the processes is killed."""

import asyncio
import json
import os
import signal
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from listenctl.live_client.list_calls import list_calls
from listenctl.media.files.wav_header import HEADER_BYTES
from tests.commands.serve.test_command import call
from tests.helpers.cli import Service, listenctl_beside, refusal, service
from tests.helpers.frames import HANDSHAKE, binary, close, text
from tests.helpers.server import Event, Peer, until
from tests.helpers.webhook_receiver import SECRET, receiving_webhooks

# Without pings, which a busy machine would mix with the frames that a test waits for.
RECORD = ("record", "out", "--port", "0", "--json", "--ping-interval", "0", "--workers", "2", "--admin", "127.0.0.1:0")
BLOCK = 800
"""Samples in each message of a call."""


@dataclass(slots=True)
class Caller:
    """A call whose samples count up, so that a missing one shows."""

    call_sid: str
    peer: Peer
    sent: int = 0

    @classmethod
    async def begin(cls, port: int, call_sid: str) -> "Caller":
        metadata = text(f'{{"sampleRate":8000,"mixType":"mono","callSid":"{call_sid}"}}')
        return cls(call_sid, await call(port, metadata=metadata))

    @property
    def audio(self) -> bytes:
        return struct.pack(f"<{self.sent}h", *(number % 30_000 for number in range(self.sent)))

    async def send(self, blocks: int) -> None:
        before = len(self.audio)
        self.sent += blocks * BLOCK
        audio = self.audio[before:]
        await self.peer.send(*(binary(audio[at : at + 2 * BLOCK]) for at in range(0, len(audio), 2 * BLOCK)))

    async def hang_up(self) -> None:
        await self.peer.send(close())
        await self.peer.read_to_end()
        await self.peer.close()


async def begin_calls(server: Service, port: int, *names: str) -> dict[str, Caller]:
    """Return calls that have begun, one after the other, half of them in each worker."""
    first, second = workers_of(server)
    middle = (len(names) + 1) // 2
    return {
        **await begin_calls_beside(server, port, second, *names[:middle]),
        **await begin_calls_beside(server, port, first, *names[middle:]),
    }


async def begin_calls_beside(server: Service, port: int, stopped: int, *names: str) -> dict[str, Caller]:
    """Return calls that have begun while a worker was stopped, so that they are in the other one."""
    os.kill(stopped, signal.SIGSTOP)
    callers: dict[str, Caller] = {}
    for name in names:
        callers[name] = await Caller.begin(port, name)
        await server.next("call-started")
    os.kill(stopped, signal.SIGCONT)
    return callers


async def events_until(server: Service, kind: str, number: int = 1) -> list[Event]:
    """Return the events up to number ``number`` of a kind."""
    found: list[Event] = []
    while sum(event["event"] == kind for event in found) < number:
        line = await server.events.readline()
        assert line, f"the server ended without {kind}"
        found.append(json.loads(line))
    return found


def workers_of(server: Service) -> list[int]:
    pid = server.process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def audio_in(wav: Path) -> bytes:
    """Return the audio that the header counts."""
    data = wav.read_bytes()
    return data[HEADER_BYTES : HEADER_BYTES + int.from_bytes(data[HEADER_BYTES - 4 : HEADER_BYTES], "little")]


async def ask(address: str, path: str) -> str:
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    return answer


async def test_tools_events_and_totals_see_the_workers_as_one_server(tmp_path: Path) -> None:
    async with service(*RECORD, home=tmp_path) as server:
        started = await server.started()
        callers = await begin_calls(server, started["port"], *"abcdef")
        listing = await asyncio.to_thread(list_calls, Path(started["control"]))
        sent = [await listenctl_beside("send-json", name, name_command(name), home=tmp_path) for name in callers]
        latest = await listenctl_beside("send-json", "@latest", name_command("latest"), home=tmp_path)
        unknown = await listenctl_beside("mark", "nobody", "x", home=tmp_path)
        heard = {name: await caller.peer.read_frame() for name, caller in callers.items()}
        heard_last = await callers["f"].peer.read_frame()
        for caller in callers.values():
            await caller.send(10)
            await caller.hang_up()
        events = await events_until(server, "recording-saved", len(callers))
        server.process.send_signal(signal.SIGTERM)
        total = await server.next("server-ended")
        status, said = await server.status()

    assert ([one.id for one in listing.calls], listing.server.pid) == ([*"abcdef"], server.process.pid)
    assert [run.returncode for run in (*sent, latest, unknown)] == [0] * 7 + [4]
    assert unknown.stderr == "listenctl: there is no live call nobody\n"
    assert {name: frame[2:].decode() for name, frame in heard.items()} == {name: name_command(name) for name in callers}
    assert heard_last[2:].decode() == name_command("latest")
    for name, caller in callers.items():
        of_call = [event["event"] for event in events if event["call"] == name]
        assert of_call[-2:] == ["call-ended", "recording-saved"]
        assert audio_in(tmp_path / "out" / f"{name}.wav") == caller.audio
    assert (total["calls"], total["complete_calls"]) == (6, 6)
    assert (status, said) == (0, "")


async def test_the_parent_alone_listens_on_the_admin_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    async with service(*RECORD, "--admin", address, home=tmp_path) as server:
        assert (await server.started())["admin"] == address
        assert "ready" in await ask(address, "/readyz")
        await server.end()


async def test_each_stream_of_a_call_has_an_id_of_its_own(tmp_path: Path) -> None:
    async with service(*RECORD, home=tmp_path) as server:
        started = await server.started()
        ids = []
        for stopped in workers_of(server) * 2:
            os.kill(stopped, signal.SIGSTOP)
            callers = [await Caller.begin(started["port"], name) for name in ("same", "")]
            ids += [(await server.next("call-started"))["call"] for _ in callers]
            os.kill(stopped, signal.SIGCONT)
            for caller in callers:
                await caller.peer.close()

    assert set(ids) == {"same", "same~2", "same~3", "same~4", "unknown-1", "unknown-2", "unknown-3", "unknown-4"}


async def test_max_calls_counts_the_calls_of_all_workers(tmp_path: Path) -> None:
    async with service(*RECORD, "--max-calls", "3", home=tmp_path) as server:
        started = await server.started()
        callers = await begin_calls(server, started["port"], *"abc")
        ready = await ask(started["admin"], "/readyz")
        refused = await Peer.open(started["port"])
        await refused.send(HANDSHAKE)
        answer = await refused.read_to_end()
        reason = (await server.next("connection-refused"))["reason"]
        await callers["a"].hang_up()
        await server.next("recording-saved")
        again = await Caller.begin(started["port"], "d")
        await server.next("call-started")
        for caller in (*callers.values(), again):
            await caller.peer.close()
        await refused.close()

    assert answer.startswith(b"HTTP/1.1 503 ")
    assert reason == "there are 3 live calls, and --max-calls allows no more"
    assert ready.startswith("HTTP/1.1 503 ")


async def test_a_killed_worker_costs_its_calls_only_which_are_ended_and_listed(tmp_path: Path) -> None:
    async with service(*RECORD, home=tmp_path) as server:
        started = await server.started()
        callers = await begin_calls(server, started["port"], *"abcdef")
        for caller in callers.values():
            await caller.send(10)
        await until(lambda: all(audio_in(tmp_path / "out" / f"{name}.wav") == callers[name].audio for name in callers))
        victim = workers_of(server)[0]
        os.kill(victim, signal.SIGKILL)
        died = await server.next("warning")
        events = await events_until(server, "recording-saved", died["calls"])
        killed = {event["call"]: event for event in events if event["event"] == "recording-saved"}
        listing = await asyncio.to_thread(list_calls, Path(started["control"]))
        survivors = {name: caller for name, caller in callers.items() if name not in killed}
        for caller in survivors.values():
            await caller.send(10)
            await caller.hang_up()
        await events_until(server, "recording-saved", len(survivors))
        await until(lambda: len(workers_of(server)) == 2)
        late = [await Caller.begin(started["port"], f"late{number}") for number in range(4)]
        for caller in late:
            await caller.hang_up()
        await events_until(server, "recording-saved", len(late))
        metrics = await ask(started["admin"], "/metrics")
        of_worker = await ask(started["url"].removeprefix("ws://").rstrip("/"), "/metrics")
        for name in killed:
            await callers[name].peer.close()
        server.process.send_signal(signal.SIGTERM)
        total = await server.next("server-ended")
        status, said = await server.status()

    assert (died["rule"], died["calls"]) == ("worker-died", 3)
    assert f"(process {victim}) was killed by SIGKILL; another one takes its place" in died["detail"]
    assert [event["event"] for event in events] == ["call-ended", "recording-saved"] * len(killed)
    assert {event["closed_by"] for event in events if event["event"] == "call-ended"} == {"nobody"}
    assert [one.id for one in listing.calls] == sorted(survivors)
    for name, caller in callers.items():
        sidecar = json.loads((tmp_path / "out" / f"{name}.json").read_text())
        assert audio_in(tmp_path / "out" / f"{name}.wav") == caller.audio
        assert sidecar["audio"]["samples"] == sidecar["received_samples"] == caller.sent
        assert (sidecar["finished"], sidecar["complete"]) == (True, name in survivors)
        assert sidecar["close"]["by"] == ("jambonz" if name in survivors else "nobody")
    for line in ("calls_total 10.0", f"calls_broken_total {float(len(killed))}", "calls_live 0.0"):
        assert f"listenctl_{line}\n" in metrics
        assert f"listenctl_{line}\n" in of_worker
    assert (total["calls"], total["complete_calls"]) == (10, 10 - len(killed))
    # The last second of the killed calls may be lost.
    assert (status, said) == (3, "")


async def test_a_killed_parent_leaves_workers_that_finish_their_calls_and_end(tmp_path: Path) -> None:
    async with service(*RECORD, "--drain-timeout", "60", home=tmp_path) as server:
        started = await server.started()
        callers = await begin_calls(server, started["port"], *"abcd")
        workers = workers_of(server)
        server.process.kill()
        await until(lambda: not accepts_connections(started["port"]))
        async with service(*RECORD[:3], str(started["port"]), *RECORD[4:], home=tmp_path) as successor:
            await successor.started()
            await (await Caller.begin(started["port"], "next")).hang_up()
            await successor.next("recording-saved")
            for caller in callers.values():
                await caller.send(10)
                await caller.hang_up()
            await until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))

    for name, caller in callers.items():
        assert audio_in(tmp_path / "out" / f"{name}.wav") == caller.audio
        assert json.loads((tmp_path / "out" / f"{name}.json").read_text())["complete"] is True


async def test_a_signal_to_all_processes_drains_them_as_one_to_the_parent(tmp_path: Path) -> None:
    async with service(*RECORD, "--drain-timeout", "60", home=tmp_path) as server:
        started = await server.started()
        callers = await begin_calls(server, started["port"], *"abcd")
        for process in (*workers_of(server), server.process.pid):
            os.kill(process, signal.SIGTERM)
        draining = await server.next("warning")
        ready = await ask(started["admin"], "/readyz")
        for caller in callers.values():
            await caller.send(10)
            await caller.hang_up()
        total = await server.next("server-ended")
        status, said = await server.status()

    assert (draining["rule"], draining["calls"]) == ("draining", 4)
    assert ready.endswith("\r\n\r\ndraining\n")
    assert (total["calls"], total["complete_calls"]) == (4, 4)
    assert (status, said) == (0, "")


async def test_a_second_signal_ends_all_processes_at_once(tmp_path: Path) -> None:
    async with service(*RECORD, home=tmp_path) as server:
        started = await server.started()
        callers = await begin_calls(server, started["port"], "a")
        workers = workers_of(server)
        os.kill(workers[0], signal.SIGSTOP)
        os.kill(workers[1], signal.SIGSTOP)
        server.process.send_signal(signal.SIGINT)
        cut = await server.next("warning")
        server.process.send_signal(signal.SIGINT)
        await server.process.wait()
        for worker in workers:
            # The kernel continues those whose parent has died, but only if they had stopped by then.
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGCONT)
        status, _ = await server.status()
        await until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))
        await callers["a"].peer.close()

    assert (cut["rule"], cut["calls"]) == ("calls-cut", 1)
    assert status == 130


async def test_a_server_of_workers_waits_no_longer_than_it_should(tmp_path: Path) -> None:
    run = await listenctl_beside("serve", "--port", "0", "--workers", "2", "--timeout", "0.1", home=tmp_path)

    assert run.returncode == 124
    assert run.stderr.endswith("listenctl: no call arrived within 0.1 s\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("serve", "--once"), "--once takes one process; leave out --workers 2"),
        (("serve", "--calls", "5"), "--calls 5 takes one process; leave out --workers 2"),
        (("record", "-"), "a recording on stdout takes one process; leave out --workers 2"),
        (("serve", "--monitor"), "--monitor takes one process; leave out --workers 2"),
    ],
)
def test_what_takes_one_process_is_refused(tmp_path: Path, arguments: Sequence[str], said: str) -> None:
    assert refusal(*arguments, "--workers", "2", home=tmp_path) == f"listenctl: {said}\n"


def name_command(name: str) -> str:
    return f'{{"type":"x","name":"{name}"}}'


def accepts_connections(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def test_hooks_get_the_events_of_all_workers_from_the_parent(tmp_path: Path) -> None:
    with receiving_webhooks(500) as receiver:
        options = ("--webhook", receiver.url, "--hook-events", "call-started,recording-saved")
        async with service(*RECORD, *options, home=tmp_path, env={"LISTENCTL_WEBHOOK_SECRET": SECRET}) as server:
            started = await server.started()
            calls = await begin_calls(server, started["port"], "CS-A", "CS-B")
            for caller in calls.values():
                await caller.send(10)
                await caller.hang_up()
            webhooks = await asyncio.to_thread(receiver.take, 4)
            metrics = await ask(started["admin"], "/metrics")
            status, _ = await server.end()

    assert sorted((sent.event["event"], sent.event["call"]) for sent in webhooks) == [
        ("call-started", "CS-A"),
        ("call-started", "CS-B"),
        ("recording-saved", "CS-A"),
        ("recording-saved", "CS-B"),
    ]
    assert 'listenctl_hooks_delivered_total{kind="webhook"}' in metrics
    assert status == 0
    [letter] = (tmp_path / "dead-letters.jsonl").read_text().splitlines()
    assert json.loads(letter)["error"] == "it answered 500 Internal Server Error"
