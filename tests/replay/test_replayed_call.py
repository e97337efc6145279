"""Calls of captures played to a live server: the same frames, in their time, and the recording that comes of them."""

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from listenctl.capture.formats.write_dump import DumpEnd
from listenctl.replay.find_captured_calls import find_captured_calls
from listenctl.replay.plan import ReplayPlan, ReplayResult
from listenctl.replay.run_replay import ReplayRun
from tests.helpers.capture import CAPTURES, FOLDER, received_audio
from tests.helpers.recorded_server import recorded_frames
from tests.helpers.replayed import (
    BINARY,
    CLOSE,
    METADATA,
    PING,
    PONG,
    TEXT,
    KeepingServer,
    application,
    jambonz,
    plan,
    play,
    write_dump,
)
from tests.helpers.scripted_server import serving
from tests.helpers.server import recorded_audio, running, until

NORMAL, GOING_AWAY = b"\x03\xe8", b"\x03\xe9"


def to_keep(server: KeepingServer) -> AbstractAsyncContextManager[int]:
    return serving(server.serve)


@pytest.mark.parametrize("name", CAPTURES)
async def test_the_recording_is_that_of_the_capture(name: str, tmp_path: Path) -> None:
    async with running(record=tmp_path) as run:
        result = await play(plan(FOLDER / f"{name}.pcap.gz", run.port))
        saved = await run.events.wait_for("recording-saved")

    assert recorded_audio(saved) == received_audio(name).data
    assert saved["call_sid"] == result.call_sid == "new-sid"
    assert (result.ok, result.taken, result.unplayed, result.lost) == (True, True, 0, 0)


@pytest.mark.parametrize("name", ["c2_bidir_stream8k_marks_nominus1", "e_playaudio_featureserver", "f_pause_graceful"])
async def test_every_frame_goes_out_as_it_was_and_in_its_time(name: str) -> None:
    server = KeepingServer()
    speed = 20.0

    async with to_keep(server) as port:
        result = await play(plan(FOLDER / f"{name}.pcap.gz", port, speed=speed), sid=None)

    (frames,) = server.calls
    recorded = recorded_frames(name)
    assert [(one.first, one.masked, one.payload) for one in frames] == [
        (one.first, one.masked, one.payload) for one in recorded
    ]
    assert result.frames == len(recorded) - 1
    # Times in both count from nearly the same moment; a busy machine is late, and nothing is ever early.
    assert all(one.time > other.time / speed - 0.02 for one, other in zip(frames, recorded, strict=True))
    assert frames[-1].time < recorded[-1].time / speed + 5
    assert result.lateness is not None


async def test_only_the_call_sid_is_another(tmp_path: Path) -> None:
    dump = write_dump(tmp_path / "d", [jambonz(0.0, TEXT, METADATA), jambonz(0.0, CLOSE, NORMAL)])
    server = KeepingServer()

    async with to_keep(server) as port:
        renamed = await play(plan(dump, port))
        kept = await play(plan(dump, port, same_sid=True))

    assert [call[0].payload for call in server.calls] == [METADATA.replace(b"old-sid", b"new-sid"), METADATA]
    assert (renamed.call_sid, kept.call_sid) == ("new-sid", "old-sid")


async def test_a_call_sid_that_can_not_be_replaced_is_left_and_told(tmp_path: Path) -> None:
    escaped = b'{"callSid":"\\u006fld"}'
    dump = write_dump(tmp_path / "d", [jambonz(0.0, TEXT, escaped), jambonz(0.0, CLOSE, NORMAL)])
    server = KeepingServer()

    async with to_keep(server) as port:
        result = await play(plan(dump, port))

    assert server.calls[0][0].payload == escaped
    assert result.notes == ["the callSid is written in a way that can't be replaced, and stays as it was"]


