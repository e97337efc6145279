"""The commands that reach a running server by its control socket, as users run them."""

import asyncio
import json
import socket
import subprocess
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.cli import COMMAND, environment, listenctl
from tests.helpers.control import SERVER, fake_control, live_call, mark_answer
from tests.helpers.server import LIMIT

CALL_SID = "7f1c9a52-aaaa"
ENDED = "listenctl: the server has ended\n"
STARTED = {"v": 1, "ts": "2026-11-20T22:33:44.567Z", "call": CALL_SID, "call_sid": CALL_SID}
DTMF = {**STARTED, "event": "dtmf", "digit": "2", "time": 1.5}
WARNING = {**STARTED, "event": "warning", "rule": "r", "detail": "odd\x1b[31m", "call": "other", "call_sid": None}
LEVELS = {**STARTED, "event": "levels"}


async def run(folder: Path, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    env = {"XDG_RUNTIME_DIR": str(folder)}
    return await asyncio.to_thread(lambda: listenctl(*arguments, home=folder, given=given, env=env))


# Commands to a call.


@pytest.mark.parametrize(
    ("command", "sent"),
    [("kill-audio", "killAudio"), ("clear-marks", "clearMarks"), ("disconnect", "disconnect")],
)
async def test_a_command_goes_to_the_call_and_says_so(command: str, sent: str, tmp_path: Path) -> None:
    async with fake_control(tmp_path) as control:
        done = await run(tmp_path, command, "@latest")

    assert control.sent == [f'{{"type":"{sent}"}}']
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{CALL_SID}: {sent} sent\n", "")


async def test_what_was_sent_is_one_json_object_if_asked_for(tmp_path: Path) -> None:
    async with fake_control(tmp_path):
        done = await run(tmp_path, "kill-audio", "--json", CALL_SID)

    assert json.loads(done.stdout) == {"v": 1, "call_sid": CALL_SID, "sent": {"type": "killAudio"}}


@pytest.mark.parametrize("command", ["kill-audio", "clear-marks", "send-json", "mark"])
async def test_a_call_that_ended_meanwhile_is_status_4(command: str, tmp_path: Path) -> None:
    more = {"send-json": ['{"type":"mark"}'], "mark": ["intro"]}.get(command, [])
    kind = {"kill-audio": "killAudio", "clear-marks": "clearMarks"}.get(command, "mark")
    async with fake_control(tmp_path, end_at=kind):
        done = await run(tmp_path, command, "7f1c", *more)

    assert (done.returncode, done.stdout, done.stderr) == (4, "", "listenctl: the call has ended\n")


@pytest.mark.parametrize("command", [["disconnect", "7f1c"], ["send-json", "7f1c", '{"type":"disconnect"}']])
async def test_a_call_that_ends_because_it_was_told_to_is_a_success(command: list[str], tmp_path: Path) -> None:
    async with fake_control(tmp_path, end_at="disconnect"):
        done = await run(tmp_path, *command)

    assert (done.returncode, done.stdout) == (0, f"{CALL_SID}: disconnect sent\n")


@pytest.mark.parametrize(
    "command",
    [["calls"], ["events"], ["kill-audio", "a"], ["clear-marks", "a"], ["disconnect", "a"], ["mark", "a", "b"]],
    ids=" ".join,
)
async def test_without_a_server_every_command_is_status_4(command: list[str], tmp_path: Path) -> None:
    done = await run(tmp_path, *command, "--name", "night")

    said = (
        f"listenctl: no server named night is running (no socket at {tmp_path}/listenctl/night.sock); "
        "start one with `listenctl serve --name night`, or give --name\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (4, "", said)


@pytest.mark.parametrize(
    "command",
    [
        *(["calls"], ["events"], ["events", "--call", "@latest"], ["kill-audio", "a"], ["clear-marks", "a"]),
        *(["disconnect", "a"], ["send-json", "a", "{}"], ["mark", "a", "b"], ["mark", "a", "b", "--wait"]),
        *(["play-to-call", "a", "silence"], ["send-dtmf", "a", "1"]),
    ],
    ids=" ".join,
)
async def test_with_a_server_that_is_stuck_every_command_is_status_5(command: list[str], tmp_path: Path) -> None:
    path = tmp_path / "listenctl" / "default.sock"
    path.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as stuck:
        stuck.bind(str(path))
        stuck.listen()
        done = await run(tmp_path, *command, "--timeout", "0.3")

    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr.endswith(f"{path}: the server doesn't answer\n")


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        ((HTTPStatus.NOT_FOUND, "there is no live call 7f"), "there is no live call 7f"),
        ((HTTPStatus.CONFLICT, "7f can mean 2 live calls:\na\nb"), "7f can mean 2 live calls: a, b"),
    ],
    ids=["unknown", "ambiguous"],
)
async def test_a_call_that_cant_be_meant_is_status_4(
    refusal: tuple[HTTPStatus, str], said: str, tmp_path: Path
) -> None:
    async with fake_control(tmp_path, refusals={"7f": refusal}):
        done = await run(tmp_path, "kill-audio", "7f")

    assert (done.returncode, done.stderr) == (4, f"listenctl: {said}\n")


