"""The application of a capture, played to clients."""

import asyncio
from pathlib import Path

import pytest

import listenctl.replay.replayed_application as module
from listenctl.net.client_connection import connect
from listenctl.replay.compare_answers import CompareSettings
from listenctl.replay.plan import ReplaySync
from tests.helpers.capture import FOLDER
from tests.helpers.dumps import (
    BINARY,
    CLOSE,
    METADATA,
    PING,
    TEXT,
    PlayingServer,
    application,
    jambonz,
    plan,
    play,
    playing,
    write_dump,
)
from tests.helpers.frames import HANDSHAKE
from tests.helpers.scripted_server import HeardMessages, target
from tests.helpers.server import Peer

pytestmark = pytest.mark.simulated_time

NORMAL = b"\x03\xe8"


async def opened(server: PlayingServer) -> tuple[Peer, bytes]:
    peer = await Peer.open(server.port)
    await peer.send(HANDSHAKE)
    return peer, await peer.read_head()


@pytest.mark.parametrize("name", ["c2_bidir_stream8k_marks_nominus1", "e_playaudio_featureserver", "f_pause_graceful"])
async def test_both_sides_of_a_capture_played_to_each_other_answer_as_in_it(name: str) -> None:
    path = FOLDER / f"{name}.pcap.gz"

    async with playing(path, speed=20.0) as server:
        result = await play(plan(path, server.port, speed=20.0, compare=CompareSettings(tolerance=10.0)))

    assert result.comparison is not None
    assert (result.comparison.differences, result.ok) == ((), True)
    assert result.comparison.texts[0] == result.comparison.texts[1]
    (own,) = server.results
    assert (own.ok, own.closed) == (True, 1000)


async def test_frames_are_sent_as_captured(tmp_path: Path) -> None:
    frames = [
        jambonz(0.0, TEXT, METADATA),
        application(0.0, BINARY, b"ab", fin=False),
        application(0.01, PING, b"?"),
        application(0.01, 0, b"c"),
        application(0.02, BINARY, bytes(300)),
        application(0.02, CLOSE, b"\x0f\xa0bye"),
        jambonz(0.02, CLOSE, b"\x0f\xa0bye"),
    ]
    async with playing(write_dump(tmp_path / "d", frames)) as server:
        peer, head = await opened(server)
        said = await peer.read_bytes(4 + 3 + 3 + 304 + 7)
        await peer.close()

    assert b"Sec-WebSocket-Protocol: audio.jambonz.org" in head
    expected = b"\x02\x02ab" + b"\x89\x01?" + b"\x80\x01c" + b"\x82\x7e\x01\x2c" + bytes(300) + b"\x88\x05\x0f\xa0bye"
    assert said == expected


async def test_an_interrupted_application_counts_its_unsent_frames(tmp_path: Path) -> None:
    frames = [jambonz(0.0, TEXT, METADATA), application(0.0, BINARY, b"ab")]
    later = [application(3600.0 + at, BINARY, bytes(320)) for at in range(200)]
    async with playing(write_dump(tmp_path / "d", [*frames, *later, application(4000.0, CLOSE, NORMAL)])) as server:
        peer, _ = await opened(server)
        await peer.read_bytes(4)
        server.server.stop()
        await peer.read_to_end()
        await peer.close()

    (result,) = server.results
    assert (result.frames, result.unsent, result.interrupted, result.ok) == (1, 200, True, False)


async def test_an_awaited_answer_shifts_all_that_follows(tmp_path: Path) -> None:
    done = b'{"type":"playDone","data":{"id":"a","reason":"playCompleted"}}'
    frames = [
        jambonz(0.0, TEXT, METADATA),
        jambonz(0.1, TEXT, done),
        application(0.2, TEXT, b"after"),
        application(0.2, CLOSE, NORMAL),
    ]
    loop = asyncio.get_running_loop()

    async with playing(write_dump(tmp_path / "d", frames), sync=ReplaySync.ANSWERS) as server:
        heard = HeardMessages()
        connection = await connect(target(server.port), heard)
        connection.send_text(METADATA)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await heard.until(lambda: bool(heard.messages))
        answered = loop.time()
        connection.send_text(done)
        await heard.until(lambda: bool(heard.ends))
        took = loop.time() - answered
        connection.abort()

    assert heard.messages == [("text", b"after", False)]
    assert took > 0.08
    assert server.results[0].missed_texts == 0


async def test_a_missing_answer_is_awaited_only_so_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_TIMEOUT", 0.05)
    frames = [
        jambonz(0.0, TEXT, METADATA),
        jambonz(0.01, TEXT, b'{"event":"dtmf","dtmf":"5","duration":"1600"}'),
        application(0.02, TEXT, b"after"),
        application(0.02, CLOSE, NORMAL),
    ]
    async with playing(write_dump(tmp_path / "d", frames), sync=ReplaySync.ANSWERS) as server:
        heard = HeardMessages()
        connection = await connect(target(server.port), heard)
        connection.send_text(METADATA)
        await heard.until(lambda: bool(heard.ends))
        connection.abort()

    assert heard.messages == [("text", b"after", False)]
    assert (server.results[0].missed_texts, server.results[0].ok) == (1, False)


async def test_a_client_that_leaves_early_leaves_frames_unsent(tmp_path: Path) -> None:
    frames = [jambonz(0.0, TEXT, METADATA), *(application(3600.0, TEXT, b"x") for _ in range(3))]

    async with playing(write_dump(tmp_path / "d", frames)) as server:
        connection = await connect(target(server.port), HeardMessages())
        connection.send_text(METADATA)
        connection.send_audio(bytes(320))
        connection.hang_up()
        assert await connection.wait_closed(5)

    (result,) = server.results
    assert (result.unsent, result.received_texts, result.received_audio_bytes, result.closed) == (3, 1, 320, 1000)
    assert not result.ok


async def test_a_faulty_frame_of_the_client_ends_the_call(tmp_path: Path) -> None:
    path = write_dump(tmp_path / "d", [jambonz(0.0, TEXT, METADATA), application(3600.0, TEXT, b"x")])

    async with playing(path) as server:
        peer, _ = await opened(server)
        await peer.send(b"\x82\x01a")
        closed = await peer.read_to_end()
        await peer.close()

    assert (closed[:1], closed[2:4]) == (b"\x88", b"\x03\xea")
    assert "invalid frame" in server.results[0].error
