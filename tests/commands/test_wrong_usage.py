"""What every command says of a command line, a variable or a setting that can't be used."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperArgument

from listenctl.commands.command_line import COMMANDS, command_group, run_command_line

ARGUMENTS = {
    "play-to-call": ["a", "b"],
    "mark": ["a", "b"],
    "send-json": ["a", "{}"],
    "send-dtmf": ["a", "1"],
    "load": ["ws://h/"],
    "replay": ["f"],
    "inspect": ["f"],
    "recover": ["f"],
    "passwd": ["u"],
}


def parameters(command: str) -> list[Any]:
    commands = command_group()
    found = commands.get_command(typer.Context(commands), command)
    assert found is not None
    return list(found.params)


def numbers() -> list[tuple[str, str, bool]]:
    """Return each option of each command that takes a number: command, parameter, and whether it is a whole one."""
    return [
        (command, parameter.name, parameter.type.name.startswith("int"))
        for command in COMMANDS
        for parameter in parameters(command)
        if parameter.type.name.split()[0] in ("int", "float")
    ]


def named(command: str) -> list[str]:
    return ARGUMENTS.get(command, ["a"])


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


@pytest.mark.parametrize(("command", "name", "whole"), numbers())
def test_a_wrong_number_is_reported_under_the_name_that_it_was_given_by(
    command: str,
    name: str,
    whole: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    option = name.rstrip("_").replace("_", "-")
    problem = "'x' is not a whole number" if whole else "'x' is not a number"
    said = f"{problem}; see `listenctl {command} -h`\n"

    assert run_command_line(command_group(), [command, *named(command), f"--{option}", "x"]) == 2
    assert capsys.readouterr().err == f"listenctl: Invalid value for '--{option}': {said}"

    settings = tmp_path / "chosen.toml"
    settings.write_text(f"[{command}]\n{option} = 'x'\n")
    assert run_command_line(command_group(), ["--config", str(settings), command, *named(command)]) == 2
    assert capsys.readouterr().err == f"listenctl: Invalid value for {option} in [{command}] of {settings}: {said}"

    variable = next(parameter.envvar for parameter in parameters(command) if parameter.name == name)
    if variable is not None:
        monkeypatch.setenv(variable, "x")
        assert run_command_line(command_group(), [command, *named(command)]) == 2
        assert capsys.readouterr().err == f"listenctl: Invalid value for {variable}: {said}"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["load", "ws://h/", "--calls", "0"], "'--calls': 0 is not 1 or more"),
        (["serve", "--port", "70000"], "'--port': 70000 is not from 0 to 65535"),
    ],
)
def test_a_number_out_of_range_says_which_it_may_be(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command_line(command_group(), arguments) == 2

    assert capsys.readouterr().err == f"listenctl: Invalid value for {said}; see `listenctl {arguments[0]} -h`\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_arguments_are_named_in_capitals(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [parameter for parameter in parameters(command) if isinstance(parameter, TyperArgument)]

    assert all(re.fullmatch(r"[A-Z]+(\.\.\.)?", str(argument.metavar)) for argument in arguments)

    required = [argument for argument in arguments if argument.required]
    if required:
        assert run_command_line(command_group(), [command]) == 2
        assert f"Missing argument '{required[0].metavar}'; see" in capsys.readouterr().err
