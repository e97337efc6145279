"""
The order in which passwords are verified, which takes long by design: nobody's wrong passwords keep others out.

Users that were let in before from the same address, clients that are new, and those that failed before take turns, so
that none of them waits for all of another kind; among these, each client has its turn. What waits is bounded, and is
dropped when nobody waits for the answer any more.
"""

import asyncio
import os
import sys
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial

MAX_WAITING = 256
"""Verifications of clients of one standing that wait."""
MAX_WAITING_OF_CLIENT = 32
# Audio matters more.
_NICENESS = 5


class Standing(Enum):
    """What is known of a client that sends a password."""

    KNOWN = auto()  # this user was let in before from this address
    NEW = auto()
    FAILED = auto()  # a wrong password came from this address lately


@dataclass(eq=False, slots=True)
class _Verification:
    verify: Callable[[], bool]
    client: str
    group: "_Group"
    result: asyncio.Future[bool]
    key: bytes
    waiters: int = field(default=0)


class _Group:
    """Verifications that wait, by client; the client whose turn it is comes first."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[_Verification]] = OrderedDict()
        self.count = 0

    def has_place(self, client: str) -> bool:
        return self.count < MAX_WAITING and len(self._waiting.get(client, ())) < MAX_WAITING_OF_CLIENT

    def add_verification(self, verification: _Verification) -> None:
        self._waiting.setdefault(verification.client, deque()).append(verification)
        self.count += 1

    def next_verification(self) -> _Verification:
        """Remove and return a verification of the client whose turn it is."""
        client = next(iter(self._waiting))
        verification = self._waiting[client][0]
        self.remove_verification(verification)
        if client in self._waiting:
            self._waiting.move_to_end(client)
        return verification

    def remove_verification(self, verification: _Verification) -> bool:
        """Return whether it waited."""
        waiting = self._waiting.get(verification.client, deque())
        if verification not in waiting:
            return False
        waiting.remove(verification)
        self.count -= 1
        if not waiting:
            del self._waiting[verification.client]
        return True


class VerificationQueue:
    def __init__(self, threads: int) -> None:
        self._idle_threads = threads
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="access", initializer=_lower_priority)
        self._groups = {standing: _Group() for standing in Standing}
        self._turns = deque(self._groups.values())
        self._by_key: dict[bytes, _Verification] = {}

    async def verify(
        self, key: bytes, verify: Callable[[], bool], client: str, standing: Standing = Standing.NEW
    ) -> bool | None:
        """
        Run ``verify`` in a thread, once for all that ask with the same ``key`` meanwhile; return None without a result
        if too many wait.
        """
        verification = self._by_key.get(key)
        if verification is None:
            group = self._groups[standing]
            if not group.has_place(client):
                return None
            verification = _Verification(verify, client, group, asyncio.get_running_loop().create_future(), key)
            self._by_key[key] = verification
            group.add_verification(verification)
            self._start_waiting()
        verification.waiters += 1
        try:
            return await asyncio.shield(verification.result)
        finally:
            verification.waiters -= 1
            if not verification.waiters:
                self._drop(verification)

    def _start_waiting(self) -> None:
        while self._idle_threads and any(group.count for group in self._turns):
            while not self._turns[0].count:
                self._turns.rotate(-1)
            verification = self._turns[0].next_verification()
            self._turns.rotate(-1)
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
        if verification.group.remove_verification(verification):
            del self._by_key[verification.key]


def _lower_priority() -> None:
    if sys.platform == "linux":  # Elsewhere this would be for the whole process.
        os.nice(_NICENESS)
