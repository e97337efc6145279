"""Options of ``inspect``."""

import io
from pathlib import Path
from typing import Any

import pytest

from listenctl.commands.inspect.command import InspectOptions, make_inspect_plan
from listenctl.commands.inspect.run import run_inspect
from listenctl.errors import UsageError
from listenctl.protocol.jambonz_model.profiles import PROFILES
from tests.helpers.capture import FOLDER

PAUSE = str(FOLDER / "f_pause_graceful.pcap.gz")


def test_settings_of_the_inspection() -> None:
    plan = make_inspect_plan(InspectOptions(files=["x"], stream_rate=16_000, detect_dtmf=True))

    assert (plan.settings.stream_rate, plan.settings.detect_dtmf) == (16_000, True)
    assert plan.settings.profile == PROFILES["current"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"json": True, "csv": True}, "--csv and --json can't be used together"),
        ({"timeline": True, "ladder": True}, "--ladder and --timeline can't be used together"),
        ({"ladder": True, "json": True}, "--ladder and --json can't be used together"),
        ({"format": "flac"}, "--format needs --extract"),
        ({"extract": "-"}, "--extract writes several files"),
        ({"plot": Path("x.txt")}, "x.txt"),
        ({"plot": Path("-"), "json": True}, "give a file name"),
        ({"keylog": Path("nowhere")}, "nowhere: can't read the key log"),
        ({"keylog": Path(__file__)}, "contains no TLS secrets"),
        ({"files": ["-", "-"]}, "stdin can be read only once"),
        ({"files": ["-"], "split": Path("x")}, "--split reads a capture twice"),
        ({"files": ["-"], "call": ["x"], "timeline": True}, "--call needs all calls"),
    ],
)
def test_unusable_options_are_refused_without_output(options: dict[str, Any], problem: str) -> None:
    out = io.StringIO()

    with pytest.raises(UsageError, match=problem):
        run_inspect(make_inspect_plan(InspectOptions(**({"files": [PAUSE]} | options))), out)

    assert out.getvalue() == ""
