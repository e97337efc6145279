"""The control socket of a server on the command line."""

import signal
from pathlib import Path

from tests.helpers.cli import listenctl, service
from tests.helpers.server import mode_of

SERVE = ("serve", "--port", "0", "--json")


async def test_a_server_opens_its_control_socket_and_removes_it(tmp_path: Path) -> None:
    async with service(*SERVE, "--name", "pbx-2", home=tmp_path) as server:
        path = (await server.next("server-started"))["control"]
        mode = mode_of(path)
        status, _ = await server.end(signal.SIGTERM)

    assert path == str(tmp_path / "listenctl" / "pbx-2.sock")
    assert mode == 0o600
    assert status == 0
    assert not (tmp_path / "listenctl" / "pbx-2.sock").exists()


async def test_a_second_server_needs_a_name_of_its_own(tmp_path: Path) -> None:
    async with service(*SERVE, home=tmp_path) as first:
        await first.next("server-started")

        refused = listenctl("record", "--port", "0", "--name", "default", home=tmp_path)
        async with service(*SERVE, home=tmp_path, env={"LISTENCTL_NAME": "second"}) as second:
            path = (await second.next("server-started"))["control"]

    assert refused.returncode == 1
    assert refused.stderr == "listenctl: a server named default is already running; choose another --name\n"
    assert path == str(tmp_path / "listenctl" / "second.sock")


async def test_a_second_server_without_a_name_takes_calls_all_the_same(tmp_path: Path) -> None:
    async with service(*SERVE, home=tmp_path) as first:
        await first.next("server-started")
        async with service(*SERVE, home=tmp_path) as second:
            started = await second.next("server-started")
            warning = await second.next("warning")
            status, _ = await second.end(signal.SIGTERM)

        assert (tmp_path / "listenctl" / "default.sock").exists()

    assert started["control"] is None
    assert (warning["rule"], warning["call"]) == ("no-control", None)
    assert "a server named default is already running; choose another --name" in warning["detail"]
    assert status == 0


async def test_a_server_can_do_without_a_control_socket(tmp_path: Path) -> None:
    async with service(*SERVE, "--no-control", home=tmp_path) as server:
        path = (await server.next("server-started"))["control"]

    assert path is None
    assert not (tmp_path / "listenctl").exists()


def test_a_name_that_is_none_is_wrong_usage(tmp_path: Path) -> None:
    refused = listenctl("serve", "--name", "a/b", home=tmp_path)

    assert refused.returncode == 2
    assert refused.stderr == "listenctl: --name 'a/b': use 1 to 64 of the characters A-Z a-z 0-9 . _ -\n"


def test_a_server_that_starts_doesnt_import_what_answers_tools(tmp_path: Path) -> None:
    timed_out = listenctl(
        "serve", "--port", "0", "--timeout", "0.1", "--quiet", home=tmp_path, env={"PYTHONPROFILEIMPORTTIME": "1"}
    )

    assert timed_out.returncode == 124
    assert "listenctl.server.control_api.control_socket" in timed_out.stderr
    assert "websockets.asyncio" not in timed_out.stderr
