"""Live calls and events, as a control socket has them."""

import asyncio
import socket
from http import HTTPStatus
from pathlib import Path

import pytest

from listenctl.errors import ListenctlError, NotFoundError, RefusedError
from listenctl.live_client.control_client import attach_to_call, follow_events
from listenctl.live_client.list_calls import list_calls
from tests.helpers.control import METADATA, SERVER, fake_control, live_call


async def test_live_calls_are_listed_as_the_server_says_them(tmp_path: Path) -> None:
    async with fake_control(tmp_path, calls=[live_call("a"), live_call("b")]) as control:
        listing = await asyncio.to_thread(list_calls, control.path)

    assert listing == {"v": 1, "server": SERVER, "calls": [live_call("a"), live_call("b")]}


async def test_a_listing_of_thousands_of_calls_arrives_whole(tmp_path: Path) -> None:
    calls = [live_call(f"{number:036}") for number in range(4000)]
    async with fake_control(tmp_path, calls=calls) as control:
        listing = await asyncio.to_thread(list_calls, control.path)

    assert listing["calls"] == calls


def test_without_a_server_its_name_and_what_to_do_are_said(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"named night is running .*night.sock.*; .*serve --name night`"):
        list_calls(tmp_path / "night.sock")


def test_a_socket_that_its_server_left_behind_is_no_server(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(tmp_path / "default.sock"))

    with pytest.raises(NotFoundError, match="no server named default"):
        list_calls(tmp_path / "default.sock")


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


async def test_the_metadata_come_first_then_the_audio_if_it_was_asked_for(tmp_path: Path) -> None:
    async with fake_control(tmp_path) as control, attach_to_call(control.path, "7f1c", audio=True) as attachment:
        assert attachment.metadata.raw == METADATA.encode()
        assert await attachment.receive() == b"\1\0\2\0"

    assert control.targets == ["/calls/7f1c?audio=1"]


async def test_a_name_is_quoted_whatever_is_in_it(tmp_path: Path) -> None:
    async with fake_control(tmp_path) as control:
        async with attach_to_call(control.path, "a/b?audio=1 ü"):
            pass
        async with attach_to_call(control.path, "@latest"):
            pass

    assert control.targets == ["/calls/a%2Fb%3Faudio%3D1%20%C3%BC", "/calls/%40latest"]


async def test_no_such_call_is_said_in_the_servers_words(tmp_path: Path) -> None:
    refusals = {"8": (HTTPStatus.NOT_FOUND, "there is no live call 8")}
    async with fake_control(tmp_path, refusals=refusals) as control:
        with pytest.raises(NotFoundError, match=r"^there is no live call 8$"):
            async with attach_to_call(control.path, "8"):
                pass


async def test_an_ambiguous_name_lists_the_candidates_in_one_line(tmp_path: Path) -> None:
    refusals = {"7f": (HTTPStatus.CONFLICT, "7f can mean 2 live calls:\n7f1c\n7f2d\n")}
    async with fake_control(tmp_path, refusals=refusals) as control:
        with pytest.raises(NotFoundError, match=r"^7f can mean 2 live calls: 7f1c, 7f2d$"):
            async with attach_to_call(control.path, "7f"):
                pass


async def test_another_refusal_is_none_of_those(tmp_path: Path) -> None:
    refusals = {"7f": (HTTPStatus.SERVICE_UNAVAILABLE, "")}
    async with fake_control(tmp_path, refusals=refusals) as control:
        with pytest.raises(RefusedError, match="the server answers 503"):
            async with attach_to_call(control.path, "7f"):
                pass


async def test_without_a_server_nothing_is_attached_to(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no server named default"):
        async with attach_to_call(tmp_path / "default.sock", "7f"):
            pass


async def test_events_are_followed_until_the_server_ends(tmp_path: Path) -> None:
    events = [{"v": 1, "ts": "t", "event": "dtmf", "call": "7f", "digit": digit} for digit in "12#"]
    async with fake_control(tmp_path, events=events) as control, follow_events(control.path) as reports:
        assert [report async for report in reports] == events


async def test_a_server_that_dies_while_it_is_followed_is_told_from_one_that_ends(tmp_path: Path) -> None:
    async with fake_control(tmp_path, hold_events=True) as control, follow_events(control.path) as reports:
        control.abort()

        with pytest.raises(ListenctlError, match="the connection to the server broke"):
            await anext(reports)


async def test_what_is_no_event_is_refused(tmp_path: Path) -> None:
    async with fake_control(tmp_path, events=[{"v": 1}]) as control, follow_events(control.path) as reports:
        with pytest.raises(RefusedError, match="something other than events"):
            await anext(reports)


async def test_without_a_server_there_is_nothing_to_follow(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no server named default"):
        async with follow_events(tmp_path / "default.sock"):
            pass
