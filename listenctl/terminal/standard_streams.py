"""
stdin, stdout and stderr, which may be closed, or whose reader may be gone.

A closed stream is replaced: otherwise the next file or socket would get its number, and the messages for people.
"""

import errno
import faulthandler
import os
import sys
from contextlib import suppress
from typing import TextIO


def write_line(stream: TextIO, line: str) -> None:
    """Write a line; characters that the encoding lacks are escaped."""
    encoding = stream.encoding or "utf-8"
    stream.write(f"{line}\n".encode(encoding, "backslashreplace").decode(encoding))


def write_text_line(stream: TextIO, line: str) -> None:
    """Write a line of text for people, wrapped as ``wrapped_text`` does."""
    write_line(stream, wrapped_text(stream, line))


def wrapped_text(stream: TextIO, text: str) -> str:
    """Return a text whose lines are wrapped between words if ``stream`` is a terminal."""
    if not stream.isatty():
        return text
    from listenctl.terminal.printable_text import wrap_words
    from listenctl.terminal.screen import terminal_size

    columns, _ = terminal_size(stream)
    return "\n".join(part for line in text.split("\n") for part in wrap_words(line, columns))


def replace_closed_streams() -> None:
    """
    Replace each closed standard stream.

    stdin is empty, stderr discards everything, and writing to stdout fails as before.
    """
    # Each gets the lowest free number, which is its own.
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
    Write to stderr through another descriptor from now on, and discard what libraries write to it.

    PortAudio prints its problems there, from its own thread and in the middle of a live view. Errors of Python itself
    are still printed; a child process that writes to stderr must be given the new descriptor.
    """
    stream = sys.stderr
    own = os.dup(stream.fileno())
    sys.stderr = os.fdopen(own, "w", buffering=1, encoding=stream.encoding, errors="backslashreplace")
    if faulthandler.is_enabled():
        faulthandler.enable(sys.stderr)
    _silence(stream)


def write_stdout(text: str, *, whole: str = "") -> bool:
    """
    Write ``text`` to stdout and flush it; return whether that worked. A problem is reported on stderr.

    Args:
        whole: what the text is, if a reader that is gone has missed all of it, and not only the rest.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as exc:
        discard_stdout(exc)
        if whole and exc.errno == errno.EPIPE:
            write_message(f"stdout: {whole} can't be written: its reader is gone")
        return False
    return True


def write_message(text: str) -> None:
    """Write a message, which may quote a peer or a file, to stderr, if that is possible."""
    from listenctl.terminal.printable_text import printable

    write_to_stderr(wrapped_text(sys.stderr, f"listenctl: {printable(text)}"))


def write_to_stderr(line: str) -> None:
    """Write a line to stderr at once, if that is possible."""
    try:
        write_line(sys.stderr, line)
        sys.stderr.flush()
    except OSError:
        _silence(sys.stderr)


def discard_stdout(problem: OSError) -> None:
    """Report a problem of stdout, and discard what is buffered for it."""
    _silence(sys.stdout)
    # A reader that left has read enough; other problems are news.
    if problem.errno != errno.EPIPE:
        write_message(f"stdout: can't be written: {os.strerror(problem.errno or errno.EIO)}")


def _silence(stream: TextIO) -> None:
    """Discard what is buffered in ``stream``, about which Python would complain at exit."""
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
