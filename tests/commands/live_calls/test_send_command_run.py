"""Commands for a live call."""

import json
import socket
import subprocess
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from listenctl.commands.live_calls.send_command_run import Recipient, run_command
from listenctl.errors import TimedOutError
from listenctl.protocol.application_commands import KillAudio
from tests.helpers.cli import listenctl_beside, refusal, service
from tests.helpers.control import fake_control

CALL_SID = "7f1c9a52-aaaa"


async def run(folder: Path, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return await listenctl_beside(*arguments, home=folder, given=given)


@pytest.mark.parametrize(
    ("arguments", "sent", "kind"),
    [
        (["kill-audio", "@latest"], {"type": "killAudio"}, "killAudio"),
        (["clear-marks", "@latest"], {"type": "clearMarks"}, "clearMarks"),
        (["disconnect", "@latest"], {"type": "disconnect"}, "disconnect"),
        (["mark", "7f1c", "intro"], {"type": "mark", "data": {"name": "lc-m1-intro"}}, "mark"),
        (["send-json", "7f1c", "[1]"], [1], "JSON"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) and len(value) > 1 else "",
)
async def test_command_is_sent_and_printed(arguments: list[str], sent: object, kind: str, tmp_path: Path) -> None:
    async with fake_control(tmp_path) as control:
        done = await run(tmp_path, *arguments)

    assert [json.loads(text) for text in control.sent] == [sent]
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{CALL_SID}: {kind} sent\n", "")


async def test_json_result(tmp_path: Path) -> None:
    async with fake_control(tmp_path):
        done = await run(tmp_path, "kill-audio", "--json", CALL_SID)

    assert json.loads(done.stdout) == {"v": 1, "call_sid": CALL_SID, "sent": {"type": "killAudio"}}


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        (["kill-audio", "7f1c"], "killAudio"),
        (["send-json", "7f1c", '{"type":"x"}'], "x"),
        (["mark", "7f1c", "m"], "mark"),
    ],
)
async def test_call_that_ends_before_the_confirmation_is_status_4(
    command: list[str], kind: str, tmp_path: Path
) -> None:
    async with fake_control(tmp_path, end_at=kind):
        done = await run(tmp_path, *command)

    assert (done.returncode, done.stdout, done.stderr) == (4, "", "listenctl: the call has ended\n")


@pytest.mark.parametrize("command", [["disconnect", "7f1c"], ["send-json", "7f1c", '{"type":"disconnect"}']])
async def test_disconnect_succeeds_when_the_call_ends(command: list[str], tmp_path: Path) -> None:
    async with fake_control(tmp_path, end_at="disconnect"):
        done = await run(tmp_path, *command)

    assert (done.returncode, done.stdout) == (0, f"{CALL_SID}: disconnect sent\n")


