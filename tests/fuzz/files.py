"""Inputs as files, for what opens them by name."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory


def written(data: bytes, name: str) -> Path:
    """Write an input down, in place of the one before it."""
    path = Path(_folder().name) / name
    path.write_bytes(data)
    return path


@cache
def _folder() -> TemporaryDirectory[str]:
    """Return a folder that goes with the process."""
    return TemporaryDirectory()