async def test_a_server_that_confirms_nothing_is_status_124(tmp_path: Path) -> None:
    async with fake_control(tmp_path, silent=True):
        done = await run(tmp_path, "kill-audio", "7f1c", "--timeout", "0.3")

    assert (done.returncode, done.stdout) == (124, "")
    assert done.stderr == "listenctl: the server didn't confirm it within 0.3 s\n"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["kill-audio", ""], "is not a call"),
        (["kill-audio", "a\nb"], "is not a call"),
        (["kill-audio", "a", "--name", "a/b"], "--name 'a/b'"),
        (["kill-audio", "a", "--timeout", "nan"], "--timeout must be a number of seconds"),
        (["mark", "a", 'say "hi"'], "broken JSON"),
        (["mark", "a", "a\\b"], "broken JSON"),
        (["mark", "a", ""], "needs a name"),
        (["send-json", "a", "{"], "the text isn't JSON"),
        (["send-json", "a", "-"], "the text isn't JSON"),
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
async def test_what_could_never_work_is_refused_before_anything_is_sent(
    arguments: list[str], problem: str, tmp_path: Path
) -> None:
    async with fake_control(tmp_path) as control:
        done = await run(tmp_path, *arguments)

    assert done.returncode == 2
    assert problem in done.stderr
    assert done.stderr.count("\n") == 1
    assert control.targets == []


# send-json.


@pytest.mark.parametrize("by_pipe", [False, True], ids=["argument", "stdin"])
async def test_json_goes_to_the_call_byte_for_byte(by_pipe: bool, tmp_path: Path) -> None:
    text = '{"type" : "stop\\u00fc",  "n":1e2}'
    async with fake_control(tmp_path) as control:
        arguments = ["-"] if by_pipe else [text]
        done = await run(tmp_path, "send-json", "7f1c", *arguments, given=f"{text}\n" if by_pipe else "")

    assert control.sent == [text]
    assert (done.returncode, done.stdout) == (0, f"{CALL_SID}: stopü sent\n")


async def test_bytes_of_a_pipe_that_arent_utf_8_are_refused(tmp_path: Path) -> None:
    async with fake_control(tmp_path) as control:
        env = environment(tmp_path)
        command = [*COMMAND, "send-json", "7f1c", "-"]
        done = await asyncio.to_thread(
            lambda: subprocess.run(command, env=env, input=b'"\xff"', capture_output=True, timeout=LIMIT, check=False)
        )

    assert (done.returncode, done.stderr) == (2, b"listenctl: the text isn't UTF-8, as JSON must be\n")
    assert control.targets == []


async def test_a_number_that_python_cant_hold_stays_json(tmp_path: Path) -> None:
    async with fake_control(tmp_path) as control:
        text = f"[1e999,{5000 * '9'}]"
        done = await run(tmp_path, "send-json", "7f1c", text, "--json")

    assert control.sent == [text]
    assert json.loads(done.stdout)["sent"] == ["1e999", 5000 * "9"]


async def test_json_without_a_type_is_sent_too(tmp_path: Path) -> None:
    async with fake_control(tmp_path) as control:
        done = await run(tmp_path, "send-json", "7f1c", "[1]")

    assert (control.sent, done.stdout) == (["[1]"], f"{CALL_SID}: JSON sent\n")


# mark.


@pytest.mark.parametrize(("event", "status"), [("playout", 0), ("cleared", 1)])
async def test_the_answer_to_a_mark_is_told_by_words_and_status(event: str, status: int, tmp_path: Path) -> None:
    async with fake_control(tmp_path, jambonz=mark_answer(event)):
        human = await run(tmp_path, "mark", "7f1c", "intro", "--wait")
        machine = await run(tmp_path, "mark", "7f1c", "intro", "--wait", "--json")

    told = json.loads(machine.stdout)
    assert (human.returncode, machine.returncode) == (status, status)
    assert human.stdout.startswith(f"{CALL_SID}: mark intro: {event} after 0.")
    assert {key: told[key] for key in ("call_sid", "name", "result")} == {
        "call_sid": CALL_SID,
        "name": "intro",
        "result": event,
    }
    assert told["seconds"] < 10


