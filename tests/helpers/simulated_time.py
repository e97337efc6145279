"""
An event loop whose clock jumps to the next timer when nothing else is ready, so that no test waits for time to pass.

Mark a module, class or test with ``pytest.mark.simulated_time``. What such a test talks to lives in the same process:
tasks, socket pairs, connections over loopback. ``loop.time()`` is the simulated time; it starts at 1,000 s.

The loop waits for real, without limit, for whatever it knows to be running elsewhere: work in an executor, and whatever
a condition given to ``wait_while`` calls busy, such as the queue of a writer thread. A process or a device can't be
seen from here; a test that starts one runs on the ordinary loop and waits for events.
"""

import asyncio
import fcntl
import selectors
import socket
import struct
import termios
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar, TypeVarTuple, Unpack

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

START = 1000.0
_SETTLE_ROUNDS = 200
"""How often bytes under way between two sockets are looked at before they are taken to be stuck."""
_UNSETTLED = {2, 3, 4, 9, 11}
"""Linux's states of a socket whose peer has not acknowledged: SYN-SENT, SYN-RECV, FIN-WAIT-1, LAST-ACK, CLOSING."""


class _JumpingSelector(selectors.DefaultSelector):
    """Return what is ready; where nothing is, let the loop's clock jump instead of waiting."""

    loop: "SimulatedTimeLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        while self.loop.is_busy():
            # Whatever is busy wakes the loop by a byte on its socket pair when it is done, or shortly after.
            if ready := super().select(0.001):
                return ready
        for _ in range(_SETTLE_ROUNDS):
            settled = all(map(_is_settled, self._sockets()))
            if ready := super().select(0 if settled else 0.0005):
                return ready
            if settled:
                break
        if timeout is None:
            return super().select(None)
        self.loop.advance(timeout)
        return []

    def _sockets(self) -> list[socket.socket]:
        return [key.fileobj for key in self.get_map().values() if isinstance(key.fileobj, socket.socket)]


def _is_settled(one: socket.socket) -> bool:
    """Return whether everything that was written to a TCP socket has reached its peer's kernel."""
    if one.family not in (socket.AF_INET, socket.AF_INET6) or one.type != socket.SOCK_STREAM:
        return True
    try:
        if one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] in _UNSETTLED:
            return False
        return not struct.unpack("i", fcntl.ioctl(one.fileno(), termios.TIOCOUTQ, bytes(4)))[0]
    except OSError:
        return True


class SimulatedTimeLoop(asyncio.SelectorEventLoop):
    """An event loop on simulated time."""

    def __init__(self) -> None:
        selector = _JumpingSelector()
        super().__init__(selector)
        selector.loop = self
        self._time = START
        self._executing = 0
        self._conditions: list[Callable[[], bool]] = []

    def time(self) -> float:
        """Return the simulated time in seconds."""
        return self._time

    def advance(self, seconds: float) -> None:
        """Let simulated time pass."""
        self._time += seconds

    def wait_while(self, busy: Callable[[], bool]) -> None:
        """Let no time pass while ``busy`` returns true, as for a thread that has work to do."""
        self._conditions.append(busy)

    def is_busy(self) -> bool:
        """Return whether something outside of the loop's thread is at work."""
        return self._executing > 0 or any(busy() for busy in self._conditions)

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Run ``func`` in a thread, and let no time pass before it is done."""
        future = super().run_in_executor(executor, func, *args)
        self._executing += 1
        future.add_done_callback(self._count_done)
        return future

    def _count_done(self, _: object) -> None:
        self._executing -= 1


def simulated_loop() -> SimulatedTimeLoop:
    """Return the running loop of a test marked ``simulated_time``."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimulatedTimeLoop)
    return loop
