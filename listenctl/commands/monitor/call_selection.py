"""Which live calls are played: the selected one, those added to it, or all."""


class CallSelection:
    """
    The calls in the order in which they began, and those that are played.

    Args:
        every: play all calls, later ones included.
    """

    def __init__(self, *, every: bool = False) -> None:
        self.calls: list[str] = []
        self._every = every
        # The selected call, and the neighbours added to it.
        self._first: str | None = None
        self._beside: set[str] = set()

    @property
    def heard(self) -> list[str]:
        """The calls that are played, from left to right."""
        return [call for call in self.calls if self._every or call == self._first or call in self._beside]

    def add_call(self, call: str) -> None:
        """Add a live call; the first one is selected."""
        if call not in self.calls:
            self.calls.append(call)
        self._first = self._first or call

    def remove_call(self, call: str) -> None:
        """Remove a call; if it was the only one played, the next one is selected."""
        if call not in self.calls:
            return
        at = self.calls.index(call)
        self.calls.remove(call)
        self._beside.discard(call)
        if call == self._first:
            others = self.heard or self.calls[at:] or self.calls[-1:]
            self._first = others[0] if others else None
            self._beside.discard(others[0] if others else "")

    def select_relative(self, steps: int) -> None:
        """Select only the call that many places further on, wrapping around at the end."""
        if self._first is None:
            return
        at = self.calls.index(self._first)
        self._first = self.calls[(at + steps) % len(self.calls)]
        self._beside.clear()
        self._every = False

    def add_next_call(self) -> None:
        """Also play the next call that isn't played yet."""
        heard = self.heard
        if not heard or len(heard) == len(self.calls):
            return
        at = self.calls.index(heard[-1])
        order = self.calls[at:] + self.calls[:at]
        self._beside.add(next(call for call in order if call not in heard))
