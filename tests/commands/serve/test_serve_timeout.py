"""When ``serve --timeout`` gives up."""

from pathlib import Path

from tests.helpers.cli import service
from tests.helpers.frames import HANDSHAKE, close
from tests.helpers.server import Peer

SERVE = ("serve", "--port", "0", "--no-control", "--json")


async def test_a_connection_that_never_became_a_call_doesnt_stop_the_timeout(tmp_path: Path) -> None:
    async with service(*SERVE, "--timeout", "0.5", home=tmp_path) as server:
        peer = await Peer.open((await server.next("server-started"))["port"])
        await peer.send(HANDSHAKE)
        await peer.read_head()
        await peer.send(close())
        await peer.read_to_end()
        await peer.close()
        status, said = await server.status()

    assert status == 124
    assert "no call came within 0.5 s" in said