async def test_fragments_pings_and_faults_are_as_they_were_and_pongs_are_left_out(tmp_path: Path) -> None:
    frames = [
        jambonz(0.0, TEXT, METADATA),
        jambonz(0.01, BINARY, b"ab", fin=False),
        jambonz(0.01, PING, b"?"),
        jambonz(0.02, 0, b"c"),
        jambonz(0.02, PONG, b"!"),
        jambonz(0.03, 5, b"odd", rsv=3),
        jambonz(0.03, BINARY, bytes(70_000)),
        jambonz(0.04, CLOSE, b"\x0f\xa0bye"),
    ]
    server = KeepingServer()

    async with to_keep(server) as port:
        await play(plan(write_dump(tmp_path / "d", frames), port), sid=None)

    assert [(one.first, one.payload) for one in server.calls[0]] == [
        (0x81, METADATA),
        (0x02, b"ab"),
        (0x89, b"?"),
        (0x80, b"c"),
        (0xB5, b"odd"),
        (0x82, bytes(70_000)),
        (0x88, b"\x0f\xa0bye"),
    ]


@pytest.mark.parametrize("payload", [b"", NORMAL, b"\x03", b"\x0f\xa0over"])
async def test_the_close_is_that_of_the_capture(payload: bytes, tmp_path: Path) -> None:
    dump = write_dump(tmp_path / "d", [jambonz(0.0, TEXT, METADATA), jambonz(0.01, CLOSE, payload)])
    server = KeepingServer()

    async with to_keep(server) as port:
        result = await play(plan(dump, port))

    assert [one.payload for one in server.calls[0] if one.first == 0x88] == [payload]
    assert (server.ends, result.ok) == (["fin"], True)


async def test_a_connection_that_broke_breaks_again(tmp_path: Path) -> None:
    frames = [jambonz(0.0, TEXT, METADATA), jambonz(0.01, BINARY, bytes(320))]
    dump = write_dump(tmp_path / "d", frames, end=DumpEnd(0.05, "nobody", None, ""))
    server = KeepingServer()

    async with to_keep(server) as port:
        result = await play(plan(dump, port, speed=1.0))

    assert server.ends == ["rst"]
    assert [one.first for one in server.calls[0]] == [0x81, 0x82]
    assert (result.ok, result.error) == (True, "")


async def test_where_the_capture_has_no_end_the_call_is_hung_up_and_that_is_told(tmp_path: Path) -> None:
    dump = write_dump(tmp_path / "d", [jambonz(0.0, TEXT, METADATA)])
    server = KeepingServer()

    async with to_keep(server) as port:
        result = await play(plan(dump, port))

    assert server.calls[0][-1].payload == NORMAL
    assert result.notes == ["the capture has no Close of jambonz (it ends before); hung up with 1000"]


async def test_the_close_of_the_server_is_waited_for_where_it_came_first(tmp_path: Path) -> None:
    frames = [jambonz(0.0, TEXT, METADATA), application(0.01, CLOSE, GOING_AWAY), jambonz(0.01, CLOSE, GOING_AWAY)]

    async def close_late(writer: asyncio.StreamWriter) -> None:
        asyncio.get_running_loop().call_later(0.1, writer.write, b"\x88\x02" + GOING_AWAY)

    server = KeepingServer(says=close_late)
    async with to_keep(server) as port:
        result = await play(plan(write_dump(tmp_path / "d", frames), port))

    assert result.end is not None
    assert (result.end.by, result.end.code, result.ok) == ("server", 1001, True)


async def test_a_server_that_ends_the_call_early_has_cut_it_short(tmp_path: Path) -> None:
    frames = [jambonz(0.0, TEXT, METADATA), *(jambonz(3.0 + at / 50, BINARY, bytes(320)) for at in range(10))]

    async def close_at_once(writer: asyncio.StreamWriter) -> None:
        await until(lambda: bool(server.calls[0]))
        writer.write(b"\x88\x02" + NORMAL)

    server = KeepingServer(says=close_at_once)
    async with to_keep(server) as port:
        result = await play(plan(write_dump(tmp_path / "d", frames), port, speed=1.0))

    assert (result.unplayed, result.cut_short, result.ok) == (10, True, False)
    assert 2.5 < result.early < 3.5


