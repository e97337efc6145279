"""Listen to every call that is inspected, and judge its sound."""

from listenctl.capture.captured import CapturedSession
from listenctl.inspection.call_sound import CallSound, CallSoundReport
from listenctl.inspection.observing import AudioStretch, Observer
from listenctl.inspection.report import CallReport
from listenctl.protocol.session import CallStarted
from listenctl.protocol.timeline import Entry


class Hearing(Observer):
    """
    Check both sides of each call.

    Args:
        most: with more calls than so many, none is checked: that takes half of all time, and nobody asks for it.

    Attributes:
        reports: what was found, by the number of the session.
    """

    def __init__(self, *, most: int | None = None) -> None:
        self._most = most
        self._begun = 0
        self._open: dict[CapturedSession, CallSound] = {}
        self.reports: dict[int, CallSoundReport] = {}

    def on_opened(self, session: CapturedSession) -> None:
        """Begin to listen."""
        if self._most is None or self._begun <= self._most:
            self._open[session] = CallSound()

    def on_entry(self, session: CapturedSession, entry: Entry) -> None:
        """Take anything that happened."""
        if sound := self._open.get(session):
            sound.take(entry)
            if type(entry.event) is CallStarted:
                self._count()

    def on_audio(self, session: CapturedSession, audio: AudioStretch) -> None:
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

    def _count(self) -> None:
        self._begun += 1
        if self._most is not None and self._begun > self._most:
            self._open.clear()
            self.reports.clear()
