"""Connections that one process accepts and another one serves."""

import asyncio
import resource
import socket

import pytest

from listenctl.server.workers.handed_tools import HandedTools, hand_over


def pair() -> tuple[socket.socket, HandedTools]:
    tools, far_end = socket.socketpair()
    handed = HandedTools(fileno=far_end.detach())
    handed.setblocking(False)
    return tools, handed


def test_each_connection_arrives_with_the_call_that_its_tool_wants() -> None:
    tools, handed = pair()
    with tools, handed:
        for call in ("a", "", "b" * 200, "\udce9"):
            near, far = socket.socketpair()
            assert hand_over(tools, far, call)
            far.close()
            near.sendall(call[:1].encode(errors="replace"))
            near.close()
        arrived = [handed.accept() for _ in range(4)]
        with pytest.raises(BlockingIOError):
            handed.accept()

    assert [call for _, call in arrived] == ["a", "", "b" * 200, "\udce9"]
    for connection, call in arrived:
        assert not connection.get_inheritable()
        assert connection.recv(10) == call[:1].encode(errors="replace")
        connection.close()


async def test_tools_arrive_again_after_the_process_could_open_no_more_files() -> None:
    tools, handed = pair()
    loop = asyncio.get_running_loop()
    near, far = socket.socketpair()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with tools, handed, near, far:
        loop.add_reader(handed, lambda: None)
        hand_over(tools, far, "a")
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
        try:
            with pytest.raises(BlockingIOError):
                handed.accept()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        hand_over(tools, far, "b")
        connection, call = handed.accept()
        connection.close()

        assert call == "b"
        assert loop.remove_reader(handed)


def test_what_has_no_room_or_no_taker_is_not_handed_over() -> None:
    tools, handed = pair()
    tools.setblocking(False)
    near, far = socket.socketpair()
    with tools, near, far:
        while hand_over(tools, far, "a"):
            pass
        handed.close()
        assert not hand_over(tools, far, "a")


async def test_without_the_parent_no_tool_is_waited_for() -> None:
    tools, handed = pair()
    loop = asyncio.get_running_loop()
    with handed:
        loop.add_reader(handed, lambda: None)
        tools.close()
        with pytest.raises(BlockingIOError):
            handed.accept()

        assert not loop.remove_reader(handed)
