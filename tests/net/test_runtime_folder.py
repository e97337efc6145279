import socket
from pathlib import Path

import pytest

from listenctl.errors import UsageError
from listenctl.net.runtime_folder import (
    call_socket_path,
    calls_folder,
    listen_privately,
    prepare_folder,
    running_servers,
    socket_path,
)


def test_the_socket_is_in_the_runtime_folder() -> None:
    path = socket_path("default", {"XDG_RUNTIME_DIR": "/run/user/1000"}, 1000)

    assert path == Path("/run/user/1000/listenctl/default.sock")


@pytest.mark.parametrize("environ", [{}, {"XDG_RUNTIME_DIR": ""}, {"XDG_RUNTIME_DIR": "run"}], ids=str)
def test_without_one_it_is_in_a_private_folder(environ: dict[str, str]) -> None:
    assert socket_path("pbx-2", environ, 1000) == Path("/tmp/listenctl-1000/pbx-2.sock")


@pytest.mark.parametrize("name", ["", "a/b", "..//x", "a b", "ü", "a\n", "x" * 65])
def test_a_name_that_is_no_file_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="--name"):
        socket_path(name, {}, 1000)


def test_a_path_fits_into_the_address_of_a_socket_or_is_refused() -> None:
    fitting = "/" + "x" * (107 - len("/" + "/listenctl/a.sock"))

    assert len(str(socket_path("a", {"XDG_RUNTIME_DIR": fitting}, 0))) == 107
    with pytest.raises(UsageError, match="at most 107 bytes, this one has 108"):
        socket_path("ab", {"XDG_RUNTIME_DIR": fitting}, 0)


def test_the_folder_is_made_for_us_alone(tmp_path: Path) -> None:
    path = tmp_path / "listenctl" / "default.sock"

    prepare_folder(path)
    prepare_folder(path)

    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_have_access_to_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "listenctl"
    folder.mkdir()
    folder.chmod(0o750)

    with pytest.raises(UsageError, match="a folder of your own"):
        prepare_folder(folder / "default.sock")


def test_a_link_that_somebody_left_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir(mode=0o700)
    (tmp_path / "listenctl").symlink_to(tmp_path / "ours")

    with pytest.raises(UsageError, match="must be a folder"):
        prepare_folder(tmp_path / "listenctl" / "default.sock")


def test_a_folder_that_cant_be_made_is_said() -> None:
    with pytest.raises(UsageError, match=r"/none/listenctl: can't create the folder .*--no-control"):
        prepare_folder(Path("/none/listenctl/default.sock"))


def test_simulated_calls_have_a_folder_beside_the_sockets_of_servers() -> None:
    folder = calls_folder({"XDG_RUNTIME_DIR": "/run/user/1000"}, 1000)

    assert call_socket_path(folder, 4711) == Path("/run/user/1000/listenctl/calls/4711.sock")
    with pytest.raises(UsageError, match="at most 107 bytes"):
        call_socket_path(Path("/" + "x" * 100), 4711)


def test_a_server_that_crashed_is_not_running(tmp_path: Path) -> None:
    listen_privately(tmp_path / "crashed.sock", backlog=1).close()
    (tmp_path / "no-socket.sock").touch()
    (tmp_path / "calls").mkdir()
    with (
        listen_privately(tmp_path / "b.sock", backlog=1),
        listen_privately(tmp_path / "a.sock", backlog=1),
        listen_privately(tmp_path / "odd name.sock", backlog=1),
    ):
        assert running_servers(tmp_path) == ["a", "b"]
    assert running_servers(tmp_path / "missing") == []


def test_a_server_that_is_busy_is_running(tmp_path: Path) -> None:
    path = tmp_path / "busy.sock"
    with listen_privately(path, backlog=0), socket.socket(socket.AF_UNIX) as waiting:
        waiting.connect(str(path))

        assert running_servers(tmp_path) == ["busy"]
