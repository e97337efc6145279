"""Clips that are to be stopped at jambonz, which stops one for each killAudio and goes on with the next."""

from collections.abc import Collection

PATIENCE = 1.0
"""Seconds in which jambonz answers a clip that was stopped; one that it doesn't, never plays."""
AGAIN = 0.06
"""Seconds after which a killAudio is repeated: it may have come before the clip began, and then stops nothing."""
AGAIN_IF_OTHERS_FOLLOW = 0.5
"""The same where it must not stop the clip behind, of whose beginning we learn late."""


class ClipStops:
    """Keep the names of the clips that are being stopped; all times are seconds on one clock."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self._until = self._next = self._every = 0.0

    @property
    def deadline(self) -> float | None:
        """When the next killAudio is due; None if nothing is to be stopped."""
        return min(self._next, self._until) if self.names else None

    def begin(self, names: Collection[str], now: float, *, others_follow: bool) -> None:
        """Stop these, instead of those before; a killAudio has just been sent, or is due by ``hurry``."""
        self.names = set(names)
        self._until = now + PATIENCE
        self._every = AGAIN_IF_OTHERS_FOLLOW if others_follow else AGAIN
        self._next = now + self._every

    def hurry(self, now: float) -> None:
        """Have a killAudio sent now, since one clip has ended."""
        self._next = now

    def is_due(self, now: float) -> bool:
        """Tell whether a killAudio is to be sent, once for each time."""
        due = bool(self.names) and self._next <= now < self._until
        if due:
            self._next = now + self._every
        return due

    def give_up(self, now: float) -> set[str]:
        """Return the clips that should have been answered by now; they are waited for no more."""
        if now < self._until:
            return set()
        given_up, self.names = self.names, set()
        return given_up
