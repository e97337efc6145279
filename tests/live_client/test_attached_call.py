"""How a tool's connection to a call ends."""

import asyncio
from pathlib import Path

import pytest

from listenctl.errors import ListenctlError, NotFoundError
from listenctl.live_client.attached_call import DroppedByServerError
from listenctl.live_client.control_client import attach_to_call
from listenctl.live_client.send_command import send_command
from tests.helpers.control import fake_control

KILL = '{"type":"killAudio"}'


async def test_a_call_that_ends_meanwhile_has_not_got_the_command(tmp_path: Path) -> None:
    async with (
        fake_control(tmp_path, end_at="killAudio") as control,
        attach_to_call(control.path, "7f1c") as attachment,
    ):
        with pytest.raises(NotFoundError, match="the call has ended"):
            await send_command(attachment, KILL)

        assert attachment.ended
        with pytest.raises(NotFoundError, match="the call has ended"):
            await attachment.send(KILL)


async def test_a_tool_that_the_server_let_go_is_told_why(tmp_path: Path) -> None:
    close = (1008, "too slow")
    async with (
        fake_control(tmp_path, end_at="killAudio", close=close) as control,
        attach_to_call(control.path, "7f1c") as attachment,
    ):
        with pytest.raises(DroppedByServerError, match="the server closed the connection: too slow") as error:
            await send_command(attachment, KILL)

    assert error.value.exit_status == 1


async def test_a_server_that_dies_has_not_ended_the_call_as_it_was_told(tmp_path: Path) -> None:
    async with fake_control(tmp_path, silent=True) as control, attach_to_call(control.path, "7f1c") as attachment:
        waiting = asyncio.create_task(send_command(attachment, '{"type":"disconnect"}', ends_call=True))
        await control.heard.wait()
        control.abort()

        with pytest.raises(ListenctlError, match="the connection to the server broke"):
            await waiting
