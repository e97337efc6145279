"""Lines on stdout of commands that have nothing to do but to write them."""

from typing import TextIO


def write_line(stream: TextIO, line: str) -> None:
    """Write a line; what the stream's encoding lacks is escaped."""
    encoding = stream.encoding or "utf-8"
    stream.write(f"{line}\n".encode(encoding, "backslashreplace").decode(encoding))
