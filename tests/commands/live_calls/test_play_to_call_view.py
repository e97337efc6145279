"""Progress of a sound on a terminal."""

import pytest

from listenctl.commands.live_calls.play_to_call_view import render_progress
from listenctl.play_to_call.play_result import PlayProgress
from listenctl.terminal.printable_text import TextStyle, cell_width

PLAIN = TextStyle(color=False, unicode=True)
PLAYING = PlayProgress("playing", 2.7, 2.5, 5.0, 0.2)


def test_line_shows_the_progress() -> None:
    line = render_progress("hello.wav", PLAYING, 80, PLAIN)

    assert line == "playing  0:02.5 / 0:05.0  " + "█" * 20 + "·" * 20 + "  lead 0.20 s"
    assert render_progress("hello.wav", PLAYING, 100, PLAIN).endswith("  lead 0.20 s  hello.wav")


def test_sound_of_unknown_length_has_no_bar() -> None:
    line = render_progress("-", PlayProgress("playing", 2.7, 2.5, None, 0.2), 80, PLAIN)

    assert line == "playing  0:02.5  lead 0.20 s  -"


@pytest.mark.parametrize("columns", range(0, 120, 7))
def test_line_fits_the_terminal(columns: int) -> None:
    line = render_progress("音" * 50, PLAYING, columns, PLAIN)

    assert cell_width(line) <= columns


def test_ascii_style_prints_only_ascii() -> None:
    assert render_progress("a.wav", PLAYING, 80, TextStyle(color=False, unicode=False)).isascii()


def test_control_characters_in_a_name_are_removed() -> None:
    assert "\x1b" not in render_progress("\x1b[31mred", PLAYING, 120, PLAIN)
