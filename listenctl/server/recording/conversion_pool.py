"""Convert recordings in processes of their own, so that no call waits for an encoder."""

import errno
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from listenctl.errors import ListenctlError
from listenctl.media.files.convert_recording import Conversion, ConversionStopped
from listenctl.server.recording.conversion_worker import ConversionRequest
from listenctl.terminal.stop_signals import STOP_SIGNALS

START_ANOTHER_AFTER = 1.0
"""Seconds to wait for a busy process: to start one takes ten times as long as to convert most calls to FLAC."""

# With the module path of this process, as multiprocessing does it, and without the working directory. The lowest
# priority comes first: the imports take longer than most conversions, and live calls go before them.
_WORKER = (
    "import os, sys; os.nice(19); sys.path[:] = sys.argv[1:]; "
    "from listenctl.server.recording.conversion_worker import serve_conversions; serve_conversions()"
)

# Too many processes, or too little memory.
_PASSING_ERRORS = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)


class ConversionPool:
    """Used by several threads; there are never more processes than threads that convert at the same time."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._converters: list[_Converter] = []
        self._idle: list[_Converter] = []
        self._starting = 0  # processes that are being started, without the lock, and are not in ``_converters`` yet
        self._stopped = False
        self.results: Counter[str] = Counter(dict.fromkeys(("done", "failed", "stopped"), 0))

    @property
    def running(self) -> int:
        """Conversions that run now, as far as is known without the lock."""
        return max(0, len(self._converters) - len(self._idle))

    def convert(self, wav: Path, target: Path, kind: str, tags: Mapping[str, str]) -> Conversion:
        """
        Convert ``wav`` at the lowest priority, and wait; if that fails it is kept, and ListenctlError raised: after
        ``stop`` ConversionStopped. OSError means that no process can be started now, and that a later try may work.
        """
        try:
            conversion = self._convert(ConversionRequest(wav, target, kind, dict(tags)))
        except ListenctlError as exc:
            self._count_result("stopped" if isinstance(exc, ConversionStopped) else "failed")
            raise
        self._count_result("done")
        return conversion

    def stop(self) -> None:
        """Stop all conversions soon; their WAVs are kept."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
            for converter in self._converters:
                converter.stop()

    def close(self) -> None:
        """Wait until the processes have ended; nothing is converted any more."""
        self.stop()
        with self._changed:
            self._changed.wait_for(lambda: not self._starting)
            converters = list(self._converters)
        for converter in converters:
            converter.wait()

    def _convert(self, request: ConversionRequest) -> Conversion:
        try:
            answer = self._send_request(request, self._take_converter(request))
        except _RequestNotTaken:
            answer = self._send_request(request, self._take_converter(request, new=True))
        if isinstance(answer, ListenctlError):
            raise answer
        return answer

    def _count_result(self, result: str) -> None:
        with self._changed:
            self.results[result] += 1

    def _send_request(self, request: ConversionRequest, converter: "_Converter") -> Conversion | ListenctlError:
        """Wait for the answer; ``converter`` is idle afterwards, or removed."""
        try:
            answer = converter.convert(request)
        except (OSError, ValueError, EOFError, pickle.UnpicklingError) as exc:
            self._remove(converter)
            if self._stopped:
                raise ConversionStopped(request.wav, request.kind) from exc
            text = f"{request.target}: the process that converts it died; the WAV is kept"
            # Only a write raises BrokenPipeError.
            raise (_RequestNotTaken if isinstance(exc, BrokenPipeError) else ListenctlError)(text) from exc
        with self._changed:
            self._idle.append(converter)
            self._changed.notify()
        return answer

    def _take_converter(self, request: ConversionRequest, *, new: bool = False) -> "_Converter":
        with self._changed:
            self._drop_ended()
            if (self._converters or self._starting) and not new:
                self._changed.wait_for(lambda: self._idle or self._stopped, START_ANOTHER_AFTER)
            if self._stopped:
                raise ConversionStopped(request.wav, request.kind)
            if self._idle and not new:
                return self._idle.pop()
            self._starting += 1
        return self._add_converter(request)

    def _add_converter(self, request: ConversionRequest) -> "_Converter":
        """Start a process without the lock, because ``stop`` is called on the event loop and takes it."""
        converter: _Converter | None = None
        try:
            converter = _start_converter(request.target)
        finally:
            with self._changed:
                self._starting -= 1
                if converter is not None:
                    self._converters.append(converter)
                    if self._stopped:
                        converter.stop()
                self._changed.notify_all()
        if self._stopped:
            raise ConversionStopped(request.wav, request.kind)
        return converter

    def _drop_ended(self) -> None:
        """Forget idle processes that have died, for example because memory ran out."""
        for converter in [idle for idle in self._idle if idle.has_ended()]:
            self._idle.remove(converter)
            self._converters.remove(converter)
            converter.stop()
            converter.wait()

    def _remove(self, converter: "_Converter") -> None:
        with self._changed:
            self._converters.remove(converter)
            self._changed.notify_all()
        converter.stop()
        converter.wait()


def _start_converter(target: Path) -> "_Converter":
    try:
        return _Converter()
    except OSError as exc:
        if exc.errno in _PASSING_ERRORS:
            raise
        problem = f"{sys.executable} can't be started: {exc.strerror or exc}"
        raise ListenctlError(f"{target}: can't be converted: {problem}; the WAV is kept") from exc


class _RequestNotTaken(ListenctlError):
    """The process died before it had read the request, so another one can convert the WAV."""


class _Converter:
    """A process, used by one thread at a time."""

    def __init__(self) -> None:
        # It inherits that they are blocked: a signal to the process group, or to all of a closed terminal, is for the
        # server, which waits for the conversion.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _WORKER, *sys.path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                # OpenBLAS starts a thread for each core when numpy is imported.
                env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    def convert(self, request: ConversionRequest) -> Conversion | ListenctlError:
        """Wait for the answer; OSError, ValueError, EOFError or UnpicklingError means that there is none."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        pickle.dump(request, self._process.stdin)
        self._process.stdin.flush()
        answer: Conversion | ListenctlError = pickle.load(self._process.stdout)
        return answer

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def stop(self) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()

    def wait(self) -> None:
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process.wait()
