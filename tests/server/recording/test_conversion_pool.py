"""Processes that convert recordings."""

import errno
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from listenctl.errors import ListenctlError
from listenctl.media.files.convert_recording import NO_TAGS, Conversion, ConversionStopped
from listenctl.media.files.wav_header import wav_header
from listenctl.protocol.audio import AudioFormat
from listenctl.server.recording import conversion_pool as module
from listenctl.server.recording.conversion_pool import ConversionPool
from listenctl.server.recording.conversion_worker import ConversionRequest
from listenctl.terminal.stop_signals import STOP_SIGNALS

GENEROUS = 60.0


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    path = tmp_path / "a.wav"
    path.write_bytes(wav_header(AudioFormat(8000, 1), 320_000) + bytes(320_000))
    return path


@contextmanager
def conversion_pool() -> Iterator[ConversionPool]:
    pool = ConversionPool()
    try:
        yield pool
    finally:
        pool.close()


class FakeConverter:
    """Takes the place of a process; ``work`` is what a conversion does."""

    work: Callable[[], object]
    started = 0

    def __init__(self) -> None:
        FakeConverter.started += 1

    def convert(self, request: ConversionRequest) -> Conversion:
        FakeConverter.work()
        return Conversion(request.target)

    def has_ended(self) -> bool:
        return False

    def stop(self) -> None: ...

    def wait(self) -> None: ...


def raise_next(errors: Iterator[Exception]) -> None:
    """Raise the next of ``errors``; return once there are no more."""
    for error in errors:
        raise error


def begin_and_wait(begun: threading.Event, released: threading.Event) -> None:
    begun.set()
    released.wait(GENEROUS)


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> type[FakeConverter]:
    monkeypatch.setattr(module, "_Converter", FakeConverter)
    monkeypatch.setattr(FakeConverter, "started", 0)
    return FakeConverter


