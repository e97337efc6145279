import socket
from http import HTTPStatus
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, unix_serve

from listenctl.errors import ListenctlError, NotFoundError, RefusedError
from listenctl.live_client.control_client import attach_to_call, follow_events
from tests.helpers.control import METADATA, fake_control


async def test_a_call_of_any_name_is_attached_to_with_its_metadata_and_audio(tmp_path: Path) -> None:
    async with fake_control(tmp_path) as control:
        async with attach_to_call(control.path, "a/b?audio=1 ü"):
            pass
        async with attach_to_call(control.path, "@latest", audio=True) as attachment:
            assert attachment.metadata.raw == METADATA.encode()
            assert await attachment.receive() == b"\1\0\2\0"

    assert control.targets == ["/calls/a%2Fb%3Faudio%3D1%20%C3%BC", "/calls/%40latest?audio=1"]


@pytest.mark.parametrize(
    ("refusal", "error", "message"),
    [
        ((HTTPStatus.NOT_FOUND, "there is no live call 7f"), NotFoundError, r"^there is no live call 7f$"),
        (
            (HTTPStatus.CONFLICT, "7f matches 2 live calls:\n7f1c\n7f2d\n"),
            NotFoundError,
            r"^7f matches 2 live calls: 7f1c, 7f2d$",
        ),
        ((HTTPStatus.SERVICE_UNAVAILABLE, ""), RefusedError, "the server answers 503"),
    ],
    ids=["unknown", "ambiguous", "another reason"],
)
async def test_a_refusal_is_reported_in_one_line_in_the_words_of_the_server(
    refusal: tuple[HTTPStatus, str], error: type[ListenctlError], message: str, tmp_path: Path
) -> None:
    async with fake_control(tmp_path, refusals={"7f": refusal}) as control:
        with pytest.raises(error, match=message):
            async with attach_to_call(control.path, "7f"):
                pass


@pytest.mark.parametrize("left_over", [False, True])
async def test_without_a_server_there_is_nothing_to_connect_to(left_over: bool, tmp_path: Path) -> None:
    path = tmp_path / "default.sock"
    if left_over:
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(path))

    for connecting in (attach_to_call(path, "7f"), follow_events(path)):
        with pytest.raises(NotFoundError, match="no server named default is running"):
            async with connecting:
                pass


@pytest.mark.parametrize("text", ["{not JSON", '{"v": 1}'])
async def test_what_is_no_event_is_refused(text: str, tmp_path: Path) -> None:
    async def send_text(connection: ServerConnection) -> None:
        await connection.send(text)

    path = tmp_path / "default.sock"
    async with unix_serve(send_text, path), follow_events(path) as reports:
        with pytest.raises(RefusedError, match="sends something other than events"):
            await anext(reports)


async def test_events_are_followed_until_the_server_ends(tmp_path: Path) -> None:
    events = [{"v": 1, "ts": "t", "event": "dtmf", "call": "7f", "digit": digit} for digit in "12#"]
    async with fake_control(tmp_path, events=events) as control, follow_events(control.path) as reports:
        assert [report async for report in reports] == events


async def test_a_server_that_dies_while_it_is_followed_is_told_from_one_that_ends(tmp_path: Path) -> None:
    async with fake_control(tmp_path, hold_events=True) as control, follow_events(control.path) as reports:
        control.abort()

        with pytest.raises(ListenctlError, match="the connection to the server broke"):
            await anext(reports)
