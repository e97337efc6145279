"""Look on at some of the calls."""

from collections.abc import Set as AbstractSet

from listenctl.capture.captured import CapturedSession, FramesLost
from listenctl.inspection.observing import AudioStretch, Observer
from listenctl.inspection.report import CallReport
from listenctl.inspection.rules import Violation
from listenctl.protocol.timeline import Entry


class Only(Observer):
    """Hand on to another observer what is about sessions with these numbers."""

    def __init__(self, observer: Observer, numbers: AbstractSet[int]) -> None:
        self._observer = observer
        self._numbers = numbers

    def on_opened(self, session: CapturedSession) -> None:
        """Hand on a session that begins."""
        if session.number in self._numbers:
            self._observer.on_opened(session)

    def on_entry(self, session: CapturedSession, entry: Entry) -> None:
        """Hand on what was said."""
        if session.number in self._numbers:
            self._observer.on_entry(session, entry)

    def on_audio(self, session: CapturedSession, audio: AudioStretch) -> None:
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
