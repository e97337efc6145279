"""Options of ``monitor``."""

from pathlib import Path

import pytest

from tests.helpers.cli import refusal


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--json",), "--json needs --list-devices"),
        (("one", "--all"), "--all plays all calls"),
        (("",), "is not a call"),
        (("--channel", "up"), "'up'"),
        (("--save", "saved.flac"), "--save saved.flac: the file must end in .wav"),
        (("--save", "saved"), "--save saved: the file must end in .wav"),
    ],
)
def test_unusable_options_are_status_2(arguments: tuple[str, ...], problem: str, tmp_path: Path) -> None:
    assert problem in refusal("monitor", *arguments, home=tmp_path)
