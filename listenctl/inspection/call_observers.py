"""Who looks on while calls are inspected: a timeline, an extraction, a plot."""

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING

from listenctl.capture.capture_events import CapturedSession, FramesLost
from listenctl.inspection.call_report import CallReport
from listenctl.inspection.rule_catalogue import Violation
from listenctl.protocol.listen_session import AudioReceived, Sender
from listenctl.protocol.timeline import TimelineEntry

if TYPE_CHECKING:
    from listenctl.inspection.call_report import CallReport


@dataclass(frozen=True, slots=True)
class AudioRun:
    """
    Several messages from jambonz of equal size, each whole sample frames.

    Attributes:
        times: when each came.
        position: samples per channel before the first.
        samples: per channel in each.
    """

    times: Sequence[float]
    position: int
    samples: int
    data: bytes

    def entries(self) -> Iterator[TimelineEntry]:
        """Return each as an entry."""
        size = len(self.data) // len(self.times)
        for number, at in enumerate(self.times):
            data = self.data[number * size : (number + 1) * size]
            yield TimelineEntry(at, Sender.JAMBONZ, AudioReceived(self.position + number * self.samples, data))


class CallObserver:
    """
    Look on; what isn't overridden isn't looked at.

    Times are seconds since the session began. Entries and audio come in order of their time, violations when they are
    known, which may be later than they happened.
    """

    def on_opened(self, session: CapturedSession) -> None:
        """Take a session that begins."""

    def on_entry(self, session: CapturedSession, entry: TimelineEntry) -> None:
        """Take anything that either side said, audio included."""

    def on_audio(self, session: CapturedSession, audio: AudioRun) -> None:
        """Take messages of audio from jambonz in a row; whoever looks at entries gets them one by one."""
        for entry in audio.entries():
            self.on_entry(session, entry)

    def on_lost(self, session: CapturedSession, at: float, lost: FramesLost) -> None:
        """Take frames that are missing in the capture."""

    def on_audio_out(self, session: CapturedSession, at: float, sample_rate: int, samples: bytes) -> None:
        """Take what the caller hears from ``at`` on of what the application sent, 16 bits; else it hears silence."""

    def on_violation(self, session: CapturedSession, violation: Violation) -> None:
        """Take a rule that was broken."""

    def on_finished(self, session: CapturedSession, report: "CallReport") -> None:
        """Take the report of a session that has ended."""


class ChosenCallsObserver(CallObserver):
    """Hand on to another observer what is about sessions with these numbers."""

    def __init__(self, observer: CallObserver, numbers: AbstractSet[int]) -> None:
        self._observer = observer
        self._numbers = numbers

    def on_opened(self, session: CapturedSession) -> None:
        """Hand on a session that begins."""
        if session.number in self._numbers:
            self._observer.on_opened(session)

    def on_entry(self, session: CapturedSession, entry: TimelineEntry) -> None:
        """Hand on what was said."""
        if session.number in self._numbers:
            self._observer.on_entry(session, entry)

    def on_audio(self, session: CapturedSession, audio: AudioRun) -> None:
        """Hand on audio."""
        if session.number in self._numbers:
            self._observer.on_audio(session, audio)

    def on_lost(self, session: CapturedSession, at: float, lost: FramesLost) -> None:
        """Hand on what is missing."""
        if session.number in self._numbers:
            self._observer.on_lost(session, at, lost)

    def on_audio_out(self, session: CapturedSession, at: float, sample_rate: int, samples: bytes) -> None:
        """Hand on what the caller hears."""
        if session.number in self._numbers:
            self._observer.on_audio_out(session, at, sample_rate, samples)

    def on_violation(self, session: CapturedSession, violation: Violation) -> None:
        """Hand on a rule that was broken."""
        if session.number in self._numbers:
            self._observer.on_violation(session, violation)

    def on_finished(self, session: CapturedSession, report: CallReport) -> None:
        """Hand on the report of a session that has ended."""
        if session.number in self._numbers:
            self._observer.on_finished(session, report)
