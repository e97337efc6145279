"""
Where the sockets of servers and simulated calls are: one rule for those that open them and the commands that find them.

Whoever can reach the socket can listen to every call, so it lies in a folder that is ours alone.
"""

import os
import re
import socket
import stat
from collections.abc import Mapping
from pathlib import Path

from listenctl.errors import UsageError

DEFAULT_NAME = "default"
MAX_PATH_BYTES = 107
"""What the address of a Unix socket holds (unix(7)), besides the byte that ends it."""

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


def socket_path(name: str, environ: Mapping[str, str], uid: int) -> Path:
    """
    Return the control socket of the server called ``name``.

    Raises:
        UsageError: no server can have that name, or the path is too long for a socket.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"--name {name[:80]!r}: use 1 to 64 of the characters A-Z a-z 0-9 . _ -")
    return _checked(_folder(environ, uid) / f"{name}.sock", "give a shorter --name, or ")


def calls_folder(environ: Mapping[str, str], uid: int) -> Path:
    """Return where the simulated calls of this machine have their sockets."""
    return _folder(environ, uid) / "calls"


def call_socket_path(folder: Path, pid: int) -> Path:
    """
    Return the socket of the simulated call that the process ``pid`` places.

    Raises:
        UsageError: the path is too long for a socket.
    """
    return _checked(folder / f"{pid}.sock", "")


def _folder(environ: Mapping[str, str], uid: int) -> Path:
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    # A relative one is to be ignored, says the XDG Base Directory Specification.
    return Path(runtime) / "listenctl" if runtime.startswith("/") else Path(f"/tmp/listenctl-{uid}")


def _checked(path: Path, advice: str) -> Path:
    if (length := len(os.fsencode(path))) > MAX_PATH_BYTES:
        raise UsageError(
            f"{path}: a socket's path has at most {MAX_PATH_BYTES} bytes, this one has {length}; "
            f"{advice}set XDG_RUNTIME_DIR to a shorter folder"
        )
    return path


def prepare_folder(path: Path, advice: str = ", or give --no-control") -> None:
    """
    Make the folder in which the socket ``path`` is to be, or see that it is nobody else's.

    Args:
        advice: what to do instead of another XDG_RUNTIME_DIR, for the end of a sentence.

    Raises:
        UsageError: it can't be made, or others have access to it.
    """
    folder = path.parent
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError as exc:
        raise UsageError(
            f"{folder}: can't be made for a control socket: {exc.strerror}; set XDG_RUNTIME_DIR{advice}"
        ) from exc
    # In a folder for everyone, such as /tmp, somebody else may have been first.
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise UsageError(
            f"{folder}: must be a folder that only we have access to (mode 0700); remove it or change its mode, "
            f"set XDG_RUNTIME_DIR{advice}"
        )


def listen_privately(path: Path, *, backlog: int) -> socket.socket:
    """
    Make a socket, at a path that is free, that only our own user can connect to; return it listening, not blocking.

    Raises:
        OSError: it can't be made.
    """
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
