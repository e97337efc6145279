"""Accept calls and play the application's side of a capture to each."""

import asyncio
import hmac
import re
from collections.abc import Callable, Sequence
from itertools import cycle

from websockets.utils import accept_key

from listenctl.capture.packets.packet_batches import CaptureNotice
from listenctl.errors import ListenctlError
from listenctl.net.listening_sockets import BACKLOG, listen
from listenctl.replay.plan import ApplicationPlan
from listenctl.replay.replay_results import ApplicationResult, ReplayTotals
from listenctl.replay.replay_script import CapturedCall, NoticeFilter
from listenctl.replay.replayed_application import CLOSE_TIMEOUT, ReplayedApplication

REQUEST_TIMEOUT = 10.0
MAX_HEAD = 64 * 1024

_KEY = re.compile(rb"^Sec-WebSocket-Key:[ \t]*([A-Za-z0-9+/=]{1,64})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_SUBPROTOCOL = re.compile(rb"^Sec-WebSocket-Protocol:[ \t]*([!-~]+(?:[ \t]*,[^\r\n]*)?)", re.IGNORECASE | re.MULTILINE)
_AUTHORIZATION = re.compile(rb"^Authorization:[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)


class RequestRefused(Exception):
    """A request that doesn't become a call; ``answer`` is the HTTP response."""

    def __init__(self, answer: bytes, reason: str) -> None:
        super().__init__(reason)
        self.answer = answer


async def answer_upgrade(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, authorization: str | None, *, full: Callable[[], bool]
) -> None:
    """
    Answer the opening handshake of a call; raises RequestRefused if the request isn't a WebSocket handshake, lacks the
    credentials, or comes too late.
    """
    try:
        async with asyncio.timeout(REQUEST_TIMEOUT):
            request = await reader.readuntil(b"\r\n\r\n")
    except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as exc:
        raise RequestRefused(_refusal(b"400 Bad Request"), "sent no request") from exc
    given = _AUTHORIZATION.search(request)
    if authorization is not None and not hmac.compare_digest(given[1] if given else b"", authorization.encode()):
        challenge = b'WWW-Authenticate: Basic realm="listenctl"\r\n'
        raise RequestRefused(_refusal(b"401 Unauthorized", challenge), "has no or wrong credentials")
    key = _KEY.search(request)
    if not key or not request.startswith(b"GET "):
        raise RequestRefused(_refusal(b"400 Bad Request"), "is not a WebSocket handshake")
    if full():
        raise RequestRefused(_refusal(b"503 Service Unavailable"), "came after the last accepted call")
    offered = _SUBPROTOCOL.search(request)
    echo = b"Sec-WebSocket-Protocol: %b\r\n" % offered[1].split(b",")[0].strip() if offered else b""
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n%b\r\n" % (accept_key(key[1].decode()).encode(), echo)
    )


def _refusal(status: bytes, headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 %b\r\n%bContent-Length: 0\r\nConnection: close\r\n\r\n" % (status, headers)


class ReplayServer:
    """Accept calls and play the application to each; clients get the captured ``calls`` in turn."""

    def __init__(
        self,
        plan: ApplicationPlan,
        calls: Sequence[CapturedCall],
        *,
        limit: int | None = 1,
        on_result: Callable[[ApplicationResult], None] = lambda _: None,
        on_refused: Callable[[str], None] = lambda _: None,
        on_notice: Callable[[CaptureNotice], None] = lambda _: None,
    ) -> None:
        self._plan = plan
        self._next = cycle(calls)
        self._limit = limit
        self._on_result = on_result
        self._on_refused = on_refused
        self._notices = NoticeFilter(on_notice)
        self._accepted = 0
        self._live: set[ReplayedApplication] = set()
        self._handshakes: set[asyncio.Task[object]] = set()
        self._serving: set[asyncio.Task[object]] = set()
        self._over = asyncio.Event()
        self._listening: list[asyncio.Server] = []
        self.totals = ReplayTotals()

    async def start(self, host: str, port: int) -> int:
        """Listen, with port 0 on a free one, and return the port; raises ListenctlError if that fails."""
        sockets = listen(host, port)
        bound: int = sockets[0].getsockname()[1]
        for one in sockets:
            server = await asyncio.start_server(self._serve, sock=one, limit=MAX_HEAD, backlog=BACKLOG)
            self._listening.append(server)
        return bound

    async def wait(self) -> ReplayTotals:
        await self._over.wait()
        for server in self._listening:
            server.close()
        for task in self._handshakes:
            task.cancel()
        while self._serving:
            await asyncio.wait(self._serving)
        return self.totals

    def stop(self) -> None:
        self._limit = 0
        self._over.set()
        for call in list(self._live):
            call.stop()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        self._handshakes.add(task)
        try:
            await answer_upgrade(reader, writer, self._plan.authorization, full=self._is_full)
            self._handshakes.discard(task)
            await self._play(reader, writer)
        except RequestRefused as exc:
            self._on_refused(str(exc))
            writer.write(exc.answer)
        finally:
            self._handshakes.discard(task)
            await _close(writer)
            self._serving.discard(task)

    def _is_full(self) -> bool:
        return self._limit is not None and self._accepted >= self._limit

    async def _play(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._accepted += 1
        call = next(self._next)
        result = ApplicationResult(call=call.number, caller=self._accepted)
        playing = ReplayedApplication(self._plan, call, result, reader=reader, writer=writer)
        self._live.add(playing)
        try:
            await playing.run()
        except ListenctlError as exc:
            result.error = str(exc)
        finally:
            self._live.discard(playing)
            self._notices.report(playing.notices)
            self.totals.add_result(result)
            self._on_result(result)
            if self._is_full() and not self._live:
                self._over.set()


async def _close(writer: asyncio.StreamWriter) -> None:
    """Close a connection; a client that doesn't read can't keep it open."""
    writer.close()
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await writer.wait_closed()
    except (OSError, TimeoutError):
        writer.transport.abort()
