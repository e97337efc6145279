"""The captures and what puts them on a socket, held against the plain ``websockets`` server."""

import asyncio

import pytest
from websockets.asyncio.server import ServerConnection, serve

from tests.helpers.capture import CAPTURES, client_bytes, client_stream, received_audio
from tests.helpers.frames import ACCEPT, HANDSHAKE, binary, close, text
from tests.helpers.replay import Cut, odd_pieces, replay, whole


async def receive(stream: bytes, cut: Cut) -> tuple[list[str | bytes], bytes]:
    """Return the messages that a server gets out of a stream, and what it answered."""
    messages: list[str | bytes] = []

    async def take(connection: ServerConnection) -> None:
        messages.extend([message async for message in connection])

    async with asyncio.timeout(30), serve(take, "127.0.0.1", 0, compression=None) as server:
        port = server.sockets[0].getsockname()[1]
        return messages, await replay("127.0.0.1", port, stream, cut=cut)


@pytest.mark.parametrize("name", CAPTURES)
@pytest.mark.parametrize("cut", [whole, odd_pieces(seed=1)], ids=["whole", "odd pieces"])
async def test_a_capture_holds_the_audio_that_was_received(name: str, cut: Cut) -> None:
    messages, _ = await receive(client_bytes(name), cut)

    assert b"".join(message for message in messages if isinstance(message, bytes)) == received_audio(name).data


@pytest.mark.parametrize("name", CAPTURES)
def test_a_capture_begins_with_the_request_and_its_times_rise(name: str) -> None:
    stream = client_stream(name)

    assert stream[0][1].startswith(b"GET /media?call=1 HTTP/1.1\r\nPragma: no-cache\r\n")
    assert [time for time, _ in stream] == sorted(time for time, _ in stream)
    assert 0 < stream[0][0] < 0.1


@pytest.mark.parametrize("cut", [whole, odd_pieces(seed=2)], ids=["whole", "odd pieces"])
async def test_made_up_frames_arrive_as_they_were_meant(cut: Cut) -> None:
    frames = [text("{}"), binary(b""), binary(b"\x01"), binary(bytes(126)), binary(bytes(65_536)), close(1000, "bye")]

    messages, answer = await receive(HANDSHAKE + b"".join(frames), cut)

    assert messages == ["{}", b"", b"\x01", bytes(126), bytes(65_536)]
    assert ACCEPT in answer
    assert answer.endswith(b"\x88\x05\x03\xe8bye")


async def test_a_refused_handshake_is_returned_and_nothing_follows_it() -> None:
    messages, answer = await receive(HANDSHAKE.replace(b"Version: 13", b"Version: 12") + binary(b"\x01"), whole)

    assert messages == []
    assert answer.startswith(b"HTTP/1.1 400 ")


def test_odd_pieces_lose_nothing_and_are_the_same_each_time() -> None:
    stream = bytes(range(256)) * 1000
    cut = odd_pieces(seed=3)

    pieces = list(cut(stream))

    assert b"".join(pieces) == stream
    assert pieces == list(cut(stream))
    assert len(pieces) > 1
