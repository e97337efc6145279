"""Unix sockets on which only processes of our own user may listen, whoever made the folder that they are in."""

import errno
import os
import socket
import struct
from pathlib import Path


class ForeignSocketError(PermissionError):
    """Another user's process listens on a socket: it could invent calls, and hear what is sent to them."""


def check_owner(connection: socket.socket, path: Path) -> None:
    """Raise ForeignSocketError unless the process that listens at ``path``, and is connected, is ours."""
    if hasattr(socket, "SO_PEERCRED"):
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        _, uid, _ = struct.unpack("3i", credentials)
    else:
        uid = path.stat().st_uid
    if uid != os.geteuid():
        raise ForeignSocketError(errno.EPERM, f"a process of user {uid} listens there")


async def connect_privately(path: Path) -> socket.socket:
    """Return a connection to a process of ours that listens at ``path``; raises OSError if there is none."""
    import asyncio  # Commands without a server start faster without it.

    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, str(path))
        check_owner(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection
