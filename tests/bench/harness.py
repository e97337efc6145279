"""Shared by the benchmarks: build the tools, start a recorder, and read its recordings."""

import array
import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("BENCH_CACHE", Path(tempfile.gettempdir()) / "listenctl-bench"))
START_DEADLINE = 20.0
STOP_DEADLINE = 20.0


def build(name: str) -> Path:
    """Return the compiled tool ``name``, built if it is missing or older than its source."""
    binary, source = CACHE / name, HERE / f"{name}.c"
    if not binary.exists() or binary.stat().st_mtime < source.stat().st_mtime:
        CACHE.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cc", "-O3", "-o", binary, source], check=True)
    return binary


def loadgen_command(*, port: int, calls: int, seconds: float, rate: int, channels: int) -> list[str]:
    """Return the command that places ``calls`` calls of ``seconds`` seconds to the recorder at ``port``."""
    return [str(build("loadgen")), "127.0.0.1", *map(str, (port, calls, seconds, rate, channels))]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def recorder(command: list[str], *, port: int, out: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a recorder, with ``{port}`` and ``{out}`` filled in; the block starts when its port is open."""
    filled = [word.replace("{port}", str(port)).replace("{out}", str(out)) for word in command]
    with log.open("wb") as output:
        process = subprocess.Popen(
            filled, stdout=output, stderr=output, stdin=subprocess.DEVNULL, start_new_session=True
        )
    try:
        _wait_until_open(port, process)
        yield process
    finally:
        _stop(process)


def recordings(out: Path, call: int) -> list[Path]:
    """Return the recordings of one call, which are named after its callSid."""
    return [path for path in out.rglob(f"*load-{call:05d}*") if path.suffix in (".wav", ".raw")]


def values_of(data: bytes) -> Sequence[int]:
    """Return the 16-bit values in ``data``, in the byte order of the machine, as loadgen writes them."""
    values = array.array("H")
    values.frombytes(data[: len(data) & ~1])
    return values


def first_wrong_value(values: Sequence[int], call: int) -> int | None:
    """Return the position of the first value that differs from what loadgen sent."""
    return next((k for k, value in enumerate(values) if value != (k * 7 + call) & 0xFFFF), None)


def _wait_until_open(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_DEADLINE
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"{process.args!r} ended at once with status {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise SystemExit(f"{process.args!r} did not open its port within {START_DEADLINE:.0f} s")


def _stop(process: subprocess.Popen[bytes]) -> None:
    for stop in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, stop)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_DEADLINE)
            return
