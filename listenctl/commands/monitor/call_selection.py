"""The live calls that are played: the selected call, those added to it, or all."""


class CallSelection:
    """The calls of a monitor, oldest first, and which of them are played."""

    def __init__(self, *, every: bool = False) -> None:
        self.calls: list[str] = []
        self._every = every  # play all calls, including later ones
        self._selected: str | None = None
        self._added: set[str] = set()

    @property
    def played(self) -> list[str]:
        """The calls that are played, from left to right."""
        return [call for call in self.calls if self._every or call == self._selected or call in self._added]

    def add_call(self, call: str) -> None:
        """Add a live call; the first one is selected."""
        if call not in self.calls:
            self.calls.append(call)
        self._selected = self._selected or call

    def remove_call(self, call: str) -> None:
        """Remove a call; if no other call is played, select the next one."""
        if call not in self.calls:
            return
        at = self.calls.index(call)
        self.calls.remove(call)
        self._added.discard(call)
        if call == self._selected:
            others = self.played or self.calls[at:] or self.calls[-1:]
            self._selected = others[0] if others else None
            self._added.discard(others[0] if others else "")

    def select_relative(self, steps: int) -> None:
        """Select only the call ``steps`` after the selected one, wrapping around at the end."""
        if self._selected is None:
            return
        at = self.calls.index(self._selected)
        self._selected = self.calls[(at + steps) % len(self.calls)]
        self._added.clear()
        self._every = False

    def add_next_call(self) -> None:
        """Also play the next call that isn't played yet."""
        played = self.played
        if not played or len(played) == len(self.calls):
            return
        at = self.calls.index(played[-1])
        order = self.calls[at:] + self.calls[:at]
        self._added.add(next(call for call in order if call not in played))
