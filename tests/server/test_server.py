"""The server as a whole: how many calls, when it ends, and what becomes of those that are live."""

import asyncio
import resource
import socket
import struct
from pathlib import Path

import pytest

from listenctl.errors import ListenctlError, UsageError
from listenctl.events import Reporter
from listenctl.net.listening_sockets import raise_descriptor_limit
from listenctl.server.calls.call_counts import OwnCounts
from listenctl.server.calls.live_call import LiveCall
from listenctl.server.calls.live_call_log import MAX_ID_LENGTH, CallIds, LiveCallLog
from listenctl.server.handshake_refusal import TOO_MANY
from listenctl.server.recording.call_recorder import FileRecorder
from listenctl.server.server import ListenServer
from tests.helpers.frames import HANDSHAKE, binary, close, text
from tests.helpers.server import STARTED_AT, faster, read_sidecar, recorded_audio, running

pytestmark = pytest.mark.simulated_time

METADATA = text('{"sampleRate":8000,"mixType":"mono","callSid":"CS-A"}')
AUDIO = struct.pack("<160h", *range(1000, 1160))


async def test_the_start_is_reported_with_the_port_that_was_taken() -> None:
    async with running(faster(path="/calls")) as run:
        (started,) = run.events.of("server-started")

    assert started["port"] == run.port != 0
    assert started["url"] == f"ws://127.0.0.1:{run.port}/calls"
    assert started["v"] == 1
    assert (started["auth"], started["tls"], started["recording"]) == (False, False, False)
    assert (started["call"], started["call_sid"]) == (None, None)


async def test_an_ipv6_address_is_listened_on() -> None:
    async with running(faster(host="::1")) as run:
        assert run.server.url == f"ws://[::1]:{run.port}/"
        reader, writer = await asyncio.open_connection("::1", run.port)
        writer.write(HANDSHAKE)
        assert (await reader.readline()).startswith(b"HTTP/1.1 101 ")
        writer.close()
        await writer.wait_closed()


async def test_an_address_that_cannot_be_listened_on_is_an_error() -> None:
    async with running() as run:
        with pytest.raises(ListenctlError, match=r"can't listen on 127\.0\.0\.1:\d+: Address already in use"):
            ListenServer(faster(port=run.port), Reporter()).start()
    with pytest.raises(ListenctlError, match=r"nowhere\.invalid: can't listen on this address"):
        ListenServer(faster(host="nowhere.invalid"), Reporter()).start()


async def test_streams_of_one_call_are_told_apart(tmp_path: Path) -> None:
    async with running(record=tmp_path) as run:
        for number in range(1, 4):
            await run.call(METADATA, binary(AUDIO))
            await run.events.wait_for("call-started", number)
        started = run.events.of("call-started")
    saved = run.events.of("recording-saved")

    assert [event["call"] for event in started] == ["CS-A", "CS-A~2", "CS-A~3"]
    assert {event["call_sid"] for event in started} == {"CS-A"}
    assert {Path(event["path"]).name for event in saved} == {"CS-A.wav", "CS-A-2.wav", "CS-A-3.wav"}


@pytest.mark.parametrize(
    ("sids", "ids"),
    [
        (["a", "a", "b", "a"], ["a", "a~2", "b", "a~3"]),
        ([None, None, "a"], ["unknown-1", "unknown-2", "a"]),
        (["a~2", "a", "a"], ["a~2", "a", "a~2~2"]),
        (["unknown-1", None], ["unknown-1", "unknown-1~2"]),
    ],
)
def test_no_two_connections_have_the_same_id_and_none_is_endless(sids: list[str | None], ids: list[str]) -> None:
    claims = CallIds(OwnCounts())

    assert [claims.claim_id(sid) for sid in sids] == ids
    assert len({claims.claim_id("x" * 1000) for _ in range(5)}) == 5
    assert len(claims.claim_id("y" * 1000)) == MAX_ID_LENGTH


async def test_a_connection_that_ends_before_it_is_a_call_isnt_the_one_call(tmp_path: Path) -> None:
    async with running(record=tmp_path, stop_after=1) as run:
        nobody = await run.call()
        refused = await run.ask(HANDSHAKE)
        await nobody.send(close())
        await nobody.read_to_end()
        peer = await run.call(METADATA, close())
        await peer.read_to_end()
        await run.ended

    # As long as it may become the call, no other is let in.
    assert refused.startswith(b"HTTP/1.1 503 ")
    assert [event["call"] for event in run.events.of("call-started")] == ["CS-A"]
    assert (run.server.calls_total, run.server.shutdown.was_cut_short) == (1, False)


async def test_a_stream_rate_that_is_no_number_is_told_of() -> None:
    async with running() as run:
        await run.call(text('{"sampleRate":8000,"mixType":"mono","callSid":"CS-A","streamRate":"16000"}'))
        warning = await run.events.wait_for_warning("stream-rate")

    assert warning["call"] == "CS-A"
    assert "assuming the number 16000" in warning["detail"]


async def test_a_server_for_one_call_ends_with_it(tmp_path: Path) -> None:
    async with running(record=tmp_path, stop_after=1) as run:
        peer = await run.call(METADATA, binary(AUDIO))
        await run.events.wait_for("call-started")
        second = await run.ask(HANDSHAKE)
        await peer.send(close())
        assert await peer.read_to_end() == b"\x88\x02\x03\xe8"
        await peer.close()
        await run.ended

        with pytest.raises(OSError, match="Connect"):
            await run.open()
    assert second.startswith(b"HTTP/1.1 503 ")
    assert run.events.of("recording-saved")[0]["samples"] == 160
    assert run.events.of("warning") == []


