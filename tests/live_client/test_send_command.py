from pathlib import Path

import pytest

from listenctl.live_client.control_client import attach_to_call
from listenctl.live_client.send_command import send_command
from tests.helpers.control import fake_control

pytestmark = pytest.mark.simulated_time

KILL = '{"type":"killAudio"}'


async def test_a_command_is_delivered_when_the_server_confirms_it_and_not_at_other_texts(tmp_path: Path) -> None:
    digit = '{"event":"dtmf","dtmf":"2","duration":"1600"}'
    others = [digit, "listenctl:", '"listenctl:synced"']
    async with (
        fake_control(tmp_path, jambonz=lambda _: others) as control,
        attach_to_call(control.path, "7f1c") as attachment,
    ):
        await send_command(attachment, KILL)

        # Not only sent, but passed on: the server has it by now.
        assert control.sent == [KILL]


async def test_a_call_that_is_told_to_end_may_end_at_once(tmp_path: Path) -> None:
    async with (
        fake_control(tmp_path, end_at="disconnect") as control,
        attach_to_call(control.path, "7f1c") as attachment,
    ):
        await send_command(attachment, '{"type":"disconnect"}', ends_call=True)

    assert control.sent == ['{"type":"disconnect"}']