@pytest.mark.parametrize(
    "command",
    [
        ["calls"],
        ["events"],
        ["monitor"],
        ["kill-audio", "a"],
        ["clear-marks", "a"],
        ["disconnect", "a"],
        ["mark", "a", "b"],
    ],
    ids=" ".join,
)
async def test_no_server_is_status_4(command: list[str], tmp_path: Path) -> None:
    done = await run(tmp_path, *command, "--name", "night")

    printed = (
        f"listenctl: no server named night is running (no socket at {tmp_path}/listenctl/night.sock); "
        "start one with `listenctl serve --name night`\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (4, "", printed)


@pytest.mark.parametrize(
    "command",
    [
        *(["calls"], ["events"], ["events", "--call", "@latest"], ["kill-audio", "a"], ["clear-marks", "a"]),
        *(["disconnect", "a"], ["send-json", "a", "{}"], ["mark", "a", "b"], ["mark", "a", "b", "--wait"]),
        *(["play-to-call", "a", "silence"], ["send-dtmf", "a", "1"]),
    ],
    ids=" ".join,
)
async def test_server_that_hangs_is_status_5(command: list[str], tmp_path: Path) -> None:
    path = tmp_path / "listenctl" / "default.sock"
    path.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as stuck:
        stuck.bind(str(path))
        stuck.listen()
        done = await run(tmp_path, *command, "--timeout", "0.3")

    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr.endswith(f"{path}: the server doesn't answer\n")


@pytest.mark.simulated_time
async def test_missing_confirmation_times_out(tmp_path: Path) -> None:
    async with fake_control(tmp_path, silent=True) as control:
        with pytest.raises(TimedOutError, match=r"the server didn't confirm it within 0.3 s"):
            await run_command(Recipient(socket=control.path, call="7f1c", timeout=0.3), KillAudio().serialize())


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["kill-audio", ""], "is not a call"),
        (["kill-audio", "a\nb"], "is not a call"),
        (["kill-audio", "a", "--name", "a/b"], "--name 'a/b'"),
        (["kill-audio", "a", "--timeout", "nan"], "--timeout must be a number of seconds"),
        (["mark", "a", 'say "hi"'], "invalid JSON"),
        (["mark", "a", "a\\b"], "invalid JSON"),
        (["mark", "a", ""], "needs a name"),
        (["send-json", "a", "{"], "the text isn't JSON"),
        (["send-json", "a", '{"type":"playAudio","data":{"audioContent":"AAAA"}}'], "crashes the media server"),
        (["send-json", "a", '{"data":{}, "type":"playAudio"}'], "crashes the media server"),
        (["send-json", "a", '{"type":"playAudio"}'], "crashes the media server"),
        (["send-json", "a", '{"TYPE":"playAudio","data":[]}'], "crashes the media server"),
        (["send-json", "a", "NaN"], "the text isn't JSON, so jambonz would ignore it: NaN isn't valid"),
        (
            ["send-json", "a", '{"a":-Infinity}'],
            "the text isn't JSON, so jambonz would ignore it: -Infinity isn't valid",
        ),
        (["send-json", "a", "[" * 20_000], "is nested too deeply"),
        (["send-json", "a", '"\udcff"'], "isn't UTF-8"),
        (["send-json", "a", '{"type":"listenctl:sync"}'], "listenctl:sync is for the server and never reaches jambonz"),
        (
            ["send-json", "a", '{"Type":"listenctl:acquire"}'],
            "listenctl:acquire is for the server and never reaches jambonz",
        ),
        (["mark", "a", "\udcff"], "must be UTF-8"),
        (["calls", "--watch"], "--watch needs a terminal"),
        (["calls", "--watch", "--json"], "--watch draws a table"),
        (["events", "--event", "nothing"], "unknown event"),
        (["events", "--event", "levels"], "add --json"),
        (["events", "--call", ""], "is not a call"),
        (["events", "--timeout", "nan"], "--timeout must be a number of seconds"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_unusable_arguments_are_refused(arguments: list[str], problem: str, tmp_path: Path) -> None:
    assert problem in refusal(*arguments, home=tmp_path)


@pytest.mark.parametrize("by_pipe", [False, True], ids=["argument", "stdin"])
async def test_json_text_is_sent_unchanged(by_pipe: bool, tmp_path: Path) -> None:
    text = '{"type" : "stop\\u00fc",  "n":1e2}'
    async with fake_control(tmp_path) as control:
        arguments = ["-"] if by_pipe else [text]
        done = await run(tmp_path, "send-json", "7f1c", *arguments, given=f"{text}\n" if by_pipe else "")

    assert control.sent == [text]
    assert (done.returncode, done.stdout) == (0, f"{CALL_SID}: stopü sent\n")


async def test_stdin_that_isnt_utf_8_is_refused(tmp_path: Path) -> None:
    async with (
        fake_control(tmp_path) as control,
        service("send-json", "7f1c", "-", home=tmp_path, stdin=PIPE) as command,
    ):
        done = await command.result(b'"\xff"')

    assert done == (2, "", "listenctl: the text isn't UTF-8, as JSON must be\n")
    assert control.targets == []


async def test_number_outside_the_range_of_python_is_printed_as_text(tmp_path: Path) -> None:
    async with fake_control(tmp_path) as control:
        text = f"[1e999,{5000 * '9'}]"
        done = await run(tmp_path, "send-json", "7f1c", text, "--json")

    assert control.sent == [text]
    assert json.loads(done.stdout)["sent"] == ["1e999", 5000 * "9"]
