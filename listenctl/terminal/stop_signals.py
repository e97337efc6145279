"""Signals: the first SIGINT, SIGTERM or SIGHUP ends a command in order, the second at once; Ctrl-Z suspends it."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from listenctl.errors import signal_status

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that stop a command; asyncio is imported below, because commands without an event loop import them, too."""


def stop_at_signals(stop: Callable[[], None], leave: Callable[[], None] = lambda: None) -> list[int]:
    """
    Let the first signal begin an orderly end, and the second exit at once; return the growing list of signals.

    Args:
        stop: begins the end without waiting.
        leave: cleans up before the exit at once, for example the terminal.
    """
    import asyncio

    received: list[int] = []

    def take(number: int) -> None:
        received.append(number)
        if len(received) > 1:
            leave()
            os._exit(signal_status(number))
        stop()

    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, take, number)
    return received


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
