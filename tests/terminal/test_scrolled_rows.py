"""Which rows are shown when they don't all fit."""

import pytest

from listenctl.terminal.printable_text import TextStyle
from listenctl.terminal.scrolled_rows import ScrolledRows

PLAIN = TextStyle(color=False)


def look(rows: ScrolledRows, number: int, room: int) -> tuple[list[int], list[str]]:
    shown = rows.visible(number, room)
    return list(shown), rows.count_others(shown, number, 40, PLAIN)


@pytest.mark.parametrize(
    ("keys", "shown", "others"),
    [
        ("", [0, 1, 2], "… and 7 more (arrow keys scroll)"),
        ("↓", [1, 2, 3], "… 1 above, 6 below"),
        ("↓↓↑", [1, 2, 3], "… 1 above, 6 below"),
        ("→", [3, 4, 5], "… 3 above, 4 below"),
        ("→←", [0, 1, 2], "… and 7 more (arrow keys scroll)"),
        ("↑↑", [0, 1, 2], "… and 7 more (arrow keys scroll)"),
        ("→→→→→", [7, 8, 9], "… 7 above, 0 below"),
        ("5", [0, 1, 2], "… and 7 more (arrow keys scroll)"),
    ],
)
def test_arrows_scroll_by_rows_and_pages(keys: str, shown: list[int], others: str) -> None:
    rows = ScrolledRows(has_keys=True)
    look(rows, 10, 4)

    for key in keys:
        rows.press_key(key)

    assert look(rows, 10, 4) == (shown, [others])


def test_keys_beyond_the_end_are_not_remembered() -> None:
    rows = ScrolledRows(has_keys=True)
    for _ in range(5):
        rows.press_key("→")
        look(rows, 10, 4)

    rows.press_key("↑")

    assert look(rows, 10, 4)[0] == [6, 7, 8]


def test_rows_that_end_or_a_larger_terminal_scroll_back() -> None:
    rows = ScrolledRows()
    look(rows, 10, 4)
    rows.press_key("→")

    assert look(rows, 5, 4) == ([2, 3, 4], ["… 2 above, 0 below"])
    assert look(rows, 5, 5) == ([0, 1, 2, 3, 4], [])
    assert look(rows, 10, 4) == ([0, 1, 2], ["… and 7 more"])


@pytest.mark.parametrize(("room", "others"), [(0, 1), (1, 1)])
def test_without_room_nothing_breaks(room: int, others: int) -> None:
    shown, line = look(ScrolledRows(), 3, room)

    assert (shown, len(line)) == ([], others)
