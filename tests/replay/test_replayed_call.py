"""Captured calls played to a live server: the same frames on time, and the same recording."""

import asyncio
from pathlib import Path

import pytest

from listenctl.capture.formats.dump_line_format import DumpEnd
from tests.helpers.capture import CAPTURES, FOLDER, received_audio
from tests.helpers.dumps import (
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
from tests.helpers.scripted_server import recorded_frames, serving
from tests.helpers.server import recorded_audio, running, until

pytestmark = pytest.mark.simulated_time

NORMAL, GOING_AWAY = b"\x03\xe8", b"\x03\xe9"


@pytest.mark.parametrize("name", CAPTURES)
async def test_the_recording_is_that_of_the_capture(name: str, tmp_path: Path) -> None:
    async with running(record=tmp_path) as run:
        result = await play(plan(FOLDER / f"{name}.pcap.gz", run.port))
        saved = await run.events.wait_for("recording-saved")

    assert recorded_audio(saved) == received_audio(name).data
    assert saved["call_sid"] == result.call_sid == "new-sid"
    assert (result.ok, result.taken, result.unplayed, result.lost) == (True, True, 0, 0)


@pytest.mark.parametrize("name", ["c2_bidir_stream8k_marks_nominus1", "e_playaudio_featureserver", "f_pause_graceful"])
async def test_every_frame_is_sent_as_captured_and_on_time(name: str) -> None:
    server = KeepingServer()

    async with serving(server.serve) as port:
        result = await play(plan(FOLDER / f"{name}.pcap.gz", port, speed=1.0), sid=None)

    (frames,) = server.calls
    recorded = recorded_frames(name)
    assert [(one.first, one.masked, one.payload) for one in frames] == [
        (one.first, one.masked, one.payload) for one in recorded
    ]
    assert result.frames == len(recorded) - 1
    # Times count from the handshake in one, and from the first frame in the other.
    # The Close may wait for that of the server.
    offsets = [one.time - other.time for one, other in zip(frames[:-1], recorded[:-1], strict=True)]
    assert max(offsets) - min(offsets) < 0.002
    assert result.lateness == pytest.approx(0, abs=0.001)


@pytest.mark.parametrize(
    ("metadata", "same_sid", "sent", "call_sid"),
    [
        (METADATA, False, METADATA.replace(b"old-sid", b"new-sid"), "new-sid"),
        (METADATA, True, METADATA, "old-sid"),
        (b'{"callSid":"\\u006fld"}', False, b'{"callSid":"\\u006fld"}', None),
    ],
    ids=["replaced", "kept", "escaped"],
)
async def test_only_the_call_sid_is_replaced(
    metadata: bytes, same_sid: bool, sent: bytes, call_sid: str | None, tmp_path: Path
) -> None:
    dump = write_dump(tmp_path / "d", [jambonz(0.0, TEXT, metadata), jambonz(0.0, CLOSE, NORMAL)])
    server = KeepingServer()

    async with serving(server.serve) as port:
        result = await play(plan(dump, port, same_sid=same_sid))

    assert server.calls[0][0].payload == sent
    if call_sid is None:
        assert result.notes == ["the callSid contains escapes and can't be replaced; it is sent as captured"]
    else:
        assert (result.call_sid, result.notes) == (call_sid, [])


async def test_fragments_pings_and_faults_are_sent_but_no_pongs(tmp_path: Path) -> None:
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

    async with serving(server.serve) as port:
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

    async with serving(server.serve) as port:
        result = await play(plan(dump, port))

    assert [one.payload for one in server.calls[0] if one.first == 0x88] == [payload]
    assert (server.ends, result.ok) == (["fin"], True)


async def test_a_connection_that_broke_breaks_again(tmp_path: Path) -> None:
    frames = [jambonz(0.0, TEXT, METADATA), jambonz(0.01, BINARY, bytes(320))]
    dump = write_dump(tmp_path / "d", frames, end=DumpEnd(0.05, "nobody", None, ""))
    server = KeepingServer()

    async with serving(server.serve) as port:
        result = await play(plan(dump, port, speed=1.0))

    assert server.ends == ["rst"]
    assert [one.first for one in server.calls[0]] == [0x81, 0x82]
    assert (result.ok, result.error) == (True, "")


async def test_the_servers_close_is_awaited_if_it_came_first(tmp_path: Path) -> None:
    frames = [jambonz(0.0, TEXT, METADATA), application(0.01, CLOSE, GOING_AWAY), jambonz(0.01, CLOSE, GOING_AWAY)]

    async def close_late(writer: asyncio.StreamWriter) -> None:
        asyncio.get_running_loop().call_later(0.1, writer.write, b"\x88\x02" + GOING_AWAY)

    server = KeepingServer(says=close_late)
    async with serving(server.serve) as port:
        result = await play(plan(write_dump(tmp_path / "d", frames), port))

    assert result.end is not None
    assert (result.end.by, result.end.code, result.ok) == ("server", 1001, True)


@pytest.mark.parametrize(("payload", "error"), [(NORMAL, ""), (b"\x03\xf3oops", "the server closed with 1011 oops")])
async def test_a_server_that_ends_the_call_early_has_cut_it_short(payload: bytes, error: str, tmp_path: Path) -> None:
    frames = [jambonz(0.0, TEXT, METADATA), *(jambonz(3.0 + at / 50, BINARY, bytes(320)) for at in range(10))]

    async def close_at_once(writer: asyncio.StreamWriter) -> None:
        await until(lambda: bool(server.calls[0]))
        writer.write(bytes((0x88, len(payload))) + payload)

    server = KeepingServer(says=close_at_once)
    async with serving(server.serve) as port:
        result = await play(plan(write_dump(tmp_path / "d", frames), port, speed=1.0))

    assert (result.unplayed, result.cut_short, result.ok, result.error) == (10, True, False, error)
    assert 2.5 < result.early < 3.5
