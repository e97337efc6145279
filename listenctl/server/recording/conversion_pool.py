"""Convert recordings in processes of their own, so that no call waits for an encoder."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from pathlib import Path

from listenctl.errors import ListenctlError
from listenctl.media.files.convert_recording import Conversion, convert_wav
from listenctl.terminal.stop_signals import STOP_SIGNALS

CONVERTERS = 2


def convert_in_background(wav: Path, target: Path, kind: str, tags: Mapping[str, str]) -> Conversion:
    """Convert ``wav`` at the lowest priority, and wait for it; if that fails it is kept, and ListenctlError raised."""
    try:
        return _converters().submit(convert_wav, wav, target, kind, dict(tags)).result()
    except BrokenProcessPool as exc:
        _converters.cache_clear()
        raise ListenctlError(f"{target}: the process that converts it died; the WAV is kept") from exc


@cache
def _converters() -> ProcessPoolExecutor:
    # Forking a process with threads is not safe, hence spawn.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(max_workers=CONVERTERS, mp_context=context, initializer=_begin_worker)


def _begin_worker() -> None:
    os.nice(19)
    # A signal to the process group, or to all of a closed terminal, is for the server, which waits for the conversion.
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
