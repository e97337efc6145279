"""Names that try to do harm, and numbers that people read."""

import io
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from listenctl.terminal.printable_text import (
    TextStyle,
    format_duration,
    format_moment,
    format_rate,
    format_seconds,
    format_size,
    printable,
    truncate,
    wrap_words,
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("15083084809", "15083084809"),
        ("Zoë Müller 日本", "Zoë Müller 日本"),
        ("\x1b[31mred", "�[31mred"),
        ("\x1b]0;title\x07", "�]0;title�"),
        ("\x9b31m", "�31m"),
        ("a\r\nb\tc", "a b c"),
        ("a\u2028b", "a b"),
        ("abc\u202egpj.exe", "abc�gpj.exe"),
        ("a\u2066b\u2069", "a�b�"),
        ("a\u200bb\ufeffc", "a�b�c"),
        ("\ud800", "�"),
        ("\x00\x7f\x80", "���"),
        ("☎\ufe0f", "☎�"),
        ("e\u0301", "e\u0301"),
        ("z" + "\u0335" * 50, "z\u0335\u0335\u0335"),
    ],
)
def test_what_a_terminal_would_obey_is_replaced(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(st.characters()), st.integers(0, 20))
def test_printable_text_is_one_line_that_can_be_encoded_and_fits(text: str, limit: int) -> None:
    shown = printable(text, limit)

    assert cell_len(shown) <= limit
    assert all(character.isprintable() for character in shown)
    assert shown.encode().decode() == shown


def test_printable_without_a_limit_keeps_all() -> None:
    assert printable("x" * 100_000) == "x" * 100_000


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdef", 5, "abcd…"),
        ("abcdef", 1, "…"),
        ("abcdef", 0, ""),
        ("日本語", 5, "日本…"),
        ("日本語", 4, "日…"),
        ("e\u0301e\u0301e\u0301", 2, "e\u0301…"),
    ],
)
def test_truncation_counts_cells(text: str, width: int, shown: str) -> None:
    assert truncate(text, width) == shown


@given(st.text(st.characters()), st.integers(0, 30), st.booleans())
def test_fitted_text_has_exactly_the_width(text: str, width: int, unicode: bool) -> None:
    fitted = TextStyle(unicode=unicode).fit(text, width)

    assert cell_len(fitted) == width
    assert unicode or fitted.isascii()


def test_ascii_terminal_gets_question_marks() -> None:
    assert TextStyle(unicode=False).fit("Zoë\x1b Miller", 8) == "Zo?? Mi~"


def test_paint_needs_colour_and_something_to_see() -> None:
    assert TextStyle(color=True).paint("x", "31") == "\x1b[31mx\x1b[0m"
    assert TextStyle(color=True).paint("  ", "31") == "  "
    assert TextStyle(color=False).paint("x", "31") == "x"


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environ", "encoding", "style"),
    [
        ({"TERM": "xterm"}, "utf-8", TextStyle(color=True, unicode=True)),
        ({"TERM": "xterm", "NO_COLOR": "1"}, "UTF-8", TextStyle(color=False, unicode=True)),
        ({"TERM": "xterm", "NO_COLOR": ""}, "utf_8", TextStyle(color=True, unicode=True)),
        ({"TERM": "xterm"}, "iso-8859-1", TextStyle(color=True, unicode=False)),
        ({"TERM": "dumb"}, "utf-8", TextStyle(color=False, unicode=False)),
        ({}, "utf-8", TextStyle(color=False, unicode=False)),
    ],
)
def test_look_follows_the_terminal(environ: dict[str, str], encoding: str, style: TextStyle) -> None:
    assert TextStyle.of_stream(Terminal(io.BytesIO(), encoding=encoding), environ) == style


def test_no_colour_where_the_stream_is_no_terminal() -> None:
    pipe = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")

    assert TextStyle.of_stream(pipe, {"TERM": "xterm"}) == TextStyle(color=False, unicode=True)


@pytest.mark.parametrize(
    ("form", "shown"),
    [
        (
            format_duration,
            {-3: "0:00", 0: "0:00", 7.9: "0:07", 754: "12:34", 3723: "1:02:03", 360_000: "100:00:00"},
        ),
        (format_moment, {-1.0: "0:00.0", 0.099: "0:00.0", 7.3: "0:07.3", 59.999: "0:59.9", 3601.0: "1:00:01.0"}),
        (format_seconds, {0.34: "0.3 s", 12: "12.0 s", 99.94: "99.9 s", 99.96: "1:39", 125: "2:05"}),
        (
            format_size,
            {0: "0 B", 999: "999 B", 1000: "1.0 kB", 38_200_000: "38.2 MB", 999_960: "1.0 MB", 5e12: "5.0 TB"},
        ),
        (format_rate, {8000: "8k", 44100: "44.1k", 11025: "11k", 64000: "64k"}),
    ],
)
def test_numbers_are_written_for_people(form: Callable[[float], str], shown: dict[float, str]) -> None:
    assert {number: form(number) for number in shown} == shown


@pytest.mark.parametrize(
    ("line", "columns", "wrapped"),
    [
        ("a b c", 5, ["a b c"]),
        ("aa bb cc", 7, ["aa bb", "  cc"]),
        ("aa bb cc dd", 6, ["aa bb", "  cc", "  dd"]),
        ("saved /tmp/7f1c.wav: 1.50 s", 20, ["saved /tmp/7f1c.wav:", "  1.50 s"]),
        ("saved /tmp/7f1c.wav: 1.50 s", 19, ["saved", "  /tmp/7f1c.wav:", "  1.50 s"]),
        ("saved /a/path/longer/than/a/line 1 s", 12, ["saved /a/path/longer/than/a/line", "  1 s"]),
        ("\x1b[31maa bb\x1b[0m cc", 5, ["\x1b[31maa bb\x1b[0m", "  cc"]),
        ("世界 世界", 8, ["世界", "  世界"]),
        ("", 5, [""]),
    ],
)
def test_a_long_line_breaks_between_words(line: str, columns: int, wrapped: list[str]) -> None:
    assert wrap_words(line, columns) == wrapped


@given(st.text("ab ", max_size=60), st.integers(1, 30))
def test_wrapping_keeps_every_word_whole(line: str, columns: int) -> None:
    wrapped = wrap_words(line, columns)

    assert " ".join(wrapped).split() == line.split()
    assert all(len(part) <= columns or max(map(len, part.split()), default=columns) > columns - 2 for part in wrapped)
