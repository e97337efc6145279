"""Which requests a replay server accepts as calls."""

from functools import partial
from pathlib import Path

import pytest

from listenctl.net.client_connection import connect
from tests.helpers.dumps import CLOSE, METADATA, TEXT, application, jambonz, playing, write_dump
from tests.helpers.frames import HANDSHAKE
from tests.helpers.scripted_server import HeardMessages, target
from tests.helpers.server import Peer

pytestmark = pytest.mark.simulated_time

NORMAL, GOING_AWAY = b"\x03\xe8", b"\x03\xe9"


async def test_callers_get_the_calls_in_turn_and_no_more_than_the_limit(tmp_path: Path) -> None:
    path = write_dump(tmp_path / "d", [jambonz(0.0, TEXT, METADATA), application(0.1, CLOSE, NORMAL)])
    write_dump(path, [jambonz(0.0, TEXT, METADATA), application(0.1, CLOSE, GOING_AWAY)])

    async with playing(path, limit=3) as server:
        heard = [HeardMessages() for _ in range(3)]
        for one in heard:
            connection = await connect(target(server.port), one)
            await one.until(partial(bool, one.ends))
            connection.abort()

    assert [one.ends[0].code for one in heard] == [1000, 1001, 1000]
    assert [result.call for result in server.results] == [1, 2, 1]


@pytest.mark.parametrize(
    ("request_bytes", "status", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"400", "is not a WebSocket handshake"),
        (HANDSHAKE.replace(b"GET ", b"POST "), b"400", "is not a WebSocket handshake"),
        (b"x" * 70_000 + b"\r\n\r\n", b"400", "sent no request"),
    ],
)
async def test_an_invalid_request_is_refused(request_bytes: bytes, status: bytes, reason: str, tmp_path: Path) -> None:
    path = write_dump(tmp_path / "d", [jambonz(0.0, TEXT, METADATA)])

    async with playing(path) as server:
        peer = await Peer.open(server.port)
        await peer.send(request_bytes)
        answer = await peer.read_head()
        await peer.close()
        server.server.stop()

    assert answer.startswith(b"HTTP/1.1 " + status)
    assert server.refused == [reason]
    assert server.results == []


async def test_credentials_are_required_and_a_path_may_contain_spaces(tmp_path: Path) -> None:
    path = write_dump(tmp_path / "d", [jambonz(0.0, TEXT, METADATA), application(0.0, CLOSE, NORMAL)])
    right = HANDSHAKE[:-2].replace(b"/calls?x=1", b"/my calls?x=1") + b"authorization: Basic dTpw\r\n\r\n"

    async with playing(path, authorization="Basic dTpw") as server:
        heads = []
        for request in (HANDSHAKE, right.replace(b"dTpw", b"dTpx"), right):
            peer = await Peer.open(server.port)
            await peer.send(request)
            heads.append((await peer.read_head())[9:12])
            await peer.close()

    assert heads == [b"401", b"401", b"101"]
