"""How the options of a server become the settings of its log."""

from pathlib import Path

import pytest

from listenctl.commands.serve.command import ServeOptions
from listenctl.commands.serve.options.log_options import log_settings
from listenctl.errors import ExitStatus, UsageError
from listenctl.terminal.event_lines import LogLevel
from tests.helpers.cli import listenctl_here


@pytest.mark.parametrize(
    ("options", "level"),
    [
        (ServeOptions(), LogLevel.INFO),
        (ServeOptions(quiet=True), LogLevel.ERROR),
        (ServeOptions(json=True), LogLevel.ERROR),
        (ServeOptions(json=True, log_level="debug"), LogLevel.DEBUG),
    ],
)
def test_the_level_is_the_given_one_or_what_other_options_ask_for(options: ServeOptions, level: LogLevel) -> None:
    assert log_settings(options).level is level


def test_quiet_and_a_level_contradict_each_other() -> None:
    options = ServeOptions(quiet=True, log_level="info", given=frozenset(("quiet", "log_level")))

    with pytest.raises(UsageError, match="--quiet and --log-level contradict each other"):
        log_settings(options)


@pytest.mark.parametrize("command", ["serve", "record"])
def test_why_a_server_does_not_start_has_the_format_of_its_log(command: str, tmp_path: Path) -> None:
    run = listenctl_here(command, "--log-format", "logfmt", "--path", "calls", home=tmp_path)

    assert run.returncode == ExitStatus.USAGE
    assert run.stderr.startswith("v=1 ts=")
    assert 'level=error event=log logger=listenctl detail="--path calls: a path begins with /' in run.stderr
