"""Take calls, and play the application's side of a capture to each."""

import asyncio
import hmac
import re
from collections.abc import Callable, Sequence
from itertools import cycle

from websockets.utils import accept_key

from listenctl.capture.packets.packet_batches import CaptureNotice
from listenctl.errors import ListenctlError
from listenctl.media.pacing import Clock, SystemClock
from listenctl.replay.plan import ApplicationPlan, ApplicationResult
from listenctl.replay.replay_script import MAX_NOTICES, CapturedCall
from listenctl.replay.replayed_application import FAREWELL, ReplayedApplication
from listenctl.replay.run_replay import ReplayTotals

REQUEST_PATIENCE = 10.0
"""Seconds for the request."""
MAX_HEAD = 64 * 1024

_KEY = re.compile(rb"^Sec-WebSocket-Key:[ \t]*([A-Za-z0-9+/=]{1,64})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_SUBPROTOCOL = re.compile(rb"^Sec-WebSocket-Protocol:[ \t]*([!-~]+(?:[ \t]*,[^\r\n]*)?)", re.IGNORECASE | re.MULTILINE)
_AUTHORIZATION = re.compile(rb"^Authorization:[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)


class RequestRefused(Exception):
    """A request that becomes no call; ``answer`` is what the client gets."""

    def __init__(self, answer: bytes, reason: str) -> None:
        super().__init__(reason)
        self.answer = answer


async def answer_upgrade(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    authorization: str | None = None,
    *,
    full: Callable[[], bool] = lambda: False,
) -> None:
    """
    Take a call.

    Args:
        authorization: the header's value that is asked for.
        full: tells whether no more calls are taken.

    Raises:
        RequestError: the request is none for a WebSocket, lacks the right credentials, or comes too late.
    """
    try:
        async with asyncio.timeout(REQUEST_PATIENCE):
            request = await reader.readuntil(b"\r\n\r\n")
    except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as exc:
        raise RequestRefused(_refusal(b"400 Bad Request"), "sent no request") from exc
    given = _AUTHORIZATION.search(request)
    if authorization is not None and not hmac.compare_digest(given[1] if given else b"", authorization.encode()):
        challenge = b'WWW-Authenticate: Basic realm="listenctl"\r\n'
        raise RequestRefused(_refusal(b"401 Unauthorized", challenge), "has no or other credentials")
    key = _KEY.search(request)
    if not key or not request.startswith(b"GET "):
        raise RequestRefused(_refusal(b"400 Bad Request"), "asks for no WebSocket")
    if full():
        raise RequestRefused(_refusal(b"503 Service Unavailable"), "came after the last call that is taken")
    offered = _SUBPROTOCOL.search(request)
    echo = b"Sec-WebSocket-Protocol: %b\r\n" % offered[1].split(b",")[0].strip() if offered else b""
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n%b\r\n" % (accept_key(key[1].decode()).encode(), echo)
    )


def _refusal(status: bytes, headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 %b\r\n%bContent-Length: 0\r\nConnection: close\r\n\r\n" % (status, headers)


class ReplayServer:
    """
    Listen, and play as many calls as is asked.

    Args:
        calls: of the capture; callers get them in turn.
        limit: how many calls are taken in all; None is any number.
        on_refused: told why a request became no call.
        on_notice: told what is wrong with the capture.
    """

    def __init__(
        self,
        plan: ApplicationPlan,
        calls: Sequence[CapturedCall],
        *,
        limit: int | None = 1,
        on_result: Callable[[ApplicationResult], None] = lambda _: None,
        on_refused: Callable[[str], None] = lambda _: None,
        on_notice: Callable[[CaptureNotice], None] = lambda _: None,
        clock: Clock | None = None,
    ) -> None:
        self._plan = plan
        self._next = cycle(calls)
        self._limit = limit
        self._on_result = on_result
        self._on_refused = on_refused
        self._on_notice = on_notice
        self._clock = clock or SystemClock()
        self._taken = 0
        self._live: set[ReplayedApplication] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._noticed: set[CaptureNotice] = set()
        self._over = asyncio.Event()
        self._server: asyncio.Server | None = None
        self.totals = ReplayTotals()

    async def start(self, host: str, port: int) -> int:
        """
        Listen; return the port.

        Raises:
            ListenctlError: the address can't be used.
        """
        try:
            self._server = await asyncio.start_server(self._accept, host, port, limit=MAX_HEAD)
        except OSError as exc:
            raise ListenctlError(f"can't listen on {host}:{port}: {exc.strerror or exc}; give another") from exc
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def wait(self) -> ReplayTotals:
        """Wait until all calls are over, or somebody stops it."""
        await self._over.wait()
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            if task.get_name() == _SHAKING:
                task.cancel()
        while self._tasks:
            await asyncio.wait(self._tasks)
        return self.totals

    def stop(self) -> None:
        """Close all calls, and take no more."""
        self._limit = 0
        self._over.set()
        for call in list(self._live):
            call.stop()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer), name=_SHAKING)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer_upgrade(reader, writer, self._plan.authorization, full=self._is_full)
        except RequestRefused as exc:
            self._on_refused(str(exc))
            writer.write(exc.answer)
        else:
            await self._play(reader, writer)
        finally:
            await _close(writer)

    def _is_full(self) -> bool:
        return self._limit is not None and self._taken >= self._limit

    async def _play(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.set_name(_PLAYING)
        self._taken += 1
        call = next(self._next)
        result = ApplicationResult(call=call.number, caller=self._taken)
        playing = ReplayedApplication(self._plan, call, result, reader=reader, writer=writer, clock=self._clock)
        self._live.add(playing)
        try:
            await playing.run()
        except ListenctlError as exc:
            result.error = str(exc)
        finally:
            self._live.discard(playing)
            for notice in playing.notices:
                if notice not in self._noticed and len(self._noticed) < MAX_NOTICES:
                    self._noticed.add(notice)
                    self._on_notice(notice)
            self.totals.count(result)
            self._on_result(result)
            if self._is_full() and not self._live:
                self._over.set()


async def _close(writer: asyncio.StreamWriter) -> None:
    """Close a connection; a client that takes nothing can't keep it open."""
    writer.close()
    try:
        async with asyncio.timeout(FAREWELL):
            await writer.wait_closed()
    except (OSError, TimeoutError):
        writer.transport.abort()


_SHAKING, _PLAYING = "handshake", "call"
