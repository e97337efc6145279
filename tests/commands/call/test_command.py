"""Options of ``call``."""

from pathlib import Path

import pytest

from tests.helpers.cli import refusal

URL = "ws://127.0.0.1:1/"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["call"], "no URL to call"),
        (["call", "http:/x"], "http:/x"),
        (["call", "ws://::1/"], "an IPv6 address must be in brackets"),
        (["call", URL, "--audio", "none.wav"], "none.wav"),
        (["call", URL, "--audio", "verb.json"], "verb.json"),
        (["call", URL, "--verb", "verb.json"], "verb.json"),
        (["call", URL, "--fault", "skew"], "skew"),
        (["call", URL, "--fault", "nothing"], "unknown fault"),
        (["call", URL, "--ptime", "25"], "--ptime 25"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_unusable_arguments_are_reported_in_one_line(arguments: list[str], problem: str, tmp_path: Path) -> None:
    (tmp_path / "verb.json").write_text('{"verb": "say",')

    assert problem in refusal(*arguments, home=tmp_path)
