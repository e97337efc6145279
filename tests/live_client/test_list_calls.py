import asyncio
import socket
from pathlib import Path

import pytest

from listenctl.errors import NotFoundError, RefusedError
from listenctl.live_client.list_calls import list_calls
from tests.helpers.control import SERVER, fake_control, live_call


@pytest.mark.parametrize("count", [2, 4000])
async def test_live_calls_are_listed_as_the_server_lists_them(count: int, tmp_path: Path) -> None:
    calls = [live_call(f"{number:036}") for number in range(count)]
    async with fake_control(tmp_path, calls=calls) as control:
        listing = await asyncio.to_thread(list_calls, control.path)

    assert listing.serialize() == {"v": 1, "server": SERVER, "calls": calls}


@pytest.mark.parametrize("left_behind", [False, True])
def test_without_a_server_its_name_and_what_to_do_are_said(left_behind: bool, tmp_path: Path) -> None:
    if left_behind:
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(tmp_path / "night.sock"))

    with pytest.raises(NotFoundError, match=r"named night is running .*night.sock.*; .*serve --name night`"):
        list_calls(tmp_path / "night.sock")


def test_a_server_that_doesnt_answer_is_given_up(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stuck:
        stuck.bind(str(tmp_path / "default.sock"))
        stuck.listen()

        with pytest.raises(RefusedError, match="doesn't answer"):
            list_calls(tmp_path / "default.sock", patience=0.05)


@pytest.mark.parametrize(
    "body", [b"hello", b"[]", b"[" * 100_000, b'{"calls":1}', b'{"calls":[]}', b'{"server":{},"calls":[1]}']
)
async def test_another_program_on_the_socket_is_recognised(body: bytes, tmp_path: Path) -> None:
    async with fake_control(tmp_path, listing=body) as control:
        with pytest.raises(RefusedError, match="is not a control socket of listenctl"):
            await asyncio.to_thread(list_calls, control.path)
