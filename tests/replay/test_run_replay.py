"""Several calls of a capture, at once and repeatedly."""

import asyncio
from pathlib import Path

import pytest

from listenctl.replay.find_captured_calls import find_captured_calls
from listenctl.replay.replay_results import ReplayResult
from listenctl.replay.run_replay import ReplayRun
from tests.helpers.capture import FOLDER, received_audio
from tests.helpers.dumps import (
    BINARY,
    CLOSE,
    METADATA,
    TEXT,
    KeepingServer,
    application,
    jambonz,
    plan,
    write_dump,
)
from tests.helpers.scripted_server import serving
from tests.helpers.server import recorded_audio, running, until

pytestmark = pytest.mark.simulated_time

NORMAL, GOING_AWAY = b"\x03\xe8", b"\x03\xe9"


async def test_calls_are_played_at_once_and_again(tmp_path: Path) -> None:
    results: list[ReplayResult] = []

    async with running(record=tmp_path / "recordings") as run:
        replaying = plan(FOLDER / "a_mono8k_sip.pcap.gz", run.port)
        replay = ReplayRun(
            replaying, find_captured_calls(replaying.capture), copies=3, rounds=2, on_result=results.append
        )
        totals = await replay.run()
        saved = [await run.events.wait_for("recording-saved", number) for number in range(1, 7)]

    assert (totals.played, totals.connected, totals.ok) == (6, 6, 6)
    assert sorted((one.round, one.copy) for one in results) == [(r, c) for r in (1, 2) for c in (1, 2, 3)]
    assert len({one.call_sid for one in results}) == 6
    assert {one.call_sid for one in results} == {one["call_sid"] for one in saved}
    for one in saved:
        assert recorded_audio(one) == received_audio("a_mono8k_sip").data


async def test_calls_start_as_long_after_the_first_as_in_the_capture(tmp_path: Path) -> None:
    frames = [jambonz(0.0, TEXT, METADATA), jambonz(0.3, CLOSE, NORMAL)]
    dump = write_dump(tmp_path / "d", frames)
    write_dump(dump, frames, created="2026-11-21T10:00:04.000000Z")
    server = KeepingServer()
    began: list[float] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        began.append(asyncio.get_running_loop().time())
        await server.serve(reader, writer)

    async with serving(serve) as port:
        replaying = plan(dump, port, speed=10.0)
        totals = await ReplayRun(replaying, find_captured_calls(replaying.capture, every=True)).run()

    assert totals.ok == 2
    assert began[1] - began[0] > 0.38


async def test_forever_ends_when_it_is_stopped(tmp_path: Path) -> None:
    dump = write_dump(tmp_path / "d", [jambonz(0.0, TEXT, METADATA), jambonz(0.0, CLOSE, NORMAL)])
    results: list[ReplayResult] = []

    def take(result: ReplayResult) -> None:
        results.append(result)
        if result.round == 3:
            replay.stop()

    async with serving(KeepingServer().serve) as port:
        replaying = plan(dump, port)
        replay = ReplayRun(replaying, find_captured_calls(replaying.capture), rounds=None, on_result=take)
        await replay.run()

    assert [one.round for one in results] == [1, 2, 3]


async def test_stopping_hangs_up_in_the_middle_of_a_call(tmp_path: Path) -> None:
    frames = [jambonz(0.0, TEXT, METADATA), *(jambonz(3600.0 + at, BINARY, bytes(320)) for at in range(200))]
    dump = write_dump(tmp_path / "d", [*frames, application(4000.0, BINARY, b""), jambonz(4000.0, CLOSE, GOING_AWAY)])
    server = KeepingServer()
    results: list[ReplayResult] = []

    async with serving(server.serve) as port:
        replaying = plan(dump, port, speed=1.0)
        replay = ReplayRun(replaying, find_captured_calls(replaying.capture), on_result=results.append)
        playing = asyncio.create_task(replay.run())
        await until(lambda: bool(server.calls and server.calls[0]))
        replay.stop()
        totals = await playing

    assert [one.payload for one in server.calls[0]][1:] == [NORMAL]
    assert (results[0].interrupted, results[0].ok) == (True, False)
    assert (results[0].frames, results[0].unplayed, results[0].cut_short) == (1, 200, False)
    assert (totals.played, totals.ok) == (1, 0)


async def test_a_server_that_refuses_ends_the_loop(tmp_path: Path) -> None:
    dump = write_dump(tmp_path / "d", [jambonz(0.0, TEXT, METADATA)])

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

    async with serving(refuse) as port:
        replaying = plan(dump, port)
        totals = await ReplayRun(replaying, find_captured_calls(replaying.capture), copies=2, rounds=None).run()

    assert (totals.played, totals.connected, totals.ok) == (2, 0, 0)
    assert "refused with 403" in totals.error


async def test_a_capture_that_was_removed_is_an_error_of_the_call(tmp_path: Path) -> None:
    dump = write_dump(tmp_path / "d", [jambonz(0.0, TEXT, METADATA)])
    replaying = plan(dump, 1)
    calls = find_captured_calls(replaying.capture)
    dump.unlink()

    totals = await ReplayRun(replaying, calls).run()

    assert (totals.connected, totals.ok) == (0, 0)
    assert str(dump) in totals.error
