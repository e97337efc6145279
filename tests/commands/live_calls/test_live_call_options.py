"""Which server a command is for."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from listenctl.commands.live_calls.live_call_options import ServerNameOptions, socket_of
from listenctl.errors import UsageError
from listenctl.live_client.list_calls import unreachable_error
from listenctl.net.runtime_folder import listen_privately, prepare_folder, socket_path


@pytest.fixture
def servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator["Servers"]:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with ExitStack() as stack:
        yield Servers(stack)


class Servers:
    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def start(self, *names: str) -> None:
        for name in names:
            path = socket_path(name, os.environ, os.getuid())
            prepare_folder(path)
            self._stack.enter_context(listen_privately(path, backlog=5))


@pytest.mark.parametrize(
    ("running", "meant"), [((), "default"), (("default",), "default"), (("night",), "night")], ids=str
)
def test_without_a_name_the_only_server_is_meant(running: tuple[str, ...], meant: str, servers: Servers) -> None:
    servers.start(*running)

    assert socket_of(ServerNameOptions()).stem == meant


@pytest.mark.parametrize("running", [("a", "b"), ("default", "b")], ids=str)
def test_several_servers_are_listed(running: tuple[str, ...], servers: Servers) -> None:
    servers.start(*running)

    with pytest.raises(UsageError) as refused:
        socket_of(ServerNameOptions())

    names = ", ".join(sorted(running))
    assert str(refused.value) == f"several servers are running: {names}; choose one with --name"
    assert socket_of(ServerNameOptions(name="b")).stem == "b"
    assert socket_of(ServerNameOptions(), is_needed=False).stem == "default"


def test_the_names_of_others_are_given_where_a_server_is_not_running(servers: Servers) -> None:
    servers.start("a", "b")

    wrong = unreachable_error(socket_of(ServerNameOptions(name="c")), FileNotFoundError())

    assert str(wrong) == "no server named c is running, but a, b; choose one with --name"
