import asyncio
from pathlib import Path

import pytest

from listenctl.errors import ListenctlError, NotFoundError
from listenctl.live_client.attached_call import DroppedByServerError
from listenctl.live_client.control_client import attach_to_call
from listenctl.live_client.send_command import send_command
from tests.helpers.control import fake_control

KILL = '{"type":"killAudio"}'


@pytest.mark.parametrize(
    ("close", "error", "message"),
    [
        ((1000, "call ended"), NotFoundError, "the call has ended"),
        ((1008, "too slow"), DroppedByServerError, "the server closed the connection: too slow"),
    ],
)
async def test_a_command_fails_if_the_server_closes_the_connection_first(
    close: tuple[int, str], error: type[ListenctlError], message: str, tmp_path: Path
) -> None:
    async with (
        fake_control(tmp_path, end_at="killAudio", close=close) as control,
        attach_to_call(control.path, "7f1c") as attachment,
    ):
        for send in (send_command(attachment, KILL), attachment.send(KILL)):
            with pytest.raises(error, match=message):
                await send

    assert attachment.ended is (error is NotFoundError)


async def test_a_server_that_dies_has_not_ended_the_call_as_it_was_told(tmp_path: Path) -> None:
    async with fake_control(tmp_path, silent=True) as control, attach_to_call(control.path, "7f1c") as attachment:
        waiting = asyncio.create_task(send_command(attachment, '{"type":"disconnect"}', ends_call=True))
        await control.heard.wait()
        control.abort()

        with pytest.raises(ListenctlError, match="the connection to the server broke"):
            await waiting
