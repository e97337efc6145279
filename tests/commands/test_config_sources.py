"""Where settings come from: option over variable over file over default."""

from pathlib import Path

import pytest

from listenctl.commands.command_line import COMMANDS, command_group, run_command_line
from listenctl.commands.config_sources import read_defaults
from listenctl.errors import UsageError
from tests.commands.test_command_line import named, parameters
from tests.helpers.cli import listenctl, refusal, service

ANY: dict[str, dict[str, bool] | None] = {"serve": None, "record": None}


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_no_file_means_no_settings(tmp_path: Path) -> None:
    assert read_defaults(None, {"HOME": str(tmp_path), "XDG_CONFIG_DIRS": str(tmp_path)}, {}) == {}


def test_the_file_is_found_in_the_xdg_places(tmp_path: Path) -> None:
    write(tmp_path / "system/listenctl/config.toml", "[record]\nport = 1")
    places = {"HOME": str(tmp_path), "XDG_CONFIG_DIRS": f"/nowhere:{tmp_path}/system"}

    assert read_defaults(None, places, ANY) == {"record": {"port": 1}}
    write(tmp_path / ".config/listenctl/config.toml", "[record]\nport = 2")
    assert read_defaults(None, places, ANY) == {"record": {"port": 2}}
    write(tmp_path / "mine/listenctl/config.toml", "[record]\nport = 3")
    assert read_defaults(None, places | {"XDG_CONFIG_HOME": f"{tmp_path}/mine"}, ANY) == {"record": {"port": 3}}


def test_a_file_that_is_chosen_goes_before_all(tmp_path: Path) -> None:
    write(tmp_path / ".config/listenctl/config.toml", "[record]\nport = 2")
    chosen = write(tmp_path / "chosen.toml", "[serve]\nsample-rate = 16000\nmix-type = 'stereo'")

    assert read_defaults(chosen, {"HOME": str(tmp_path)}, ANY) == {
        "serve": {"sample_rate": 16000, "mix_type": "stereo"}
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        *((text, r"chosen\.toml") for text in ("port = 1", "[record", "\x00")),
        ("[recrod]\nport = 2", "no command 'recrod'"),
        *((f"[serve]\nport = {value}", "port is a single value") for value in ("[1]", "{a = 1}", "1979-05-27")),
        ("[call]\nfault = [['a']]", r"fault is a single value, not \['a'\]"),
    ],
)
def test_what_can_not_be_understood_is_refused(text: str, problem: str, tmp_path: Path) -> None:
    chosen = write(tmp_path / "chosen.toml", text)

    with pytest.raises(UsageError, match=problem):
        read_defaults(chosen, {}, {"serve": {"port": False}, "call": {"fault": True}})


def test_a_table_of_another_command_waits_for_it(tmp_path: Path) -> None:
    chosen = write(tmp_path / "chosen.toml", "[serve]\nprot = 1\n[record]\nport = 2")

    assert read_defaults(chosen, {}, {"serve": None, "record": {"port": False}})["record"] == {"port": 2}
    with pytest.raises(UsageError, match=r"\[serve\] has no setting 'prot'"):
        read_defaults(chosen, {}, {"serve": {"port": False}, "record": None})


@pytest.mark.parametrize(("value", "values"), [("'stall=3'", ["stall=3"]), ("['a', 'b']", ["a", "b"])])
def test_a_setting_that_may_be_repeated_takes_one_value_or_an_array(
    value: str, values: list[str], tmp_path: Path
) -> None:
    chosen = write(tmp_path / "chosen.toml", f"[call]\nfault = {value}")

    assert read_defaults(chosen, {}, {"call": {"fault": True}}) == {"call": {"fault": values}}


def test_the_same_option_may_be_repeated_in_one_command_and_not_in_another(tmp_path: Path) -> None:
    settings = tmp_path / "config.toml"
    run = ["inspect", "nothing.pcap"], ["replay", "nothing.pcap", "ws://127.0.0.1:1/"]

    settings.write_text("[inspect]\ncall = ['a', 'b']\n[replay]\ncall = ['a', 'b']\n")
    inspected, replayed = (listenctl("--config", str(settings), *arguments, home=tmp_path) for arguments in run)

    assert "single value" not in inspected.stderr
    assert "[replay] call is a single value, not ['a', 'b']" in replayed.stderr


def test_an_option_with_a_name_that_python_reserves_can_be_set(tmp_path: Path) -> None:
    chosen = write(tmp_path / "chosen.toml", "[call]\nfrom = '+1'")

    assert read_defaults(chosen, {}, {"call": {"from_": False}}) == {"call": {"from_": "+1"}}


async def path_of(home: Path, *arguments: str, env: dict[str, str]) -> str | None:
    async with service("serve", "--port", "0", "--json", *arguments, home=home, env=env) as server:
        path: str | None = (await server.started())["path"]
        return path


async def test_an_option_goes_before_a_variable_before_the_file_before_the_default(tmp_path: Path) -> None:
    assert await path_of(tmp_path, env={}) is None
    write(tmp_path / ".config/listenctl/config.toml", "[serve]\npath = '/file'")
    assert await path_of(tmp_path, env={}) == "/file"
    assert await path_of(tmp_path, env={"LISTENCTL_PATH": "/variable"}) == "/variable"
    assert await path_of(tmp_path, "--path", "/option", env={"LISTENCTL_PATH": "/variable"}) == "/option"


def test_a_choice_that_there_is_not_is_reported_with_the_file(tmp_path: Path) -> None:
    file = write(tmp_path / ".config/listenctl/config.toml", "[serve]\nmix-type = 'both'")

    said = refusal("serve", "--timeout", "0", home=tmp_path)

    assert f"Invalid value for mix-type in [serve] of {file}: " in said


def numbers() -> list[tuple[str, str, bool]]:
    """Return each option of each command that takes a number: command, parameter, and whether it is a whole one."""
    return [
        (command, parameter.name, parameter.type.name.startswith("int"))
        for command in COMMANDS
        for parameter in parameters(command)
        if parameter.type.name.split()[0] in ("int", "float")
    ]


@pytest.mark.parametrize(("command", "name", "whole"), numbers())
def test_a_wrong_number_is_reported_under_the_name_that_it_was_given_by(
    command: str,
    name: str,
    whole: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
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
