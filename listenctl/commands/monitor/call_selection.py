"""Which of the live calls are heard: one that is chosen, those beside it, or all."""


class Selection:
    """
    The calls in the order in which they began, and those of them that are heard.

    Args:
        every: hear all calls, also those that are still to come.
    """

    def __init__(self, *, every: bool = False) -> None:
        self.calls: list[str] = []
        self._every = every
        # Neighbours, as `add` takes them in; the first is the one that was chosen.
        self._first: str | None = None
        self._beside: set[str] = set()

    @property
    def heard(self) -> list[str]:
        """The calls that are heard, left to right."""
        return [call for call in self.calls if self._every or call == self._first or call in self._beside]

    def appear(self, call: str) -> None:
        """Take in a call that is live; if there was none, it is heard."""
        if call not in self.calls:
            self.calls.append(call)
        self._first = self._first or call

    def leave(self, call: str) -> None:
        """Forget a call; if no other was heard beside it, the next one is."""
        if call not in self.calls:
            return
        at = self.calls.index(call)
        self.calls.remove(call)
        self._beside.discard(call)
        if call == self._first:
            others = self.heard or self.calls[at:] or self.calls[-1:]
            self._first = others[0] if others else None
            self._beside.discard(others[0] if others else "")

    def move(self, steps: int) -> None:
        """Hear only the call so many places further on; behind the last comes the first."""
        if self._first is None:
            return
        at = self.calls.index(self._first)
        self._first = self.calls[(at + steps) % len(self.calls)]
        self._beside.clear()
        self._every = False

    def add(self) -> None:
        """Hear the next call that isn't heard yet, too."""
        heard = self.heard
        if not heard or len(heard) == len(self.calls):
            return
        at = self.calls.index(heard[-1])
        order = self.calls[at:] + self.calls[:at]
        self._beside.add(next(call for call in order if call not in heard))
