"""
A process that converts recordings, one after the other: pickled requests come on stdin, results leave on stdout.

The server closes stdin to stop it, or dies: both end the conversion that runs, and leave its WAV and nothing else.
"""

import pickle
import select
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from listenctl.errors import ListenctlError
from listenctl.media.files.convert_recording import Conversion, convert_wav


@dataclass(frozen=True, slots=True)
class ConversionRequest:
    """What ``convert_wav`` takes."""

    wav: Path
    target: Path
    kind: str
    tags: Mapping[str, str]


def serve_conversions() -> None:
    is_stopped = _watch_stdin()
    with suppress(EOFError, BrokenPipeError):
        while True:
            request: ConversionRequest = pickle.load(sys.stdin.buffer)
            pickle.dump(_convert(request, is_stopped), sys.stdout.buffer)
            sys.stdout.buffer.flush()


def _watch_stdin() -> Callable[[], bool]:
    """Return what says whether the server wants no more; while a conversion runs, it sends nothing else."""
    poll = select.poll()
    poll.register(sys.stdin, select.POLLIN)
    return lambda: bool(poll.poll(0))


def _convert(request: ConversionRequest, is_stopped: Callable[[], bool]) -> Conversion | ListenctlError:
    try:
        return convert_wav(request.wav, request.target, request.kind, request.tags, is_stopped=is_stopped)
    except ListenctlError as exc:
        return exc
