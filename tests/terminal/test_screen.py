"""What is written to put the live view on a terminal, byte for byte."""

import io
import os
import pty
import select
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress

import pytest

from listenctl.terminal.printable_text import TextStyle
from listenctl.terminal.screen import Screen, TerminalSize, can_draw, terminal_size
from tests.helpers.simulated_time import FakeClock

BEGIN = "\x1b[?2026h\x1b[?25l"
END = "\x1b[?2026l"
IDLE = ("ws://h/", "0 live", "", "waiting for a call")


def cut(lines: Sequence[str], size: TerminalSize) -> list[str]:
    columns, rows = size
    return [line[:columns] for line in lines[:rows]]


class Bench:
    """A screen of a size that can change, on a clock that the test moves, with what was written since last asked."""

    def __init__(self, columns: int = 31, rows: int = 7) -> None:
        self.clock = FakeClock()
        self.size = (columns, rows)
        self._stream = io.StringIO()
        style = TextStyle(color=False)
        self.screen = Screen(self._stream, style, clock=self.clock, size=lambda: self.size)

    def draw(self, lines: Sequence[str], after: float = 0.1) -> str:
        self.clock.advance(after)
        self.screen.draw_lines(lambda size, _: cut(lines, size))
        return self.written()

    def written(self) -> str:
        text = self._stream.getvalue()
        self._stream.seek(0)
        self._stream.truncate()
        return text


def block(*lines: str) -> str:
    return "\x1b[?7l" + "\r\n".join(f"{line}\x1b[K" for line in lines) + f"\x1b[?7h\x1b[{len(lines) - 1}A\r"


IDLE_BLOCK = block(*IDLE)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_first_frame_is_drawn_whole_and_the_cursor_returns_to_its_first_cell() -> None:
    assert Bench().draw(IDLE) == f"{BEGIN}\r\x1b[J{IDLE_BLOCK}{END}"


def test_only_changed_lines_are_rewritten(bench: Bench) -> None:
    bench.draw(IDLE)

    written = bench.draw(("ws://h/", "1 live", *IDLE[2:]))

    assert written == f"{BEGIN}\x1b[?7l\x1b[1B\r1 live\x1b[K\x1b[?7h\x1b[1A\r{END}"


def test_a_frame_that_is_the_same_is_not_written(bench: Bench) -> None:
    bench.draw(IDLE)

    assert bench.draw(IDLE, after=60.0) == ""


def test_ten_frames_a_second_at_most(bench: Bench) -> None:
    drawn = [bench.draw((str(i), *IDLE), after=0.01) != "" for i in range(1000)]

    assert sum(drawn) == pytest.approx(100, abs=1)


def test_late_ticks_do_not_cost_frames(bench: Bench) -> None:
    drawn = [bench.draw((str(i), *IDLE), after=0.09 if i % 2 else 0.11) != "" for i in range(20)]

    assert all(drawn)


def test_lines_above_stay_and_the_meters_follow_below(bench: Bench) -> None:
    bench.draw(IDLE)

    bench.screen.print_above("call-started 7f1c")
    bench.screen.print_above("dtmf 5")

    assert bench.draw(IDLE) == f"{BEGIN}\r\x1b[Jcall-started 7f1c\r\ndtmf 5\r\n{IDLE_BLOCK}{END}"
    assert bench.draw(IDLE) == ""


def test_resize_clears_from_the_first_cell_on(bench: Bench) -> None:
    bench.draw(IDLE)

    bench.size = (21, 7)

    assert bench.draw(IDLE) == f"{BEGIN}\r\x1b[J{IDLE_BLOCK}{END}"


def test_frame_leaves_one_column_and_one_row_free() -> None:
    written = Bench(columns=41, rows=6).draw(["x" * 50] * 30)

    lines = written.split("\x1b[?7l")[1].split("\x1b[?7h")[0].removesuffix("\x1b[K").split("\x1b[K\r\n")
    assert len(lines) == 5
    assert max(map(len, lines)) == 40


def test_a_frame_of_another_height_clears_the_old_one(bench: Bench) -> None:
    bench.draw((*IDLE, *IDLE))

    assert bench.draw(IDLE).startswith(f"{BEGIN}\r\x1b[J")


def test_a_changing_frame_is_drawn_whole_now_and_then(bench: Bench) -> None:
    written = [bench.draw((str(i), *IDLE)) for i in range(60)]

    assert [i for i, text in enumerate(written) if "\x1b[J" in text] == [0, 20, 40]


def test_close_clears_the_meters_prints_what_waits_and_shows_the_cursor(bench: Bench) -> None:
    bench.draw(IDLE)
    bench.screen.print_above("call-ended 7f1c")

    bench.screen.close()

    assert bench.written() == "\r\x1b[Jcall-ended 7f1c\r\n\x1b[?25h"
    bench.screen.close()
    assert bench.written() == ""


def test_a_line_above_breaks_between_words(bench: Bench) -> None:
    bench.screen.print_above("word word word word word word word word")

    bench.screen.close()

    assert bench.written() == "\r\x1b[J" + "word word word word word word\r\n  word word\r\n\x1b[?25h"


def test_cursor_comes_back_after_an_exception(bench: Bench) -> None:
    with suppress(KeyboardInterrupt), closing(bench.screen):
        bench.draw(IDLE)
        raise KeyboardInterrupt

    assert bench.written().endswith("\x1b[?25h")


def test_a_terminal_of_one_row_gets_its_cursor_back() -> None:
    bench = Bench(rows=1)
    bench.screen.print_above("x")
    bench.draw(IDLE)

    bench.screen.close()

    assert bench.written().endswith("\x1b[?25h")


class Gone(io.StringIO):
    def flush(self) -> None:
        raise OSError(5, "Input/output error")


def test_a_terminal_that_is_gone_ends_nothing() -> None:
    clock = FakeClock()
    screen = Screen(Gone(), TextStyle(), clock=clock, size=lambda: (80, 24))

    assert screen.draw_lines(lambda *_: [*IDLE])
    screen.close()


@pytest.fixture
def terminal() -> Iterator[tuple[int, io.TextIOWrapper]]:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w", encoding="utf-8") as stream:
        yield ours, stream
    os.close(ours)


Terminal = tuple[int, io.TextIOWrapper]


def test_meters_need_a_terminal_that_can_move_its_cursor(terminal: Terminal) -> None:
    _, stream = terminal

    assert can_draw(stream, {"TERM": "xterm"})
    assert not can_draw(stream, {"TERM": "dumb"})
    assert not can_draw(stream, {})
    assert not can_draw(io.StringIO(), {"TERM": "xterm"})


def test_a_terminal_without_a_size_counts_as_80_by_24(terminal: Terminal) -> None:
    assert terminal_size(terminal[1]) == (80, 24)
    assert terminal_size(io.StringIO()) == (80, 24)


def test_a_stopped_terminal_is_not_waited_for(terminal: Terminal) -> None:
    _, stream = terminal
    os.set_blocking(stream.fileno(), False)
    # The kernel moves what it was given on a moment later, and then takes more.
    while select.select([], [stream.fileno()], [], 0.05)[1]:
        with suppress(BlockingIOError):
            os.write(stream.fileno(), b"x" * 4096)
    screen = Screen(stream, TextStyle(), clock=FakeClock())

    assert not screen.draw_lines(lambda *_: [*IDLE])
    os.set_blocking(stream.fileno(), True)
    assert os.read(terminal[0], 65536)
