"""Listen to every call that is inspected, and judge its sound."""

from collections.abc import Callable, Sequence

from listenctl.capture.capture_events import CapturedSession
from listenctl.inspection.call_observers import AudioRun, CallObserver
from listenctl.inspection.call_report import CallReport
from listenctl.inspection.rule_catalogue import Violation
from listenctl.inspection.sound_checks.call_sound import CallSoundChecks, CallSoundReport
from listenctl.protocol.timeline import TimelineEntry


class SoundChecksObserver(CallObserver):
    """
    Check both sides of each call; what is wrong is added to its report, so that those who look on later see it there.

    Args:
        tell: told of each violation, for those who don't wait for the report.

    Attributes:
        reports: what was found, by the number of the session.
    """

    def __init__(self, tell: Callable[[CapturedSession, Violation], None] = lambda _session, _violation: None) -> None:
        self._tell = tell
        self._open: dict[CapturedSession, CallSoundChecks] = {}
        self.reports: dict[int, CallSoundReport] = {}

    def on_opened(self, session: CapturedSession) -> None:
        """Begin to listen."""
        self._open[session] = CallSoundChecks()

    def on_entry(self, session: CapturedSession, entry: TimelineEntry) -> None:
        """Take anything that happened."""
        if sound := self._open.get(session):
            sound.take(entry)

    def on_audio(self, session: CapturedSession, audio: AudioRun) -> None:
        """Take audio from jambonz."""
        if sound := self._open.get(session):
            sound.receive(audio)

    def on_audio_out(self, session: CapturedSession, at: float, sample_rate: int, samples: bytes) -> None:
        """Take what the caller hears."""
        if sound := self._open.get(session):
            sound.hear(at, sample_rate, samples)

    def on_finished(self, session: CapturedSession, report: CallReport) -> None:
        """Judge."""
        clips = report.mode is not None and not report.mode.streams
        mixed = report.metadata is not None and report.metadata.mix_type == "mixed"
        sound = self._open.pop(session, None)
        if sound and (found := sound.finish(plays_clips=clips, mixed=mixed)):
            self.reports[session.number] = found
            if report.listens:
                self._add(session, report, list(found.violations))

    def _add(self, session: CapturedSession, report: CallReport, violations: Sequence[Violation]) -> None:
        report.add(violations)
        for violation in violations:
            self._tell(session, violation)
