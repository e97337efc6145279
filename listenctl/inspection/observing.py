"""Who looks on while calls are inspected: a timeline, an extraction, a plot."""

from typing import TYPE_CHECKING

from listenctl.capture.captured import CapturedSession, FramesLost
from listenctl.inspection.rules import Violation
from listenctl.protocol.timeline import Entry

if TYPE_CHECKING:
    from listenctl.inspection.report import CallReport


class Observer:
    """
    Look on; what isn't overridden isn't looked at.

    Times are seconds since the session began. Entries and audio come in order of their time, violations when they are
    known, which may be later than they happened.
    """

    def on_opened(self, session: CapturedSession) -> None:
        """Take a session that begins."""

    def on_entry(self, session: CapturedSession, entry: Entry) -> None:
        """Take anything that either side said, audio included."""

    def on_lost(self, session: CapturedSession, at: float, lost: FramesLost) -> None:
        """Take frames that are missing in the capture."""

    def on_audio_out(self, session: CapturedSession, at: float, sample_rate: int, samples: bytes) -> None:
        """Take what the caller hears from ``at`` on of what the application sent, 16 bits; else it hears silence."""

    def on_violation(self, session: CapturedSession, violation: Violation) -> None:
        """Take a rule that was broken."""

    def on_finished(self, session: CapturedSession, report: "CallReport") -> None:
        """Take the report of a session that has ended."""
