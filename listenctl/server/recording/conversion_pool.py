"""Convert recordings in processes of their own, so that no call waits for an encoder."""

import os
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from listenctl.errors import ListenctlError
from listenctl.media.files.convert_recording import Conversion, convert_wav
from listenctl.terminal.stop_signals import STOP_SIGNALS

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing.synchronize import Event

CONVERTERS = 2


class ConversionPool:
    """Used by several threads; the processes start with the first conversion."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool: ProcessPoolExecutor | None = None
        self._stop: Event | None = None  # set for the processes that are to stop
        self._stopped = False

    def convert(self, wav: Path, target: Path, kind: str, tags: Mapping[str, str]) -> Conversion:
        """Convert ``wav`` at the lowest priority, and wait; if that fails it is kept, and ListenctlError raised."""
        from concurrent.futures.process import BrokenProcessPool

        pool = self._open(target)
        try:
            return pool.submit(_convert, wav, target, kind, dict(tags)).result()
        except BrokenProcessPool as exc:
            with self._lock:
                if self._pool is pool:
                    self._pool = None
            raise ListenctlError(f"{target}: the process that converts it died; the WAV is kept") from exc

    def stop(self) -> None:
        """Stop all conversions soon; their WAVs are kept."""
        with self._lock:
            self._stopped = True
            if self._stop is not None:
                self._stop.set()

    def _open(self, target: Path) -> "ProcessPoolExecutor":
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        with self._lock:
            if self._stopped:
                raise ListenctlError(f"{target}: the server was stopped before it was converted; the WAV is kept")
            if self._pool is None:
                # Forking a process with threads is not safe, hence spawn.
                context = multiprocessing.get_context("spawn")
                self._stop = context.Event()
                self._pool = ProcessPoolExecutor(
                    CONVERTERS, mp_context=context, initializer=_begin_worker, initargs=(self._stop,)
                )
            return self._pool


# The rest runs in the processes.

_stop_of_worker: "Event | None" = None


def _convert(wav: Path, target: Path, kind: str, tags: Mapping[str, str]) -> Conversion:
    stop = _stop_of_worker
    return convert_wav(wav, target, kind, tags, is_stopped=lambda: stop is not None and stop.is_set())


def _begin_worker(stop: "Event") -> None:
    global _stop_of_worker  # noqa: PLW0603 - an initializer has no other way to leave something for its process
    _stop_of_worker = stop
    os.nice(19)
    # A signal to the process group, or to all of a closed terminal, is for the server, which waits for the conversion.
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    import multiprocessing

    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
