"""The live view of a server with workers: as that of one process, without the levels, which the parent doesn't know."""

import asyncio
import sys
import time
from collections.abc import Callable
from typing import TextIO

from listenctl.commands.serve.view import CallRow, ServerSnapshot, render_server
from listenctl.server.workers.pool_calls import PoolCall
from listenctl.server.workers.worker_pool import WorkerPool
from listenctl.terminal.keypresses import KeypressReader, can_read_keys
from listenctl.terminal.live_view import LiveView
from listenctl.terminal.printable_text import TextStyle
from listenctl.terminal.scrolled_rows import ScrolledRows


class WorkersView(LiveView):
    def __init__(
        self,
        pool: WorkerPool,
        stream: TextIO,
        style: TextStyle,
        title: str,
        *,
        redact: bool = False,
        unix_clock: Callable[[], float] = time.time,
    ) -> None:
        keys = None
        if can_read_keys(sys.stdin):
            keys = KeypressReader(sys.stdin.fileno(), lambda _: None, lambda: None, self._press_key)
        super().__init__(
            stream, style, lambda size, now: render_server(self._snapshot(), size, now, style, self._scroll), keys
        )
        self._scroll = ScrolledRows(has_keys=keys is not None)
        self._pool = pool
        self._title = title
        self._redact = redact
        # Rows count on the clock of the event loop, calls in Unix time.
        self._unix_offset = unix_clock() - asyncio.get_running_loop().time()

    def _snapshot(self) -> ServerSnapshot:
        calls = self._pool.calls
        return ServerSnapshot(
            url=self._pool.url,
            title=self._title,
            calls_live=len(calls.live),
            calls_total=calls.total,
            calls_failed=calls.broken,
            gap_seconds=calls.gap_seconds,
            recorded_bytes=calls.recorded_bytes,
            recorded_seconds=calls.recorded_seconds,
            calls=[self._row(call) for call in calls.live],
            has_levels=False,
            redacted=self._redact,
        )

    def _row(self, call: PoolCall) -> CallRow:
        started = call.started
        return CallRow(
            id=call.id,
            started=call.started_at - self._unix_offset,
            caller=started.caller or "",
            callee=started.callee or "",
            sample_rate=started.sample_rate,
            mix_type=started.mix_type or ("stereo" if started.channels == 2 else "mono"),
            last_dtmf=call.last_digit,
            gap_seconds=call.gap_seconds,
            recording=str(call.files[0]) if call.files else "",
            warnings=call.warnings,
            lost=call.lost_samples > 0,
            recording_failed=call.recording_failed,
        )

    def _press_key(self, key: str) -> None:
        self._scroll.press_key(key)
