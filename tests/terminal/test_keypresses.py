"""Keys of a terminal, through a pseudo-terminal with a shell that stops the job and brings it back."""

import os
import signal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listenctl.terminal.keypresses import KeypressReader, can_read_keys, in_foreground
from tests.helpers.terminals import Terminal, terminal


async def presses(terminal: Terminal, count: int) -> list[str]:
    return [await terminal.hear() for _ in range(count)]


async def test_keys_of_a_telephone_come_at_once_and_others_do_nothing() -> None:
    async with terminal() as ours:
        ours.type(b"1x5*#aD\x1b[A\x1bOB\x1b[15~\xc3\xa99 \r")

        assert await presses(ours, 7) == [f"digit {key}" for key in "15*#AD9"]


@pytest.mark.parametrize("end", ["q", "SIGTERM"])
async def test_the_terminal_is_as_before_when_the_call_has_ended(end: str) -> None:
    async with terminal() as ours:
        if end == "q":
            ours.type(b"q")
        else:
            os.kill(ours.job, signal.SIGTERM)

        assert await ours.hear() == "ended 0"
        assert ours.echoes


async def test_ctrl_z_gives_the_terminal_back_and_fg_takes_it_again() -> None:
    async with terminal() as ours:
        ours.type(b"\x1a")
        assert await ours.hear() == "stopped"
        assert ours.echoes

        ours.order("fg")
        await ours.wait_until_taken()
        ours.type(b"4")

        assert await ours.hear() == "digit 4"


async def test_in_the_background_the_call_goes_on_without_keys() -> None:
    async with terminal() as ours:
        ours.type(b"\x1a")
        assert await ours.hear() == "stopped"

        ours.order("bg")
        ours.type(b"7\n")
        os.kill(ours.job, signal.SIGUSR1)

        # It reads nothing and isn't stopped for asking either.
        assert await ours.hear() == "alive"
        assert ours.echoes
        ours.order("fg")
        assert await ours.hear() == "digit 7"


async def test_settings_survive_a_stop_that_nobody_can_see_coming() -> None:
    async with terminal() as ours:
        os.kill(ours.job, signal.SIGSTOP)
        assert await ours.hear() == "stopped"

        # The terminal is still as the job set it, which is nothing to bring back in the end.
        ours.order("bg")
        ours.order("fg")
        ours.type(b"8q")

        assert await presses(ours, 2) == ["digit 8", "ended 0"]
        assert ours.echoes


class Pressed(KeypressReader):
    """A reader that notes what was pressed, without a terminal."""

    def __init__(self) -> None:
        self.keys = ""
        self._rest = ""
        self._on_digit = self._note
        self._on_quit = lambda: self._note("q")
        self.others = ""
        self._on_other = self._note_other

    def _note(self, key: str) -> None:
        self.keys += key

    def _note_other(self, key: str) -> None:
        self.others += key


def test_other_keys_are_told_of_too_and_arrows_as_what_they_look_like() -> None:
    reader = Pressed()

    for typed in ("n \x1b[A", "\x1bOB1\x1b", "[C\x1b[D", "\x1b[15~\x1bx!"):
        reader._press(typed)

    assert reader.others == "n ↑↓→←!"
    assert reader.keys == "1"


@given(st.lists(st.integers(0, 40)))
def test_sequences_may_come_in_any_pieces(cuts: list[int]) -> None:
    typed = "1\x1b[A2\x1bOC3\x1b[1;5D4\x1ba5\x1b[15~6q"
    bounds = [0, *sorted(min(cut, len(typed)) for cut in cuts), len(typed)]
    reader = Pressed()

    for begin, end in pairwise(bounds):
        reader._press(typed[begin:end])

    assert reader.keys == "123456q"


def test_a_sequence_that_never_ends_does_not_swallow_keys_for_good() -> None:
    reader = Pressed()

    reader._press("\x1b[\x00")
    for key in "1234567890123456789":
        reader._press(key)

    assert reader.keys.endswith("56789")


def test_a_pipe_is_no_keyboard() -> None:
    reader, writer = os.pipe()
    os.close(writer)
    with os.fdopen(reader) as stream:
        assert not can_read_keys(stream)
        assert not in_foreground(reader)

    assert not can_read_keys(stream)