def test_a_signal_that_stops_the_server_does_not_end_a_conversion(wav: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Signalled(subprocess.Popen[bytes]):
        def __init__(self, *args: object, **options: object) -> None:
            super().__init__(*args, **options)  # type: ignore[call-overload]
            for number in STOP_SIGNALS:
                self.send_signal(number)

    monkeypatch.setattr(subprocess, "Popen", Signalled)
    target = wav.with_suffix(".flac")

    with conversion_pool() as pool:
        # One comes before the process has imported anything, the other when it is ready.
        assert pool.convert(wav, target, "flac", NO_TAGS).path == target
        target.unlink()
        for number in STOP_SIGNALS:
            pool._converters[0]._process.send_signal(number)
        assert pool.convert(wav, target, "flac", NO_TAGS).path == target


@pytest.mark.parametrize("begun", [True, False])
def test_conversions_that_are_stopped_keep_the_wav(begun: bool, wav: Path) -> None:
    target = wav.with_suffix(".flac")
    with conversion_pool() as pool:
        if begun:
            assert pool.convert(wav, target, "flac", NO_TAGS).path == target
            target.unlink()
        pool.stop()

        with pytest.raises(ConversionStopped, match=r"a\.wav: is complete, but stays a WAV: the server was stopped"):
            pool.convert(wav, target, "flac", NO_TAGS)
    assert list(wav.parent.iterdir()) == [wav]


def test_a_stop_does_not_wait_for_a_process_that_starts(wav: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    processes: list[subprocess.Popen[bytes]] = []

    with conversion_pool() as pool, ThreadPoolExecutor() as threads:

        class StoppedMeanwhile(subprocess.Popen[bytes]):
            def __init__(self, *args: object, **options: object) -> None:
                super().__init__(*args, **options)  # type: ignore[call-overload]
                processes.append(self)
                threads.submit(pool.stop).result(GENEROUS)

        monkeypatch.setattr(subprocess, "Popen", StoppedMeanwhile)

        with pytest.raises(ConversionStopped):
            pool.convert(wav, wav.with_suffix(".flac"), "flac", NO_TAGS)

    assert [process.returncode for process in processes] == [0]
    assert list(wav.parent.iterdir()) == [wav]


def test_a_close_waits_for_a_process_that_starts(wav: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    starting, released, waited = threading.Event(), threading.Event(), threading.Event()

    class Slow(FakeConverter):
        def __init__(self) -> None:
            begin_and_wait(starting, released)

        def wait(self) -> None:
            waited.set()

    monkeypatch.setattr(module, "_Converter", Slow)

    with conversion_pool() as pool, ThreadPoolExecutor() as threads:
        conversion = threads.submit(pool.convert, wav, wav, "flac", NO_TAGS)
        assert starting.wait(GENEROUS)
        pool.stop()
        closing = threads.submit(pool.close)
        released.set()
        closing.result(GENEROUS)
        assert waited.is_set()
        with pytest.raises(ConversionStopped):
            conversion.result(GENEROUS)


def test_an_idle_process_that_died_is_reaped_and_replaced(wav: Path) -> None:
    target = wav.with_suffix(".flac")
    with conversion_pool() as pool:
        pool.convert(wav, target, "flac", NO_TAGS)
        target.unlink()
        died = pool._converters[0]._process
        died.kill()
        os.waitid(os.P_PID, died.pid, os.WEXITED | os.WNOWAIT)

        assert pool.convert(wav, target, "flac", NO_TAGS).path == target
        assert died.returncode == -signal.SIGKILL
        assert len(pool._converters) == 1


def test_a_request_that_a_dying_process_does_not_take_goes_to_a_new_one(wav: Path, fakes: type[FakeConverter]) -> None:
    attempts = iter([BrokenPipeError()])
    fakes.work = lambda: raise_next(attempts)
    with conversion_pool() as pool:
        assert pool.convert(wav, wav, "flac", NO_TAGS).path == wav
        assert len(pool._converters) == 1

    assert fakes.started == 2


def test_a_request_that_no_process_takes_keeps_the_wav(wav: Path, fakes: type[FakeConverter]) -> None:
    attempts = iter([BrokenPipeError(), BrokenPipeError()])
    fakes.work = lambda: raise_next(attempts)
    with conversion_pool() as pool:
        with pytest.raises(ListenctlError, match=r"a\.flac: the process that converts it died; the WAV is kept"):
            pool.convert(wav, wav.with_suffix(".flac"), "flac", NO_TAGS)
        assert not pool._converters

    assert fakes.started == 2


def test_a_process_that_dies_while_it_converts_keeps_the_wav(wav: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = wav.with_suffix(".flac")
    with conversion_pool() as pool:
        with monkeypatch.context() as patch:
            patch.setattr(module, "_WORKER", "import sys; sys.stdin.buffer.read(1)")
            with pytest.raises(ListenctlError, match=r"a\.flac: the process that converts it died; the WAV is kept"):
                pool.convert(wav, target, "flac", NO_TAGS)
        assert list(wav.parent.iterdir()) == [wav]

        assert pool.convert(wav, target, "flac", NO_TAGS).path == target


def test_an_interpreter_that_is_gone_is_named_and_the_wav_kept(wav: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = wav.with_suffix(".flac")
    with conversion_pool() as pool:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "executable", "/gone/python3")
            with pytest.raises(ListenctlError) as failed:
                pool.convert(wav, target, "flac", NO_TAGS)
        assert str(failed.value) == (
            f"{target}: can't be converted: /gone/python3 can't be started: No such file or directory; the WAV is kept"
        )
        assert list(wav.parent.iterdir()) == [wav]

        assert pool.convert(wav, target, "flac", NO_TAGS).path == target


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM, errno.EMFILE])
def test_a_lack_of_processes_or_memory_can_be_retried(
    number: int, wav: Path, fakes: type[FakeConverter], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_to_start() -> FakeConverter:
        raise OSError(number, os.strerror(number))

    fakes.work = lambda: None
    with conversion_pool() as pool:
        with monkeypatch.context() as patch:
            patch.setattr(module, "_Converter", fail_to_start)
            with pytest.raises(OSError, match=os.strerror(number)):
                pool.convert(wav, wav, "flac", NO_TAGS)

        assert pool.convert(wav, wav, "flac", NO_TAGS).path == wav


def test_conversions_have_the_lowest_priority(wav: Path) -> None:
    with conversion_pool() as pool:
        pool.convert(wav, wav.with_suffix(".flac"), "flac", NO_TAGS)

        assert os.getpriority(os.PRIO_PROCESS, pool._converters[0]._process.pid) == 19


def test_an_error_of_a_conversion_keeps_the_process(wav: Path) -> None:
    target = wav.with_suffix(".flac")
    target.write_bytes(b"precious")
    with conversion_pool() as pool:
        with pytest.raises(ListenctlError, match="File exists"):
            pool.convert(wav, target, "flac", NO_TAGS)
        target.unlink()

        assert pool.convert(wav, target, "flac", NO_TAGS).path == target
        assert len(pool._converters) == 1


@contextmanager
def two_conversions(
    wav: Path, fakes: type[FakeConverter], monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[ConversionPool, Future[Conversion], Future[Conversion], threading.Event]]:
    """Yield a pool with a conversion that lasts until the event is set, and one that waits for its process."""
    monkeypatch.setattr(module, "START_ANOTHER_AFTER", GENEROUS)
    begun, released = threading.Event(), threading.Event()
    fakes.work = partial(begin_and_wait, begun, released)
    with conversion_pool() as pool, ThreadPoolExecutor() as threads:
        first = threads.submit(pool.convert, wav, wav, "flac", NO_TAGS)
        assert begun.wait(GENEROUS)
        yield pool, first, threads.submit(pool.convert, wav, wav, "flac", NO_TAGS), released


def test_a_busy_process_is_waited_for(wav: Path, fakes: type[FakeConverter], monkeypatch: pytest.MonkeyPatch) -> None:
    with two_conversions(wav, fakes, monkeypatch) as (_, first, second, released):
        released.set()
        assert (first.result().path, second.result().path) == (wav, wav)

    assert fakes.started == 1


def test_what_runs_and_what_became_of_the_others_is_counted(
    wav: Path, fakes: type[FakeConverter], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, released = threading.Event(), threading.Event()
    pool = ConversionPool()
    monkeypatch.setattr(fakes, "work", partial(begin_and_wait, begun, released))

    with ThreadPoolExecutor() as threads:
        conversion = threads.submit(pool.convert, wav, wav, "flac", NO_TAGS)
        begun.wait(GENEROUS)
        running = pool.running
        released.set()
        conversion.result(GENEROUS)
    monkeypatch.setattr(fakes, "work", partial(raise_next, iter([ValueError()])))
    with pytest.raises(ListenctlError):
        pool.convert(wav, wav, "flac", NO_TAGS)
    pool.stop()
    with pytest.raises(ConversionStopped):
        pool.convert(wav, wav, "flac", NO_TAGS)

    assert (running, pool.running) == (1, 0)
    assert pool.results == {"done": 1, "failed": 1, "stopped": 1}


def test_a_process_that_is_busy_for_long_gets_another_beside_it(
    wav: Path, fakes: type[FakeConverter], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "START_ANOTHER_AFTER", 0.0)
    # Passed only by two conversions at the same time.
    barrier = threading.Barrier(2, timeout=GENEROUS)
    fakes.work = barrier.wait

    with conversion_pool() as pool, ThreadPoolExecutor() as threads:
        for conversion in [threads.submit(pool.convert, wav, wav, "flac", NO_TAGS) for _ in range(2)]:
            assert conversion.result().path == wav

    assert fakes.started == 2


def test_whoever_waits_for_a_process_is_stopped_too(
    wav: Path, fakes: type[FakeConverter], monkeypatch: pytest.MonkeyPatch
) -> None:
    with two_conversions(wav, fakes, monkeypatch) as (pool, first, second, released):
        pool.stop()
        with pytest.raises(ConversionStopped):
            second.result(GENEROUS)
        released.set()
        assert first.result().path == wav


def test_the_processes_end_with_a_server_that_is_killed(wav: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from listenctl.server.recording.conversion_pool import ConversionPool\n"
        "wav = Path(sys.argv[1])\n"
        "ConversionPool().convert(wav, wav.with_suffix('.flac'), 'flac', {})\n"
        "print('converted', flush=True)\n"
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(wav)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as server:
        assert server.stdout is not None
        assert server.stderr is not None
        assert server.stdout.readline() == b"converted\n"
        server.kill()

        # The process that converts has the same stderr, which ends when both have.
        assert server.stderr.read() == b""


def test_a_request_of_a_server_that_is_gone_leaves_only_the_wav(wav: Path) -> None:
    request = ConversionRequest(wav, wav.with_suffix(".flac"), "flac", dict(NO_TAGS))

    done = subprocess.run(
        [sys.executable, "-c", module._WORKER, *sys.path], input=pickle.dumps(request), capture_output=True, check=True
    )

    answer = pickle.loads(done.stdout)
    assert isinstance(answer, ConversionStopped)
    assert "stays a WAV" in str(answer)
    assert list(wav.parent.iterdir()) == [wav]
