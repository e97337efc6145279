"""Rows of which a live view shows as many as fit, and arrow keys that scroll through the others."""

from listenctl.terminal.printable_text import DIM, TextStyle


class ScrolledRows:
    """Which rows a view shows; without keys it shows the first ones."""

    def __init__(self, *, has_keys: bool = False) -> None:
        self._first = 0
        self._page = 1
        self._hint = " (arrow keys scroll)" if has_keys else ""

    def press_key(self, key: str) -> None:
        """Scroll by a row for an up or down arrow, by a page for a left or right one."""
        match key:
            case "↑":
                self._first -= 1
            case "↓":
                self._first += 1
            case "←":
                self._first -= self._page
            case "→":
                self._first += self._page

    def visible(self, number: int, room: int) -> range:
        """Return the indexes to show of ``number`` rows in ``room`` lines, one of which is for ``count_others``."""
        if number <= room:
            self._first = 0
            return range(number)
        self._page = max(1, room - 1)
        self._first = max(0, min(self._first, number - self._page))
        return range(self._first, min(number, self._first + max(0, room - 1)))

    def count_others(self, shown: range, number: int, columns: int, style: TextStyle) -> list[str]:
        """Return a line that counts the rows above and below those shown, none if all are."""
        if len(shown) == number:
            return []
        more = "…" if style.unicode else "..."
        below = number - shown.stop
        text = f"{more} {shown.start} above, {below} below" if shown.start else f"{more} and {below} more{self._hint}"
        return [style.paint(style.cut(text, columns), DIM)]
