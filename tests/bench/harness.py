"""Shared by the benchmarks: build the tools, start a recorder, and read its recordings."""

import argparse
import array
import base64
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from math import inf
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("BENCH_CACHE", Path(tempfile.gettempdir()) / "listenctl-bench"))
START_DEADLINE = 20.0
STOP_DEADLINE = 20.0
SETTLE = 0.5
"""Seconds for a recorder to settle after its port has opened."""
FINISH = 1.0
"""Seconds for a recorder to finish after the last call."""
TICKS = os.sysconf("SC_CLK_TCK")

# Where this is set, as in some containers, each start would compile every module again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def count(text: str) -> int:
    """Return a whole number of 1 or more, the type of options that argparse checks."""
    number = int(text) if text.isdecimal() else 0
    if not number:
        raise argparse.ArgumentTypeError(f"{text!r} isn't a whole number of 1 or more")
    return number


def duration(text: str) -> float:
    """Return seconds above 0, the type of options that argparse checks."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < inf:
        raise argparse.ArgumentTypeError(f"{text!r} isn't a number of seconds above 0")
    return seconds


def interpreter(text: str) -> str:
    """Return an interpreter beside which listenctl is installed, the type of arguments that argparse checks."""
    if not Path(text).with_name("listenctl").is_file():
        raise argparse.ArgumentTypeError(
            f"{text}: listenctl isn't installed beside it; give the Python of an environment with listenctl"
        )
    return text


def build(name: str, *, tls: bool = False) -> Path:
    """Return the compiled tool ``name``, built if it is missing or older than its source."""
    binary, source = CACHE / f"{name}{'-tls' * tls}", HERE / f"{name}.c"
    if not binary.exists() or binary.stat().st_mtime < source.stat().st_mtime:
        CACHE.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cc", "-O3", "-o", binary, source, *(["-DTLS", "-lssl"] if tls else [])], check=True)
    return binary


def loadgen_command(*, port: int, calls: int, seconds: float, rate: int, channels: int, tls: bool = False) -> list[str]:
    """Return the command that places ``calls`` calls of ``seconds`` seconds to the recorder at ``port``."""
    return [str(build("loadgen", tls=tls)), "127.0.0.1", *map(str, (port, calls, seconds, rate, channels))]


def certificate() -> Path:
    """Return a self-signed certificate with its key, made once; a small key keeps handshakes cheap, as is usual."""
    pem = CACHE / "certificate.pem"
    if not pem.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        name = ["-subj", "/CN=localhost", "-days", "3650"]
        subprocess.run(["openssl", "req", "-x509", *curve, *name, "-keyout", pem, "-out", pem], check=True)
    return pem


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


PEERS = ("websockets", "picows", "node", "floor")


def peer_command(name: str, *, tls: bool = False) -> list[str]:
    """Return the command of one peer, after installing what it needs."""
    arguments = ["{port}", "{out}", *(["{cert}"] if tls else [])]
    match name:
        case "floor":
            return [str(build("floor")), "{port}", "{out}", "250"]
        case "node":
            if not (CACHE / "node_modules" / "ws").exists():
                subprocess.run(["npm", "install", "--silent", "--prefix", CACHE, "ws"], check=True)
            script = HERE / "peers" / "node_server.js"
            return ["env", f"NODE_PATH={CACHE / 'node_modules'}", "node", str(script), *arguments]
        case _:
            python = CACHE / "venv" / "bin" / "python"
            if not python.exists():
                subprocess.run([sys.executable, "-m", "venv", CACHE / "venv"], check=True)
                subprocess.run([python, "-m", "pip", "-q", "install", "websockets", "picows", "uvloop"], check=True)
            return [str(python), str(HERE / "peers" / f"{name}_server.py"), *arguments]


def stat_fields(pid: int) -> list[str]:
    """Return the fields of ``/proc/PID/stat`` after the name, which may contain anything."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def tree(pid: int) -> set[int]:
    """Return a process and its descendants."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int(stat_fields(int(entry.name))[1])
            except OSError:
                continue
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found and child not in found}:
        found |= more
    return found


def usage(pid: int) -> tuple[float, int]:
    """Return the CPU seconds and the peak resident kilobytes of a process tree."""
    cpu, memory = 0.0, 0
    for one in tree(pid):
        try:
            times = stat_fields(one)[11:15]
            status = Path(f"/proc/{one}/status").read_text()
        except OSError:
            continue
        cpu += sum(map(int, times)) / TICKS
        memory += int(status.partition("VmHWM:")[2].split()[0])
    return cpu, memory


def cpu_seconds(pid: int) -> float:
    """Return the user and system time that a live process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def recordings(out: Path, call: int) -> list[Path]:
    """Return the recordings or dumps of one call, which are named after its callSid."""
    return [path for path in out.rglob(f"*load-{call:05d}*") if path.suffix in (".wav", ".raw", ".jsonl")]


def values_of(data: bytes) -> Sequence[int]:
    """Return the 16-bit values in ``data``, in the byte order of the machine, as loadgen writes them."""
    values = array.array("H")
    values.frombytes(data[: len(data) & ~1])
    return values


def first_wrong_value(values: Sequence[int], call: int) -> int | None:
    """Return the position of the first value that differs from what loadgen sent."""
    return next((k for k, value in enumerate(values) if value != (k * 7 + call) & 0xFFFF), None)


def audio_of(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix == ".raw":
        return data
    if path.suffix == ".jsonl":
        lines = map(json.loads, data.splitlines())
        return b"".join(base64.b64decode(line["data"]) for line in lines if line.get("opcode") == "binary")
    at = data.find(b"data")
    size = int.from_bytes(data[at + 4 : at + 8], "little")
    return data[at + 8 : at + 8 + size]


def recording_faults(out: Path, calls: int, bytes_per_call: int) -> list[str]:
    """Return the faults of the recordings: missing files, wrong lengths, wrong samples."""
    found = []
    for call in range(calls):
        mine = recordings(out, call)
        if len(mine) != 1:
            found.append(f"call {call}: {len(mine)} recordings")
            continue
        values = values_of(audio_of(mine[0]))
        expected = bytes_per_call // 2
        if len(values) != expected:
            found.append(f"call {call}: {len(values)} samples instead of {expected}")
        elif call % max(1, calls // 50) == 0 and (wrong := first_wrong_value(values, call)) is not None:
            found.append(f"call {call}: sample {wrong} is wrong")
    return found


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
