"""What the control socket does with messages that a call can't take as they are."""

from pathlib import Path

from listenctl.server.control_api.control_server import MAX_MESSAGE
from tests.helpers.control import controlled
from tests.helpers.frames import text
from tests.helpers.server import Peer


async def audio_of(peer: Peer, size: int) -> bytes:
    """Return so many bytes of audio, whatever messages they come in."""
    heard = b""
    while len(heard) < size:
        frame = await peer.read_frame()
        assert frame[:1] == b"\x82"
        assert frame[1] < 126
        heard += frame[2:]
    return heard


async def test_half_a_sample_is_completed_by_the_next_message_or_the_end_of_the_turn(tmp_path: Path) -> None:
    async with controlled(tmp_path) as server:
        peer = await server.run.call(text("{}"))
        await server.run.events.wait_for("call-started")
        async with server.attach() as first, server.attach() as second:
            await first.send(b"\1\2\3", b"\4\5\6\7", '{"type":"listenctl:release"}')
            heard = await audio_of(peer, 8)
            await second.send(b"\x11\x12")
            heard += await audio_of(peer, 2)

    assert heard == b"\1\2\3\4\5\6\7\0\x11\x12"


async def test_a_text_above_the_limit_ends_the_conversation_and_not_the_call(tmp_path: Path) -> None:
    async with controlled(tmp_path) as server:
        peer = await server.run.call(text("{}"))
        await server.run.events.wait_for("call-started")
        async with server.attach() as tool:
            # The head of a masked text frame says how long it is, and that is enough.
            tool.connection.transport.write(b"\x81\xff" + (MAX_MESSAGE + 1).to_bytes(8, "big") + bytes(4))
            _, closed = await tool.end()
        async with server.attach() as tool:
            await tool.send('{"type":"killAudio"}')
            frame = await peer.read_frame()

    assert closed is not None
    assert closed.code == 1009
    assert frame[2:] == b'{"type":"killAudio"}'