async def test_a_server_for_two_calls_ends_with_the_second_also_when_it_closes_that_itself() -> None:
    async with running(faster(drain_timeout=0.1), stop_after=2) as run:
        for messages in ([close()], [binary(b"")]):
            peer = await run.call(METADATA, *messages)
            await peer.read_frame()
            await peer.send(close())
            await peer.close()
        await run.ended

    assert [event["closed_by"] for event in run.events.of("call-ended")] == ["jambonz", "listenctl"]


async def test_a_fault_of_ours_in_one_call_ends_that_call_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(call: LiveCall, log: LiveCallLog, event: object) -> None:
        raise RuntimeError("a bug of ours")

    async with running(record=tmp_path) as run:
        peer = await run.call(METADATA, binary(AUDIO))
        doomed = await run.call(METADATA.replace(b"CS-A", b"CS-B"), binary(AUDIO))
        await run.events.wait_for("call-started", 2)
        monkeypatch.setattr(LiveCall, "_take_message", fail)
        await doomed.send(text("boom"))
        await run.events.wait_for("call-ended")
        await peer.send(binary(AUDIO), close())
        await run.events.wait_for("call-ended", 2)
        await run.events.wait_for("recording-saved", 2)

    assert "a bug of ours" in caplog.text
    assert [event["closed_by"] for event in run.events.of("call-ended")] == ["nobody", "jambonz"]
    assert sorted(event["samples"] for event in run.events.of("recording-saved")) == [160, 320]


@pytest.mark.parametrize("jump", [-86_400.0, 86_400.0], ids=["back", "forward"])
async def test_a_system_clock_that_jumps_by_a_day_costs_no_audio_and_no_call(jump: float, tmp_path: Path) -> None:
    unix_time = STARTED_AT
    async with running(record=tmp_path, unix_clock=lambda: unix_time) as run:
        peer = await run.call(METADATA, binary(AUDIO))
        await run.events.wait_for("call-started")
        unix_time += jump
        await asyncio.sleep(1.0)
        await run.call(METADATA, binary(AUDIO))
        await run.events.wait_for("call-started", 2)
        await peer.send(binary(AUDIO), close())
        ended = await run.events.wait_for("call-ended")
        saved = await run.events.wait_for("recording-saved")

    assert recorded_audio(saved) == AUDIO * 2
    assert (ended["closed_by"], ended["lost_samples"], ended["unrecorded_samples"]) == ("jambonz", 0, 0)
    assert 1.0 <= ended["duration"] < 2.0
    sidecar = read_sidecar(saved)
    assert sidecar["started"].startswith("2026-11-18T11:06:40.")
    assert sidecar["ended"][8:10] == ("17" if jump < 0 else "19")


async def test_running_out_of_descriptors_is_told_and_survived() -> None:
    async with running() as run:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with socket.socket() as client:
            client.setblocking(False)
            # No descriptor beyond those in use: the connection waits in the kernel.
            resource.setrlimit(resource.RLIMIT_NOFILE, (client.fileno() + 1, hard))
            try:
                await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", run.port))
                client.send(HANDSHAKE)
                warning = await run.events.wait_for_warning("accept-failed")
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            answer = await asyncio.get_running_loop().sock_recv(client, 1000)

    assert warning["detail"] == "Too many open files"
    assert answer.startswith(b"HTTP/1.1 101 ")


async def test_of_too_many_unfinished_handshakes_the_oldest_is_closed_and_calls_are_answered() -> None:
    async with running(faster(max_without_call=3)) as run:
        calls = [await run.call(METADATA) for _ in range(4)]
        waiting = [await run.open(b"GET / HTTP/1.1\r\n") for _ in range(5)]
        assert [await peer.read_to_end() for peer in waiting[:2]] == [b"", b""]
        calls += [await run.call(METADATA)]
        refusals = run.events.of("connection-refused")
        await run.events.wait_for("call-started", 5)
        await waiting[4].send(HANDSHAKE.partition(b"\r\n")[2])
        assert (await waiting[4].read_head()).startswith(b"HTTP/1.1 101 ")

    assert [(event["status"], event["reason"]) for event in refusals[:2]] == [(503, TOO_MANY.reason)] * 2


async def test_refused_connections_that_stay_are_closed_before_a_handshake_that_takes_longer() -> None:
    async with running(faster(max_without_call=3, path="/calls")) as run:
        first_line, rest = HANDSHAKE.split(b"\r\n", 1)
        slow = await run.open(first_line + b"\r\n")
        for _ in range(5):
            refused = await run.open(HANDSHAKE.replace(b"/calls", b"/other"))
            await refused.read_head()
        await slow.send(rest)
        assert (await slow.read_head()).startswith(b"HTTP/1.1 101 ")


async def test_refused_connections_that_stay_count_as_unfinished_ones() -> None:
    async with running(faster(max_without_call=2, path="/other")) as run:
        refused = [await run.open(HANDSHAKE) for _ in range(4)]
        assert [(await peer.read_to_end())[:12] for peer in refused] == [b"HTTP/1.1 404"] * 4
        await asyncio.sleep(0.01)
        assert len(run.server.connections) <= 2


async def test_no_call_is_answered_while_the_files_of_too_many_are_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(faster(max_unfinished=2), record=tmp_path) as run:
        assert run.server.recorder is not None
        await run.call(METADATA)
        with monkeypatch.context() as patched:
            patched.setattr(FileRecorder, "finishing", 1)
            assert b"the limit of open files allows no more" in await run.ask(HANDSHAKE)
        await run.call(METADATA)


def test_the_limit_of_open_files_is_raised_and_checked() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, hard), hard))

        possible = raise_descriptor_limit(None)

        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
        assert raise_descriptor_limit(possible) == possible
        with pytest.raises(UsageError, match=f"--max-calls {possible + 1} needs"):
            raise_descriptor_limit(possible + 1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
