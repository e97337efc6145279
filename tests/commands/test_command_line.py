"""The commands beside ``serve`` and ``record``, and what all of them share."""

import re
import struct
from pathlib import Path
from typing import Any

import pytest
import soundfile
import typer
from typer.core import TyperArgument

from listenctl import __version__
from listenctl.__main__ import main
from listenctl.commands.command_line import COMMANDS, command_group, run_command_line
from listenctl.installed_versions import describe_versions
from listenctl.media.files.wav_header import wav_header
from listenctl.protocol.audio import AudioFormat
from listenctl.server.access.auth_file import Right, User, parse_users
from listenctl.server.access.secret_hashes import hash_token, verify_password
from tests.helpers.cli import listenctl, refusal

AUDIO = struct.pack("<800h", *range(800))


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
    "generate": ["grafana"],
}


def parameters(command: str) -> list[Any]:
    commands = command_group()
    found = commands.get_command(typer.Context(commands), command)
    assert found is not None
    return list(found.params)


def named(command: str) -> list[str]:
    return ARGUMENTS.get(command, ["a"])


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


# Start-up and errors.


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_version_is_told(option: str, tmp_path: Path) -> None:
    run = listenctl(option, home=tmp_path)

    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.splitlines()[0] == f"listenctl {__version__}"
    assert run.stdout == describe_versions()


def test_an_interrupt_while_modules_are_imported_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("listenctl.__main__.command", interrupt)

    assert main() == 130


def test_help_lists_every_command(tmp_path: Path) -> None:
    run = listenctl("--help", home=tmp_path)

    assert run.returncode == 0
    assert all(f" {name} " in run.stdout for name in COMMANDS)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["nothing"], "nothing"),
        (["serve", "--nothing"], "--nothing"),
        (["record", "a", "b"], "b"),
        (
            ["load", "ws://h/", "--calls", "0"],
            "Invalid value for '--calls': 0 is not 1 or more; see `listenctl load -h`",
        ),
        (
            ["serve", "--port", "70000"],
            "Invalid value for '--port': 70000 is not from 0 to 65535; see `listenctl serve -h`",
        ),
    ],
)
def test_wrong_usage_is_status_2_and_one_line(arguments: list[str], problem: str, tmp_path: Path) -> None:
    assert problem in refusal(*arguments, home=tmp_path)


def test_wrong_usage_of_a_process_is_status_2_on_stderr_without_colour(tmp_path: Path) -> None:
    run = listenctl("serve", "--nothing", home=tmp_path, env={"NO_COLOR": "1", "FORCE_COLOR": ""})

    assert (run.returncode, run.stdout) == (2, "")
    assert "\x1b" not in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_arguments_are_named_in_capitals(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [parameter for parameter in parameters(command) if isinstance(parameter, TyperArgument)]

    assert all(re.fullmatch(r"[A-Z]+(\.\.\.)?", str(argument.metavar)) for argument in arguments)

    required = [argument for argument in arguments if argument.required]
    if required:
        assert run_command_line(command_group(), [command]) == 2
        assert f"Missing argument '{required[0].metavar}'" in capsys.readouterr().err


def test_the_summary_of_a_command_is_the_first_line_of_its_help() -> None:
    group = command_group()

    for name, (_, summary) in COMMANDS.items():
        command = group.get_command(typer.Context(group), name)
        assert command is not None
        assert str(command.help).partition("\n")[0] == f"{summary}."


# passwd.


def test_passwd_writes_an_entry_that_gives_access(tmp_path: Path) -> None:
    run = listenctl("passwd", "listen", "users", home=tmp_path, given="s3cret\n")

    users = tmp_path / "users"
    user, _, hashed = users.read_text().strip().partition(":")
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    assert user == "listen"
    assert verify_password("s3cret", hashed)
    assert users.stat().st_mode & 0o777 == 0o600


def test_passwd_changes_one_user_and_leaves_the_others(tmp_path: Path) -> None:
    for user, password in (("a", "1"), ("b", "2"), ("a", "3")):
        listenctl("passwd", user, "users", home=tmp_path, given=password)

    entries = dict(line.split(":") for line in (tmp_path / "users").read_text().splitlines())
    assert sorted(entries) == ["a", "b"]
    assert verify_password("3", entries["a"])
    assert verify_password("2", entries["b"])


def test_passwd_makes_a_token_and_keeps_only_its_digest(tmp_path: Path) -> None:
    run = listenctl("passwd", "--token", "--rights", "record,control", "ivr", "users", home=tmp_path)

    users = tmp_path / "users"
    assert (run.returncode, run.stderr) == (0, "")
    assert re.fullmatch(r"lctok_[\w-]{32}\n", run.stdout)
    assert parse_users(users.read_text(), "users")["ivr"] == User(
        "ivr", hash_token(run.stdout.strip()), frozenset(Right)
    )


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--token", "ivr"), "--token needs the auth file"),
        (("--delete", "ivr"), "--delete needs the auth file"),
        (("--delete", "--token", "ivr", "users"), "leave out --token and --rights"),
        (("--rights", "admin", "ivr", "users"), "--rights: no rights: 'admin'; give record or control"),
    ],
)
def test_passwd_refuses_what_it_cannot_do(arguments: tuple[str, ...], problem: str, tmp_path: Path) -> None:
    run = listenctl("passwd", *arguments, home=tmp_path, given="x")

    assert run.returncode == 2
    assert problem in run.stderr
    assert list(tmp_path.iterdir()) == []


