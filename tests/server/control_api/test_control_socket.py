import asyncio
import socket
from pathlib import Path

import pytest

from listenctl.errors import ListenctlError
from listenctl.events import Reporter
from listenctl.server.control_api import control_server
from listenctl.server.control_api.tool_sender import ToolWebSocket
from listenctl.server.server import ListenServer
from tests.helpers.control import controlled
from tests.helpers.frames import close
from tests.helpers.server import faster, mode_of, read_sidecar, until

pytestmark = pytest.mark.simulated_time


def leave_dead_socket(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(path))
        dead.listen()


async def test_the_socket_is_for_its_owner_and_gone_when_the_server_ends(tmp_path: Path) -> None:
    async with controlled(tmp_path) as server:
        modes = mode_of(server.socket.parent), mode_of(server.socket)
        started = server.run.events.of("server-started")[0]

    assert modes == (0o700, 0o600)
    assert started["control"] == str(server.socket)
    assert not server.socket.exists()


async def test_a_socket_that_a_dead_server_left_is_replaced(tmp_path: Path) -> None:
    leave_dead_socket(tmp_path / "listenctl" / "default.sock")

    async with controlled(tmp_path) as server:
        assert await server.list_calls() == []


@pytest.mark.parametrize("asked_before", [False, True])
async def test_the_socket_of_a_live_server_is_left_alone(asked_before: bool, tmp_path: Path) -> None:
    async with controlled(tmp_path) as server:
        if asked_before:
            await server.list_calls()
        second = ListenServer(faster(control=server.socket), Reporter())

        with pytest.raises(ListenctlError, match="a server named default is already running; choose another --name"):
            second.start()

        assert await server.list_calls() == []


async def test_what_is_no_socket_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "listenctl" / "default.sock"
    path.parent.mkdir(mode=0o700)
    path.write_text("mine")

    with pytest.raises(ListenctlError, match="can't create the control socket"):
        ListenServer(faster(control=path), Reporter()).start()

    assert path.read_text() == "mine"


async def test_a_server_leaves_what_another_one_put_in_its_place(tmp_path: Path) -> None:
    async with controlled(tmp_path) as server:
        server.socket.unlink()
        server.socket.write_text("another's")

    assert server.socket.read_text() == "another's"


async def test_a_client_that_says_nothing_doesnt_keep_the_server_from_ending(tmp_path: Path) -> None:
    async with asyncio.timeout(10):
        async with controlled(tmp_path) as server:
            await server.list_calls()
            mute = await asyncio.open_unix_connection(str(server.socket))

        assert await mute[0].read() == b""
        mute[1].close()
        await mute[1].wait_closed()


async def test_a_control_socket_that_fails_is_a_warning_and_the_calls_go_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr(control_server, "serve_control", fail)
    async with controlled(tmp_path, record=True) as server:
        peer = await server.place_call("CS-A")
        _, writer = await asyncio.open_unix_connection(str(server.socket))
        warning = await server.run.events.wait_for_warning("no-control")
        exists = server.socket.exists()
        writer.close()
        await peer.send(close())
        saved = await server.run.events.wait_for("recording-saved")

    assert "other commands can't find this server" in warning["detail"]
    assert "a bug of ours" in caplog.text
    assert not exists
    assert read_sidecar(saved)["close"]["by"] == "jambonz"


async def test_a_tool_whose_connection_cant_be_closed_costs_no_call_anything(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("a bug of ours")

    async with controlled(tmp_path) as server:
        peer = await server.place_call("CS-A")
        async with server.attach():
            monkeypatch.setattr(ToolWebSocket, "close", fail)
            await peer.send(close())
            await server.run.events.wait_for("call-ended")
            await until(lambda: "a bug of ours" in caplog.text)
            monkeypatch.undo()
        assert await server.list_calls() == []
