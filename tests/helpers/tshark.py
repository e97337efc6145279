"""Wireshark's opinion of a capture."""

import subprocess
from pathlib import Path


def tshark(path: Path, *arguments: str) -> str:
    """Return what tshark prints about a capture."""
    run = subprocess.run(["tshark", "-n", "-r", path, *arguments], capture_output=True, text=True, check=True)
    return run.stdout


def followed(path: Path, number: int = 0) -> tuple[bytes, bytes]:
    """Return what both ends of a connection said, first the one that spoke first; holes are said in words."""
    shown = tshark(path, "-q", "-z", f"follow,tcp,raw,{number}")
    lines = shown.partition("Node 1: ")[2].splitlines()[1:]
    lines = lines[: next(index for index, line in enumerate(lines) if line.startswith("="))]
    one = b"".join(bytes.fromhex(line) for line in lines if not line.startswith("\t"))
    other = b"".join(bytes.fromhex(line) for line in lines if line.startswith("\t"))
    # Wireshark ends its words with a NUL.
    return one.replace(b"capture file]\0", b"capture file]"), other.replace(b"capture file]\0", b"capture file]")