def test_passwd_without_a_file_prints_the_entry(tmp_path: Path) -> None:
    run = listenctl("passwd", "listen", home=tmp_path, given="s3cret")

    assert run.stdout.startswith("listen:scrypt$")
    assert verify_password("s3cret", run.stdout.strip().partition(":")[2])


def test_passwd_takes_a_user_out(tmp_path: Path) -> None:
    listenctl("passwd", "listen", "users", home=tmp_path, given="s3cret")

    assert listenctl("passwd", "--delete", "listen", "users", home=tmp_path).returncode == 0
    assert (tmp_path / "users").read_text() == ""
    again = listenctl("passwd", "--delete", "listen", "users", home=tmp_path)
    assert (again.returncode, again.stderr) == (2, "listenctl: users: no user 'listen' found\n")


@pytest.mark.parametrize(
    ("arguments", "given", "problem"),
    [
        (["a:b"], "x", "a user name must be printable, without a colon"),
        (["#a"], "x", "a user name must be printable"),
        (["a"], "", "the password is empty"),
        (["a"], "x" * 89, "jambonz truncates credentials to 89 characters"),
        (["a", "no/where"], "x", "no/where: can't write the file"),
        (["--delete", "a"], "", "--delete needs the auth file"),
    ],
)
def test_passwd_refuses_what_could_never_work(arguments: list[str], given: str, problem: str, tmp_path: Path) -> None:
    run = listenctl("passwd", *arguments, home=tmp_path, given=given)

    assert (run.returncode, run.stderr.count("\n")) == (2, 1)
    assert problem in run.stderr


# recover.


def test_recover_gives_bare_samples_a_header(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(AUDIO)

    run = listenctl(
        "recover", "--raw", "--sample-rate", "16000", "--mix-type", "stereo", "-o", "b.wav", "a.raw", home=tmp_path
    )

    info = soundfile.info(tmp_path / "b.wav")
    assert run.returncode == 0
    assert (info.samplerate, info.channels, info.frames) == (16000, 2, 400)


def test_recover_mends_what_it_can_in_copies_and_tells_what_it_can_not(tmp_path: Path) -> None:
    broken = wav_header(AudioFormat(8000, 1), 0) + AUDIO
    (tmp_path / "good.wav").write_bytes(broken)
    (tmp_path / "intact.wav").write_bytes(wav_header(AudioFormat(8000, 1), len(AUDIO)) + AUDIO)
    (tmp_path / "bad.wav").write_bytes(b"no WAV at all")

    run = listenctl("recover", "bad.wav", "none.wav", "good.wav", "intact.wav", home=tmp_path)

    assert run.returncode == 1
    assert "bad.wav" in run.stderr
    assert "none.wav: no such file" in run.stderr
    assert run.stderr.count("\n") == 1
    assert "0.10 s written to good.recovered.wav" in run.stdout
    assert "intact.wav: intact, 0.10 s\n" in run.stdout
    assert (tmp_path / "good.wav").read_bytes() == broken
    assert soundfile.read(tmp_path / "good.recovered.wav", dtype="int16")[0].tolist() == list(range(800))


def test_recover_writes_one_file_to_one_place(tmp_path: Path) -> None:
    said = refusal("recover", "-o", "x.wav", "a.wav", "b.wav", home=tmp_path)

    assert said == "listenctl: --output takes one input file; leave it out to repair several\n"


# demo.


def test_the_demo_records_a_call_and_says_what_to_try_next(tmp_path: Path) -> None:
    run = listenctl("demo", "calls", home=tmp_path)

    (wav,) = (tmp_path / "calls").glob("*.wav")
    info = soundfile.info(wav)
    assert run.returncode == 0
    assert (info.samplerate, info.channels) == (16000, 2)
    assert info.duration == pytest.approx(10, abs=1)
    assert str(wav.relative_to(tmp_path)) in run.stdout
    assert "Complete  100%, nothing missing" in run.stdout
    assert "Keys      1 at" in run.stdout
    assert "Closed    by jambonz with 1000" in run.stdout
    # A server that another machine can reach needs an address and credentials.
    assert "listenctl record --host 0.0.0.0\n" in run.stdout
    assert '"wsAuth"' in run.stdout
    assert "\x1b" not in run.stdout + run.stderr
