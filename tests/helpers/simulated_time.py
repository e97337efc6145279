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
import os
import selectors
import socket
import stat
import struct
import termios
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import NamedTuple, TypeVar, TypeVarTuple, Unpack

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

    def __init__(self) -> None:
        super().__init__()
        self._stuck: dict[int, int] = {}
        """Bytes that a peer which doesn't read has left in the socket of each descriptor."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        while self.loop.is_busy():
            # Whatever is busy wakes the loop by a byte on its socket pair when it is done, or shortly after.
            if ready := super().select(0.001):
                return ready
        for _ in range(_SETTLE_ROUNDS):
            under_way = self._under_way()
            settled = all(self._stuck.get(number, size + 1) <= size for number, size in under_way.items())
            if ready := super().select(0 if settled else 0.0005):
                return ready
            if settled:
                break
        self._stuck = under_way
        if timeout is None:
            return super().select(None)
        self.loop.advance(timeout)
        return []

    def _under_way(self) -> dict[int, int]:
        sockets = [key.fileobj for key in self.get_map().values() if isinstance(key.fileobj, socket.socket)]
        return {one.fileno(): size for one in sockets if (size := _unsettled_bytes(one)) is not None}


def _unsettled_bytes(one: socket.socket) -> int | None:
    """Return how much of what was written to a TCP socket has not reached its peer's kernel; None if it is settled."""
    if one.family not in (socket.AF_INET, socket.AF_INET6) or one.type != socket.SOCK_STREAM:
        return None
    try:
        size: int = struct.unpack("i", fcntl.ioctl(one.fileno(), termios.TIOCOUTQ, bytes(4)))[0]
        info = _TcpInfo.of(one.fileno())
        if info.state in _UNSETTLED or (size and not _has_received(one, info)):
            return size
    except OSError:
        return None
    return None


class _TcpInfo(NamedTuple):
    """Fields of Linux's ``struct tcp_info``."""

    state: int
    received: int
    unsent: int
    sent: int
    sent_again: int

    @classmethod
    def of(cls, number: int) -> "_TcpInfo":
        one = socket.socket(fileno=number)
        try:
            return cls(*struct.unpack_from("<B127xQ8xI52xQQ", one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 216)))
        finally:
            one.detach()


def _has_received(one: socket.socket, info: _TcpInfo) -> bool:
    """Return whether the peer's kernel has everything, though it may delay its acknowledgement by 40 ms."""
    if info.unsent:
        return False
    ends = one.getpeername(), one.getsockname()
    descriptors = (int(path.name) for path in Path("/proc/self/fd").iterdir())
    peer = next((number for number in descriptors if _ends_of(number) == ends), None)
    return peer is not None and _TcpInfo.of(peer).received == info.sent - info.sent_again


def _ends_of(number: int) -> tuple[object, object] | None:
    """Return the addresses of both ends of a descriptor that is a connected socket."""
    try:
        if not stat.S_ISSOCK(os.fstat(number).st_mode):
            return None
        one = socket.socket(fileno=number)
    except OSError:
        return None
    try:
        return one.getsockname(), one.getpeername()
    except OSError:
        return None
    finally:
        one.detach()


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
        return self._time

    def advance(self, seconds: float) -> None:
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


class FakeClock:
    """Replaces ``time.monotonic``: call it for the time in seconds."""

    def __init__(self, start: float = 0.0) -> None:
        self._now = start

    def __call__(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds
