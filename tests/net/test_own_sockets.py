import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from listenctl.errors import RefusedError
from listenctl.live_client.control_client import attach_to_call, follow_events
from listenctl.live_client.list_calls import list_calls
from listenctl.net.own_sockets import connect_privately
from listenctl.simulator.find_simulated_calls import find_simulated_calls
from tests.helpers.control import fake_control


async def attach(path: Path) -> None:
    async with attach_to_call(path, "@latest"):
        pass


async def follow(path: Path) -> None:
    async with follow_events(path):
        pass


async def list_live(path: Path) -> None:
    await asyncio.to_thread(list_calls, path)


@pytest.mark.parametrize("client", [attach, follow, list_live])
async def test_a_socket_of_another_user_is_not_trusted_and_told_nothing(
    client: Callable[[Path], Awaitable[None]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = os.geteuid()
    async with fake_control(tmp_path) as control:
        monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
        with pytest.raises(RefusedError, match=f"is not trusted: a process of user {owner} listens there"):
            await client(control.path)

    assert control.targets == []


async def test_a_simulated_call_of_another_user_is_not_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = os.geteuid()
    async with fake_control(tmp_path) as control:
        monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
        assert await asyncio.to_thread(find_simulated_calls, control.path.parent) == []
        with pytest.raises(PermissionError):
            await connect_privately(control.path)

    assert control.targets == []
