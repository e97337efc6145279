"""The folder of the control sockets, for our user alone: whoever connects to a socket can listen to every call."""

import os
import re
import socket
import stat
from collections.abc import Mapping
from pathlib import Path

from listenctl.errors import UsageError
from listenctl.net.own_sockets import check_owner

DEFAULT_NAME = "default"
MAX_PATH_BYTES = 107
"""The longest path of a Unix socket (unix(7)), without its terminating byte."""

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


def socket_path(name: str, environ: Mapping[str, str], uid: int) -> Path:
    """Return the control socket of the server ``name``; raises UsageError for a bad name or too long a path."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"--name {name[:80]!r}: use 1 to 64 of the characters A-Z a-z 0-9 . _ -")
    return _checked(_folder(environ, uid) / f"{name}.sock", "give a shorter --name, or ")


def running_servers(folder: Path) -> list[str]:
    """Return the names of our servers whose control sockets are in ``folder``; one that crashed left its socket."""
    names = sorted(path.stem for path in folder.glob("*.sock") if _NAME.fullmatch(path.stem))
    return [name for name in names if _is_open(folder / f"{name}.sock")]


def _is_open(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
            check_owner(probe, path)
        except BlockingIOError:  # A busy server has not accepted others yet.
            return True
        except OSError:
            return False
    return True


def calls_folder(environ: Mapping[str, str], uid: int) -> Path:
    return _folder(environ, uid) / "calls"


def call_socket_path(folder: Path, pid: int) -> Path:
    """Return the socket of the simulated call in the process ``pid``; raises UsageError if the path is too long."""
    return _checked(folder / f"{pid}.sock", "")


def _folder(environ: Mapping[str, str], uid: int) -> Path:
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    # The XDG Base Directory Specification says to ignore a relative path.
    return Path(runtime) / "listenctl" if runtime.startswith("/") else Path(f"/tmp/listenctl-{uid}")


def _checked(path: Path, advice: str) -> Path:
    if (length := len(os.fsencode(path))) > MAX_PATH_BYTES:
        raise UsageError(
            f"{path}: the path of a socket has at most {MAX_PATH_BYTES} bytes, this one has {length}; "
            f"{advice}set XDG_RUNTIME_DIR to a shorter folder"
        )
    return path


def prepare_folder(path: Path, advice: str = ", or give --no-control") -> None:
    """Create the folder of the socket ``path``, for us alone, or raise UsageError with ``advice`` as an alternative."""
    folder = path.parent
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError as exc:
        raise UsageError(
            f"{folder}: can't create the folder of the control socket: {exc.strerror}; set XDG_RUNTIME_DIR{advice}"
        ) from exc
    # In a shared folder such as /tmp, another user may have created it.
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise UsageError(
            f"{folder}: must be a folder of your own with mode 0700; remove it or change its mode, "
            f"set XDG_RUNTIME_DIR{advice}"
        )


def listen_privately(path: Path, *, backlog: int) -> socket.socket:
    """Return a nonblocking listening socket at an unused path, for our own user only; may raise OSError."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(str(path))
        path.chmod(stat.S_IRUSR | stat.S_IWUSR)
        listening.listen(backlog)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening
