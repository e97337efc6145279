"""
stdin, stdout and stderr, which whoever starts us may have closed, or may have led to where nothing more can be written.

A closed one is replaced: otherwise the next file or socket would get its number, and with it what is meant for people.
"""

import errno
import faulthandler
import os
import sys
from contextlib import suppress
from typing import TextIO


def write_line(stream: TextIO, line: str) -> None:
    """Write a line; what the stream's encoding lacks is escaped."""
    encoding = stream.encoding or "utf-8"
    stream.write(f"{line}\n".encode(encoding, "backslashreplace").decode(encoding))


def replace_closed_streams() -> None:
    """
    Put something in the place of each standard stream that is closed.

    There is nothing to read from stdin, what goes to stderr vanishes, and writing to stdout fails as it would have.
    """
    # Each takes the lowest number that is free, which is its own.
    if sys.stdin is None:
        sys.stdin = os.fdopen(_reserve(0, os.O_RDONLY), closefd=False)
    if sys.stdout is None:
        sys.stdout = os.fdopen(_reserve(1, os.O_RDONLY), "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(_reserve(2, os.O_WRONLY), "w", closefd=False)


def _reserve(wanted: int, flags: int) -> int:
    fd = os.open(os.devnull, flags)
    if fd != wanted:
        os.dup2(fd, wanted)
        os.close(fd)
    return wanted


def reserve_stderr() -> None:
    """
    Write to stderr by a descriptor of our own from now on, and let what others write to it vanish.

    PortAudio writes what it stumbles over there, from a thread of its own and in the middle of what is drawn. What
    goes wrong with Python itself is still seen; a child that is to write to stderr must be given ours.
    """
    stream = sys.stderr
    own = os.dup(stream.fileno())
    sys.stderr = os.fdopen(own, "w", buffering=1, encoding=stream.encoding, errors="backslashreplace")
    if faulthandler.is_enabled():
        faulthandler.enable(sys.stderr)
    _silence(stream)


def write_stdout(text: str) -> bool:
    """Write ``text`` to stdout now; return whether that worked. What was wrong is said on stderr."""
    try:
        sys.stdout.write(text)
    except OSError as exc:
        discard_stdout(exc)
        return False
    return flush_stdout()


def flush_stdout() -> bool:
    """Write what waits for stdout; return whether that worked. What was wrong is said on stderr."""
    try:
        sys.stdout.flush()
    except OSError as exc:
        discard_stdout(exc)
        return False
    return True


def write_message(text: str) -> None:
    """Write a line for people to stderr; where that can't be, nobody is left to be told."""
    try:
        sys.stderr.write(f"listenctl: {text}\n")
        sys.stderr.flush()
    except OSError:
        _silence(sys.stderr)


def discard_stdout(problem: OSError) -> None:
    """Say what is wrong with stdout, and let what still waits for it vanish."""
    _silence(sys.stdout)
    # Whoever read our output and left has had enough; the others don't know yet.
    if problem.errno != errno.EPIPE:
        write_message(f"stdout: can't be written: {os.strerror(problem.errno or errno.EIO)}")


def _silence(stream: TextIO) -> None:
    """Let what still waits in ``stream`` vanish, about which Python would complain at exit."""
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
