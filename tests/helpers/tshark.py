"""Captures as Wireshark reads them."""

import subprocess
from pathlib import Path


def tshark(path: Path, *arguments: str) -> str:
    run = subprocess.run(["tshark", "-n", "-r", path, *arguments], capture_output=True, text=True, check=True)
    return run.stdout


def followed(path: Path, number: int = 0) -> tuple[bytes, bytes]:
    """Return the data of both ends of a connection, first that of the first sender; gaps are in Wireshark's words."""
    shown = tshark(path, "-q", "-z", f"follow,tcp,raw,{number}")
    lines = shown.partition("Node 1: ")[2].splitlines()[1:]
    lines = lines[: next(index for index, line in enumerate(lines) if line.startswith("="))]
    one = b"".join(bytes.fromhex(line) for line in lines if not line.startswith("\t"))
    other = b"".join(bytes.fromhex(line) for line in lines if line.startswith("\t"))
    # Wireshark's words end with a NUL.
    return one.replace(b"capture file]\0", b"capture file]"), other.replace(b"capture file]\0", b"capture file]")
