"""Audio that came and that nobody has any more: what a capture lacks."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unheard:
    """Audio that came after so many bytes: ``samples`` per channel of it, None where that isn't known."""

    after: int
    samples: int | None

    def after_all(self, before: "Unheard | None") -> "Unheard":
        """Return both together, if nothing came between them."""
        if before is None or before.after != self.after:
            return self
        known = self.samples is not None and before.samples is not None
        return Unheard(self.after, (self.samples or 0) + (before.samples or 0) if known else None)
