"""
Signals: the first SIGINT, SIGTERM or SIGHUP ends a command in order, the second at once; Ctrl-Z suspends it. A command
that drains does so at a first SIGTERM, and ends in order at the next signal; a service reloads at SIGHUP.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from listenctl.errors import signal_status

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that stop a command; asyncio is imported below, because commands without an event loop import them, too."""


def stop_at_signals(
    stop: Callable[[], None],
    leave: Callable[[], None] = lambda: None,
    *,
    drain: Callable[[], None] | None = None,
    reload: Callable[[], None] | None = None,
) -> list[int]:
    """
    Let the first signal begin an orderly end, and the second exit at once; return the growing list of signals.

    Args:
        stop: begins the end without waiting.
        leave: cleans up before the exit at once, for example the terminal.
        drain: called instead of ``stop`` if the first signal is SIGTERM; ``stop`` then follows at the second.
        reload: called at SIGHUP, which then ends nothing.
    """
    import asyncio

    received: list[int] = []
    stopping = False

    def take(number: int) -> None:
        nonlocal stopping
        if number == signal.SIGHUP and reload is not None:
            reload()
            return
        received.append(number)
        if drain is not None and received == [signal.SIGTERM]:
            drain()
            return
        if stopping:
            leave()
            os._exit(signal_status(number))
        stopping = True
        stop()

    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, take, number)
    return received


def has_terminal() -> bool:
    """Return whether a terminal controls this process, whose end is then a SIGHUP."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


@contextmanager
def suspending_at_ctrl_z(give_back: Callable[[], None], take_back: Callable[[], None] = lambda: None) -> Iterator[None]:
    """
    Give the terminal back to the shell at Ctrl-Z while the block runs.

    Args:
        take_back: called when the process continues.
    """
    import asyncio

    def suspend() -> None:
        give_back()
        os.kill(os.getpid(), signal.SIGSTOP)
        take_back()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTSTP, suspend)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTSTP)
