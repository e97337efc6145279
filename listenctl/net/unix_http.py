"""HTTP requests over a Unix socket on which a process of our own user listens."""

import http.client
import socket
from pathlib import Path

from listenctl.net.own_sockets import check_owner


def get_over_unix_socket(path: Path, resource: str, *, patience: float) -> tuple[int, bytes]:
    """Return status and body; each step blocks for at most ``patience`` seconds. Raises OSError or HTTPException."""
    connection = _UnixConnection(path, patience)
    try:
        connection.request("GET", resource)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, patience: float) -> None:
        super().__init__("localhost", timeout=patience)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
        check_owner(self.sock, self._path)
