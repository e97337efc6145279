"""
Single keypresses from a terminal, such as the keys of a phone.

A terminal belongs to one process group at a time. In the background, changing its settings would stop this process
(SIGTTOU), and so would reading (SIGTTIN); so the terminal is released there, and taken again in the foreground.
"""

import asyncio
import os
import re
import signal
import termios
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO, TypeAlias

from listenctl.protocol.dtmf_digits import DTMF_KEYS

QUIT = "q"

_READ_BYTES = 256
# Sequences of arrow keys, function keys and Alt: an A in one is not a key of the phone.
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O[ -~]|[^\[O])", re.DOTALL)
# Input is read as Latin-1, which has none of these.
_ARROWS = {"A": "↑", "B": "↓", "C": "→", "D": "←"}
_ARROW = re.compile(r"\x1b[\[O]([A-D])")
_MAX_SEQUENCE = 16
_LOCAL_FLAGS, _CHARACTERS = 3, 6

# The list of termios: six numbers and flags, then the control characters.
_Settings: TypeAlias = list[int | list[bytes | int]]


class KeypressReader:
    """
    Read keys from a terminal without echo and without waiting for Enter; Ctrl-C and Ctrl-Z still work.

    ``pause`` and ``close`` restore the settings of the terminal. It needs a running event loop.
    """

    def __init__(
        self,
        fd: int,
        on_digit: Callable[[str], None],
        on_quit: Callable[[], None],
        on_other: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._fd = fd
        self._on_digit = on_digit  # called with each key of a phone: 0 to 9, ``*``, ``#``, A to D
        self._on_quit = on_quit  # called when q is pressed
        self._on_other = on_other  # called with any other key; an arrow key is the arrow character
        self._loop = asyncio.get_running_loop()
        self._saved: _Settings | None = None
        self._rest = ""
        self._wanted = False

    def start(self) -> None:
        """Take the terminal, now if it is ours, and whenever it becomes ours."""
        self._wanted = True
        self._loop.add_signal_handler(signal.SIGCONT, self.resume)
        self.resume()

    def resume(self) -> None:
        """Take the terminal if it is ours and the reader isn't closed."""
        # asyncio may call a signal handler once more after its removal.
        if not self._wanted or not in_foreground(self._fd):
            self._let_go()
            return
        with suppress(termios.error):
            # After a SIGSTOP the settings are still our own, which must not be saved.
            self._saved = self._saved or termios.tcgetattr(self._fd)
            termios.tcsetattr(self._fd, termios.TCSANOW, _unbuffered(termios.tcgetattr(self._fd)))
            self._loop.add_reader(self._fd, self._read)

    def pause(self) -> None:
        """Give the terminal back until ``resume``."""
        self._let_go()
        if self._saved is not None and in_foreground(self._fd):
            with suppress(termios.error):
                # TCSANOW, because a terminal stopped with Ctrl-S never drains.
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
        # A sequence may arrive in two reads; one that never ends is dropped.
        keys, escape, rest = keys.partition("\x1b")
        self._rest = escape + rest if len(rest) < _MAX_SEQUENCE else ""
        for key in keys:
            if key.upper() in DTMF_KEYS:
                self._on_digit(key.upper())
            elif key.lower() == QUIT:
                self._on_quit()
            else:
                self._on_other(key)


def can_read_keys(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # It is closed.
        return False


def in_foreground(fd: int) -> bool:
    """Return whether this process may read and set the terminal; never that of another session."""
    try:
        return os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:
        return False


def _unbuffered(settings: _Settings) -> _Settings:
    """Return ``settings`` without line mode and echo; signals stay enabled."""
    local, characters = settings[_LOCAL_FLAGS], settings[_CHARACTERS]
    assert isinstance(local, int)
    assert isinstance(characters, list)
    changed = [*settings]
    changed[_LOCAL_FLAGS] = local & ~(termios.ICANON | termios.ECHO)
    characters = [*characters]
    characters[termios.VMIN], characters[termios.VTIME] = 1, 0
    changed[_CHARACTERS] = characters
    return changed