async def test_an_error_of_the_server_is_told(tmp_path: Path) -> None:
    frames = [jambonz(0.0, TEXT, METADATA), jambonz(0.5, CLOSE, NORMAL)]

    async def fail(writer: asyncio.StreamWriter) -> None:
        await until(lambda: bool(server.calls[0]))
        writer.write(b"\x88\x06\x03\xf3oops")

    server = KeepingServer(says=fail)
    async with to_keep(server) as port:
        result = await play(plan(write_dump(tmp_path / "d", frames), port, speed=1.0))

    assert (result.ok, result.error) == (False, "the server closed with 1011 oops")


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


async def test_all_calls_of_a_capture_begin_as_long_after_the_first_as_they_did(tmp_path: Path) -> None:
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

    async with to_keep(KeepingServer()) as port:
        replaying = plan(dump, port)
        replay = ReplayRun(replaying, find_captured_calls(replaying.capture), rounds=None, on_result=take)
        await replay.run()

    assert [one.round for one in results] == [1, 2, 3]


async def test_stopping_hangs_up_in_the_midst_of_a_call(tmp_path: Path) -> None:
    dump = write_dump(tmp_path / "d", [jambonz(0.0, TEXT, METADATA), jambonz(3600.0, CLOSE, GOING_AWAY)])
    server = KeepingServer()
    results: list[ReplayResult] = []

    async with to_keep(server) as port:
        replaying = plan(dump, port, speed=1.0)
        replay = ReplayRun(replaying, find_captured_calls(replaying.capture), on_result=results.append)
        playing = asyncio.create_task(replay.run())
        await until(lambda: bool(server.calls and server.calls[0]))
        replay.stop()
        await playing

    assert [one.payload for one in server.calls[0]][1:] == [NORMAL]
    assert (results[0].interrupted, results[0].ok, results[0].unplayed) == (True, False, 0)


async def test_a_call_that_is_interrupted_is_not_played_to_its_end(tmp_path: Path) -> None:
    frames = [jambonz(0.0, TEXT, METADATA), *(jambonz(3600.0 + at, BINARY, bytes(320)) for at in range(200))]
    dump = write_dump(tmp_path / "d", [*frames, application(4000.0, BINARY, b""), jambonz(4000.0, CLOSE, GOING_AWAY)])
    server = KeepingServer()
    results: list[ReplayResult] = []

    async with to_keep(server) as port:
        replaying = plan(dump, port, speed=1.0)
        replay = ReplayRun(replaying, find_captured_calls(replaying.capture), on_result=results.append)
        playing = asyncio.create_task(replay.run())
        await until(lambda: bool(server.calls and server.calls[0]))
        replay.stop()
        totals = await playing

    assert (results[0].frames, results[0].unplayed, results[0].cut_short) == (1, 200, False)
    assert (totals.played, totals.ok) == (1, 0)


async def test_a_server_that_refuses_ends_the_loop(tmp_path: Path) -> None:
    dump = write_dump(tmp_path / "d", [jambonz(0.0, TEXT, METADATA)])

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

    async with serving(refuse) as port:
        replaying: ReplayPlan = plan(dump, port)
        totals = await ReplayRun(replaying, find_captured_calls(replaying.capture), copies=2, rounds=None).run()

    assert (totals.played, totals.connected, totals.ok) == (2, 0, 0)
    assert "refused with 403" in totals.error


async def test_a_capture_that_has_gone_meanwhile_is_an_error_of_the_call(tmp_path: Path) -> None:
    dump = write_dump(tmp_path / "d", [jambonz(0.0, TEXT, METADATA)])
    replaying = plan(dump, 1)
    calls = find_captured_calls(replaying.capture)
    dump.unlink()

    totals = await ReplayRun(replaying, calls).run()

    assert (totals.connected, totals.ok) == (0, 0)
    assert str(dump) in totals.error
