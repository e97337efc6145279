"""A service manager: what it passes on, and what it is told."""

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from listenctl.errors import UsageError
from listenctl.server.operations.service_manager import ServiceManager

OWN = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDNAMES": "calls"}


class Listened:
    """What a manager was told, one message after the other."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self._socket.setblocking(False)

    def messages(self) -> Iterator[list[str]]:
        while True:
            try:
                yield self._socket.recv(1000).decode().split("\n")
            except BlockingIOError:
                return

    def close(self) -> None:
        self._socket.close()


@pytest.mark.parametrize("abstract", [False, True])
async def test_the_manager_is_told_what_happens(abstract: bool, tmp_path: Path) -> None:
    address = f"@listenctl-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    environ = {"NOTIFY_SOCKET": address, "HOME": "/"}
    with closing(Listened(address)) as listened:
        manager = ServiceManager(environ)
        manager.report_ready()
        manager.report_reloading()
        manager.report_stopping("waiting")
        manager.satisfy_watchdog(asyncio.get_running_loop())
        ready, (reloading, since), stopping = listened.messages()

    assert (ready, reloading) == (["READY=1"], "RELOADING=1")
    assert since.removeprefix("MONOTONIC_USEC=").isdecimal()
    assert stopping == ["STOPPING=1", "STATUS=waiting"]
    assert environ == {"HOME": "/"}


@pytest.mark.simulated_time
async def test_the_watchdog_is_satisfied_twice_in_each_interval(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    environ = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "10000000", "WATCHDOG_PID": str(os.getpid())}
    with closing(Listened(address)) as listened:
        ServiceManager(environ).satisfy_watchdog(asyncio.get_running_loop())
        await asyncio.sleep(14.0)
        beats = list(listened.messages())

    assert beats == [["WATCHDOG=1"]] * 3


@pytest.mark.parametrize(
    "environ", [{}, {"NOTIFY_SOCKET": "/nowhere/notify"}, {"WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"}]
)
async def test_without_a_manager_nothing_happens(environ: dict[str, str]) -> None:
    manager = ServiceManager(environ)
    manager.report_ready()
    manager.satisfy_watchdog(asyncio.get_running_loop())

    assert manager.sockets == []


def test_listening_sockets_are_passed_on() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        fd = os.dup(listening.fileno())
        [passed] = ServiceManager(OWN | {"LISTEN_FDS": "1"}, first=fd).sockets
        with passed:
            assert passed.getsockname() == listening.getsockname()
            assert (passed.getblocking(), passed.get_inheritable()) == (False, False)


def test_sockets_of_another_process_are_left_alone() -> None:
    assert ServiceManager({"LISTEN_PID": "1", "LISTEN_FDS": "1"}, first=0).sockets == []


@pytest.mark.parametrize("kind", ["datagram", "not listening", "no socket"])
def test_what_is_no_listening_socket_is_refused(kind: str, tmp_path: Path) -> None:
    types = {"datagram": socket.SOCK_DGRAM, "not listening": socket.SOCK_STREAM}
    opened = socket.socket(socket.AF_INET, types[kind]).detach() if kind in types else os.open(tmp_path, os.O_RDONLY)

    with pytest.raises(UsageError, match=f"LISTEN_FDS: descriptor {opened} is no "):
        ServiceManager(OWN | {"LISTEN_FDS": "1"}, first=opened)
    if kind == "no socket":
        os.close(opened)
