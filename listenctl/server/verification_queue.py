"""
The order in which passwords are verified, which takes long by design: nobody's wrong passwords keep others out.

Users that were let in before come first, then each client in turn. What waits is bounded, and is dropped when nobody
waits for the answer any more.
"""

import asyncio
import os
import sys
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

MAX_WAITING = 256
MAX_WAITING_OF_CLIENT = 32
# Audio matters more.
_NICENESS = 5


@dataclass(eq=False, slots=True)
class _Verification:
    verify: Callable[[], bool]
    client: str  # empty for a user that comes first
    result: asyncio.Future[bool]
    key: bytes
    waiters: int = field(default=0)


class VerificationQueue:
    def __init__(self, threads: int) -> None:
        self._idle_threads = threads
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="access", initializer=_lower_priority)
        self._waiting: OrderedDict[str, deque[_Verification]] = OrderedDict()  # by client; whose turn it is comes first
        self._count = 0
        self._by_key: dict[bytes, _Verification] = {}

    async def verify(self, key: bytes, verify: Callable[[], bool], client: str, *, first: bool) -> bool | None:
        """
        Run ``verify`` in a thread, once for all that ask with the same ``key`` meanwhile; return None without a result
        if too many wait. ``first`` is for a user that was let in before.
        """
        verification = self._by_key.get(key)
        if verification is None:
            client = "" if first else client
            if self._count >= MAX_WAITING or len(self._waiting.get(client, ())) >= MAX_WAITING_OF_CLIENT:
                return None
            verification = _Verification(verify, client, asyncio.get_running_loop().create_future(), key)
            self._by_key[key] = verification
            self._waiting.setdefault(client, deque()).append(verification)
            self._count += 1
            self._start_waiting()
        verification.waiters += 1
        try:
            return await asyncio.shield(verification.result)
        finally:
            verification.waiters -= 1
            if not verification.waiters:
                self._drop(verification)

    def _start_waiting(self) -> None:
        while self._idle_threads and self._waiting:
            client = "" if "" in self._waiting else next(iter(self._waiting))
            verification = self._waiting[client][0]
            self._remove(verification)
            if client in self._waiting:
                self._waiting.move_to_end(client)
            self._idle_threads -= 1
            running = asyncio.get_running_loop().run_in_executor(self._executor, verification.verify)
            running.add_done_callback(partial(self._take_result, verification))

    def _take_result(self, verification: _Verification, done: asyncio.Future[bool]) -> None:
        self._idle_threads += 1
        self._by_key.pop(verification.key, None)
        if not verification.result.done():
            if (error := done.exception()) is None:
                verification.result.set_result(done.result())
            elif verification.waiters:
                verification.result.set_exception(error)
        self._start_waiting()

    def _drop(self, verification: _Verification) -> None:
        if verification in self._waiting.get(verification.client, ()):
            self._remove(verification)
            del self._by_key[verification.key]

    def _remove(self, verification: _Verification) -> None:
        waiting = self._waiting[verification.client]
        waiting.remove(verification)
        self._count -= 1
        if not waiting:
            del self._waiting[verification.client]


def _lower_priority() -> None:
    if sys.platform == "linux":  # Elsewhere this would be for the whole process.
        os.nice(_NICENESS)
