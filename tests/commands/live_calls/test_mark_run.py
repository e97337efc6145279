"""Marks in a live call."""

import json
from pathlib import Path

import pytest

from listenctl.commands.live_calls.mark_run import run_mark
from listenctl.commands.live_calls.send_command_run import Recipient
from listenctl.errors import TimedOutError
from tests.helpers.cli import listenctl_beside
from tests.helpers.control import fake_control, mark_answer
from tests.helpers.terminals import on_terminal

CALL_SID = "7f1c9a52-aaaa"


@pytest.mark.parametrize(("event", "status"), [("playout", 0), ("cleared", 1)])
async def test_answer_to_a_mark_decides_the_status(event: str, status: int, tmp_path: Path) -> None:
    async with fake_control(tmp_path, jambonz=mark_answer(event)):
        human = await listenctl_beside("mark", "7f1c", "intro", "--wait", home=tmp_path)
        machine = await listenctl_beside("mark", "7f1c", "intro", "--wait", "--json", home=tmp_path)

    result = json.loads(machine.stdout)
    assert (human.returncode, machine.returncode) == (status, status)
    assert human.stdout.startswith(f"{CALL_SID}: mark intro: {event} after 0.")
    assert (result["call_sid"], result["name"], result["result"]) == (CALL_SID, "intro", event)
    assert result["seconds"] >= 0


@pytest.mark.simulated_time
async def test_unanswered_mark_times_out(tmp_path: Path) -> None:
    async with fake_control(tmp_path) as control:
        with pytest.raises(TimedOutError, match=r"intro: no answer within 0.3 s;"):
            await run_mark(Recipient(socket=control.path, call="7f1c", timeout=0.3), "intro")

    assert len(control.sent) == 1


async def test_mark_waits_by_default_on_a_terminal(tmp_path: Path) -> None:
    async with (
        fake_control(tmp_path, jambonz=mark_answer("playout")),
        on_terminal("mark", "7f1c", "intro", home=tmp_path) as terminal,
    ):
        drawn = await terminal.to_end()

    assert terminal.process.returncode == 0
    assert drawn.startswith(f"{CALL_SID}: mark intro: playout after 0.")
