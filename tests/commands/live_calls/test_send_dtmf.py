"""Options of ``send-dtmf``."""

from pathlib import Path

import pytest

from listenctl.commands.live_calls.send_dtmf import SendDtmfOptions, make_digits_plan
from listenctl.protocol.jambonz_model.first_text import CallKind
from listenctl.protocol.jambonz_model.profiles import CURRENT
from listenctl.simulator.plan import DtmfPress
from tests.helpers.cli import listenctl, listenctl_beside, refusal
from tests.helpers.server import faster, running

URL = "ws://127.0.0.1:1/"


def test_call_to_a_url_is_silent_and_ends_after_the_digits() -> None:
    plan = make_digits_plan(SendDtmfOptions(target=URL, digits="1#", tones=True))

    assert plan.dtmf_presses == (DtmfPress(0.3, "1", 0.2), DtmfPress(0.6, "#", 0.2))
    assert (plan.caller, plan.kind, plan.profile, plan.tones) == ("silence", CallKind.INBOUND, CURRENT, True)
    assert plan.verb.pass_dtmf
    assert plan.duration == pytest.approx(1.1)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([URL, "1", "--name", "default"], "--name is for a live call"),
        ([URL, "1", "--as", "tones"], "--as is for a live call"),
        ([URL, "1x"], "'x' is not a digit"),
        ([URL, "w"], "no digits"),
        ([URL, "1" * 1001], "too many"),
        ([URL, "1", "--digit-ms", "20"], "--digit-ms"),
        (["a", "1x"], "'x' is not a digit"),
        (["", "1"], "is not a call"),
        (["a", "1", "--timeout", "nan"], "--timeout must be a number"),
        (["a", "1", "--gap-ms", "39"], "tones need at least 40 ms between them"),
        (["a", "1", "--tones"], "--tones is for a call to a URL"),
        (["a", "1", "--events", "f"], "--events is for a call to a URL"),
        (["a", "1", "--ca", "f"], "--ca is for a call to a URL"),
        (["a", "1", "--insecure"], "--insecure is for a call to a URL"),
        (["a", "1", "--auth-file", "f"], "--auth-file is for a call to a URL"),
        (["a", "1", "--user-agent", "x"], "--user-agent is for a call to a URL"),
        (["a", "1", "--subprotocol", "x"], "--subprotocol is for a call to a URL"),
    ],
)
def test_unusable_arguments_are_refused(arguments: list[str], problem: str, tmp_path: Path) -> None:
    assert problem in refusal("send-dtmf", *arguments, home=tmp_path)


def test_variables_for_other_commands_are_not_refused(tmp_path: Path) -> None:
    done = listenctl(
        "send-dtmf", "@latest", "1", home=tmp_path, env={"LISTENCTL_CA": "/nowhere", "LISTENCTL_EVENTS": "f"}
    )

    assert (done.returncode, "no server named default" in done.stderr) == (4, True)


async def test_timeout_of_a_call_to_a_url_is_status_124(tmp_path: Path) -> None:
    async with running(faster()) as run:
        arguments = ("send-dtmf", f"ws://127.0.0.1:{run.port}/", "1", "--timeout", "0.2")
        done = await listenctl_beside(*arguments, home=tmp_path)

    assert (done.returncode, done.stdout) == (124, "")
    assert done.stderr.endswith("listenctl: 1: not accepted by the server within 0.2 s\n")
