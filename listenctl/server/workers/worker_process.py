"""A worker as its parent sees it: the process, the link to it, and the socket over which tools are handed to it."""

import asyncio
import gc
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

from listenctl.server.workers.handed_tools import hand_over
from listenctl.server.workers.link_messages import LinkMessage, WorkerReady, WorkerStart
from listenctl.server.workers.worker_link import WorkerLink, pack_message

# With the module path and the threshold of garbage collection of this process, and without the working directory.
_PROGRAM = (
    "import gc, sys; gc.set_threshold({threshold}); sys.path[:] = sys.argv[3:]; "
    "from {module} import run_worker_process; run_worker_process()"
)


class WorkerProcess:
    def __init__(self, number: int, process: Process, tools: socket.socket) -> None:
        self.number = number
        self._started_at = asyncio.get_running_loop().time()
        self.link: WorkerLink
        self.was_ready = False
        self._process = process
        self._tools = tools
        self._link_ended = asyncio.Event()

    @classmethod
    async def start(
        cls, start: WorkerStart, module: str, take: Callable[["WorkerProcess", LinkMessage], None]
    ) -> "WorkerProcess":
        """Start a process that calls ``run_worker_process`` of ``module``; raises OSError if the machine can't."""
        with ExitStack() as opened:
            link, far_link = map(opened.enter_context, socket.socketpair())
            tools, far_tools = map(opened.enter_context, socket.socketpair())
            with far_link, far_tools:
                passed = [far_link.fileno(), far_tools.fileno(), start.counts, *start.listening]
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-c",
                    _PROGRAM.format(module=module, threshold=gc.get_threshold()[0]),
                    f"worker-{start.number + 1}",
                    str(far_link.fileno()),
                    *sys.path,
                    pass_fds=passed,
                    stdin=DEVNULL,
                    stdout=DEVNULL,
                    # A Ctrl-C is for the parent, which tells the workers.
                    process_group=0,
                )
                link.sendall(pack_message(replace(start, tools=far_tools.fileno())))
            opened.pop_all()
        tools.setblocking(False)
        self = cls(start.number, process, tools)
        self.link = await WorkerLink.open(link, lambda message: self._take(take, message), self._link_ended.set)
        return self

    @property
    def age(self) -> float:
        return asyncio.get_running_loop().time() - self._started_at

    @property
    def pid(self) -> int:
        return self._process.pid

    def hand_over(self, connection: socket.socket, call: str) -> bool:
        return hand_over(self._tools, connection, call)

    async def wait_ended(self) -> int:
        """Wait for the end of the process, and for all that it has said; return its status, negative for a signal."""
        status = await self._process.wait()
        await self._link_ended.wait()
        self._tools.close()
        return status

    def _take(self, take: Callable[["WorkerProcess", LinkMessage], None], message: LinkMessage) -> None:
        self.was_ready |= isinstance(message, WorkerReady)
        take(self, message)


def describe_status(status: int) -> str:
    """Return how a process ended."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"