async def test_a_mark_that_is_not_answered_in_time_is_status_124(tmp_path: Path) -> None:
    async with fake_control(tmp_path) as control:
        done = await run(tmp_path, "mark", "7f1c", "intro", "--wait", "--timeout", "0.3")

    assert len(control.sent) == 1
    assert (done.returncode, done.stdout) == (124, "")
    assert done.stderr.startswith("listenctl: intro: no answer within 0.3 s;")


async def test_in_a_pipe_a_mark_is_set_and_not_waited_for(tmp_path: Path) -> None:
    async with fake_control(tmp_path) as control:
        done = await run(tmp_path, "mark", "7f1c", "intro")

    assert json.loads(control.sent[0])["type"] == "mark"
    assert (done.returncode, done.stdout) == (0, f"{CALL_SID}: mark sent\n")


# calls.


async def test_calls_are_a_table(tmp_path: Path) -> None:
    calls = [live_call(digits="12#", gap_seconds=2.5, attached=2), live_call("b", recording="/r/b.wav", channels=2)]
    async with fake_control(tmp_path, calls=calls):
        done = await run(tmp_path, "calls")

    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "CALL           FROM         TO           TIME  AUDIO    KEYS  MISSING  TOOLS  RECORDING",
        "7f1c9a52-aaaa  15083084809  15084901000  1:23  8k mono  12#   2.5 s    2      -",
        "b              15083084809  15084901000  1:23  8k mono  -     -        -      /r/b.wav",
    ]


async def test_calls_are_one_json_object_if_asked_for(tmp_path: Path) -> None:
    async with fake_control(tmp_path, calls=[live_call()]):
        done = await run(tmp_path, "calls", "--json")

    assert json.loads(done.stdout) == {"v": 1, "server": SERVER, "calls": [live_call()]}


# events.


async def follow_events(folder: Path, *arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    async with fake_control(folder, events=[DTMF, WARNING, LEVELS], calls=[live_call()], **more):
        return await run(folder, "events", *arguments)


async def test_events_are_json_lines_as_the_server_has_them(tmp_path: Path) -> None:
    done = await follow_events(tmp_path, "--json")

    assert [json.loads(line) for line in done.stdout.splitlines()] == [DTMF, WARNING, LEVELS]
    assert (done.returncode, done.stderr) == (0, ENDED)


async def test_events_are_lines_for_people_that_no_terminal_obeys(tmp_path: Path) -> None:
    done = await follow_events(tmp_path)

    dtmf, warning = done.stdout.splitlines()
    assert dtmf.endswith(" dtmf 7f1c9a52-aaaa 2 at 0:01.5")
    assert " warning other odd" in warning
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "kinds"),
    [
        (["--event", "dtmf"], ["dtmf"]),
        (["--event", "dtmf", "--event", "levels"], ["dtmf", "levels"]),
        (["--call", "7f1c"], ["dtmf", "levels"]),
        (["--call", "@latest"], ["dtmf", "levels"]),
        (["--call", "other"], ["warning"]),
        (["--call", "other", "--event", "dtmf"], []),
    ],
    ids=" ".join,
)
async def test_only_the_events_asked_for_are_shown(arguments: list[str], kinds: list[str], tmp_path: Path) -> None:
    done = await follow_events(tmp_path, "--json", *arguments)

    assert [json.loads(line)["event"] for line in done.stdout.splitlines()] == kinds


async def test_when_no_event_comes_in_time_that_is_status_124(tmp_path: Path) -> None:
    done = await follow_events(tmp_path, "--json", "--timeout", "0.3", "--event", "gap", hold_events=True)

    assert (done.returncode, done.stdout, done.stderr) == (124, "", "listenctl: no event came within 0.3 s\n")


async def test_the_latest_of_no_calls_is_status_4(tmp_path: Path) -> None:
    async with fake_control(tmp_path):
        done = await run(tmp_path, "events", "--call", "@latest")

    assert (done.returncode, done.stderr) == (4, "listenctl: there is no live call\n")


async def test_what_the_encoding_lacks_is_escaped(tmp_path: Path) -> None:
    env = {"XDG_RUNTIME_DIR": str(tmp_path), "PYTHONIOENCODING": "ascii"}
    async with fake_control(tmp_path, calls=[live_call(to="Zo\u2020")]):
        done = await asyncio.to_thread(lambda: listenctl("calls", "--json", home=tmp_path, env=env))

    assert json.loads(done.stdout)["calls"] == [live_call(to="Zo\u2020")]
