"""
The service manager, such as systemd: the sockets that it passes on, and what a service tells it.

sd_listen_fds(3) and sd_notify(3) describe both; they are a few lines, and a library for them would need systemd.
"""

import asyncio
import os
import socket
import time
from collections.abc import MutableMapping, Sequence
from contextlib import suppress

from listenctl.errors import UsageError

FIRST_PASSED = 3
"""The number of the first descriptor that is passed on."""


class ServiceManager:
    """Without a service manager it does nothing. Its variables are removed, because they aren't for child processes."""

    def __init__(self, environ: MutableMapping[str, str], *, first: int = FIRST_PASSED) -> None:
        count = _number(environ, "LISTEN_FDS") if _number(environ, "LISTEN_PID") == os.getpid() else 0
        self.sockets: Sequence[socket.socket] = [_listening_socket(fd) for fd in range(first, first + count)]
        """Listening sockets of TCP, on which connections may wait already."""
        watched = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._watchdog_interval = _number(environ, "WATCHDOG_USEC") / 1e6 if watched else 0.0
        self._address = environ.get("NOTIFY_SOCKET", "")
        for name in ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_PID", "WATCHDOG_USEC", "NOTIFY_SOCKET"):
            environ.pop(name, None)

    def report_ready(self) -> None:
        """Say that the service has started, or has reloaded its settings; from then on the watchdog is satisfied."""
        self._send("READY=1")

    def report_reloading(self) -> None:
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def report_stopping(self, status: str) -> None:
        self._send("STOPPING=1", f"STATUS={status}")

    def satisfy_watchdog(self, loop: asyncio.AbstractEventLoop) -> None:
        """Say twice in each interval that the event loop runs, as long as it does."""
        if self._watchdog_interval:
            self._send("WATCHDOG=1")
            loop.call_later(self._watchdog_interval / 2, self.satisfy_watchdog, loop)

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        # A manager that is gone or busy must not stop a service.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
            sender.sendto("\n".join(lines).encode(), address)


def _number(environ: MutableMapping[str, str], name: str) -> int:
    value = environ.get(name, "")
    return int(value) if value.isascii() and value.isdecimal() else 0


def _listening_socket(fd: int) -> socket.socket:
    try:
        passed = socket.socket(fileno=fd)
        fits = passed.family in (socket.AF_INET, socket.AF_INET6) and passed.type == socket.SOCK_STREAM
        fits = fits and bool(passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    except OSError as exc:
        raise UsageError(f"LISTEN_FDS: descriptor {fd} is no socket: {exc.strerror}") from exc
    if not fits:
        passed.close()
        raise UsageError(f"LISTEN_FDS: descriptor {fd} is no listening TCP socket; use ListenStream=PORT")
    passed.set_inheritable(False)
    passed.setblocking(False)
    return passed
