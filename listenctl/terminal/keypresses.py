"""
Keys of the terminal as keys of the telephone, each as it is pressed.

A terminal belongs to one process group at a time. Out of the foreground even asking it for its settings to change would
stop us (SIGTTOU), and so would reading (SIGTTIN); so it is let go there, and taken again when we come back.
"""

import asyncio
import os
import re
import signal
import termios
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO, TypeAlias

QUIT = "q"

_DIGITS = frozenset("0123456789*#ABCD")
_READ_BYTES = 256
# What arrow and function keys send, and Alt with a key: an A in it is no key of the telephone.
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O[ -~]|[^\[O])", re.DOTALL)
# A terminal sends Latin-1 as we read it, and these are none of it.
_ARROWS = {"A": "↑", "B": "↓", "C": "→", "D": "←"}
_ARROW = re.compile(r"\x1b[\[O]([A-D])")
_MAX_SEQUENCE = 16
_LOCAL_FLAGS, _CHARACTERS = 3, 6

# As termios has them: six numbers and flags, then the control characters.
_Settings: TypeAlias = list[int | list[bytes | int]]


class KeypressReader:
    """
    Read keys from a terminal, unechoed and without waiting for Enter; Ctrl-C and Ctrl-Z still work.

    What was set on the terminal comes back with ``pause`` and ``close``. To be used in a running event loop.

    Args:
        on_digit: called with each key of a telephone: 0 to 9, ``*``, ``#``, A to D.
        on_quit: called when q is pressed.
        on_other: called with each other key, an arrow being the character that looks like it.
    """

    def __init__(
        self,
        fd: int,
        on_digit: Callable[[str], None],
        on_quit: Callable[[], None],
        on_other: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._fd = fd
        self._on_digit = on_digit
        self._on_quit = on_quit
        self._on_other = on_other
        self._loop = asyncio.get_running_loop()
        self._saved: _Settings | None = None
        self._rest = ""
        self._wanted = False

    def start(self) -> None:
        """Take the terminal, now if it is ours, and whenever it becomes ours again."""
        self._wanted = True
        self._loop.add_signal_handler(signal.SIGCONT, self.resume)
        self.resume()

    def resume(self) -> None:
        """Take the terminal if it is ours and hasn't been given back for good."""
        # asyncio may call a handler of a signal once more after it was removed.
        if not self._wanted or not in_foreground(self._fd):
            self._let_go()
            return
        with suppress(termios.error):
            # Whoever stopped us without our knowing (SIGSTOP) brings our own settings back, which are none to save.
            self._saved = self._saved or termios.tcgetattr(self._fd)
            termios.tcsetattr(self._fd, termios.TCSANOW, _unbuffered(termios.tcgetattr(self._fd)))
            self._loop.add_reader(self._fd, self._read)

    def pause(self) -> None:
        """Give the terminal back until ``resume``."""
        self._let_go()
        if self._saved is not None and in_foreground(self._fd):
            with suppress(termios.error):
                # At once, because a terminal that was stopped with Ctrl-S never drains.
                termios.tcsetattr(self._fd, termios.TCSANOW, self._saved)
            self._saved = None

    def close(self) -> None:
        """Give the terminal back for good."""
        self._wanted = False
        self._loop.remove_signal_handler(signal.SIGCONT)
        self.pause()

    def _let_go(self) -> None:
        self._loop.remove_reader(self._fd)
        self._rest = ""

    def _read(self) -> None:
        if not in_foreground(self._fd):
            self._let_go()
            return
        try:
            data = os.read(self._fd, _READ_BYTES)
        except OSError:
            data = b""
        if not data:  # The terminal is gone.
            self._let_go()
            return
        self._press(data.decode("latin-1"))

    def _press(self, text: str) -> None:
        keys = _SEQUENCE.sub("", _ARROW.sub(lambda found: _ARROWS[found[1]], self._rest + text))
        # A sequence may come in two reads; one that doesn't end is none.
        keys, escape, rest = keys.partition("\x1b")
        self._rest = escape + rest if len(rest) < _MAX_SEQUENCE else ""
        for key in keys:
            if key.upper() in _DIGITS:
                self._on_digit(key.upper())
            elif key.lower() == QUIT:
                self._on_quit()
            else:
                self._on_other(key)


def can_read_keys(stream: TextIO) -> bool:
    """Say whether ``stream`` is a terminal that can be read key by key."""
    try:
        return stream.isatty()
    except ValueError:  # It is closed.
        return False


def in_foreground(fd: int) -> bool:
    """Say whether the terminal behind ``fd`` is ours to read and set; that of another session never is."""
    try:
        return os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:
        return False


def _unbuffered(settings: _Settings) -> _Settings:
    """Return ``settings`` with neither lines nor echo; signals stay."""
    local, characters = settings[_LOCAL_FLAGS], settings[_CHARACTERS]
    assert isinstance(local, int)
    assert isinstance(characters, list)
    changed = [*settings]
    changed[_LOCAL_FLAGS] = local & ~(termios.ICANON | termios.ECHO)
    characters = [*characters]
    characters[termios.VMIN], characters[termios.VTIME] = 1, 0
    changed[_CHARACTERS] = characters
    return changed
