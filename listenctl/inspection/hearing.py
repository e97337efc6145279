"""Listen to every call that is inspected, and judge its sound."""

from listenctl.capture.captured import CapturedSession
from listenctl.inspection.call_sound import CallSound, CallSoundReport
from listenctl.inspection.observing import Observer
from listenctl.inspection.report import CallReport
from listenctl.protocol.timeline import Entry


class Hearing(Observer):
    """
    Check both sides of each call.

    Attributes:
        reports: what was found, by the number of the session.
    """

    def __init__(self) -> None:
        self._open: dict[CapturedSession, CallSound] = {}
        self.reports: dict[int, CallSoundReport] = {}

    def on_opened(self, session: CapturedSession) -> None:
        """Begin to listen."""
        self._open[session] = CallSound()

    def on_entry(self, session: CapturedSession, entry: Entry) -> None:
        """Take anything that happened."""
        self._open[session].take(entry)

    def on_audio_out(self, session: CapturedSession, at: float, sample_rate: int, samples: bytes) -> None:
        """Take what the caller hears."""
        self._open[session].hear(at, sample_rate, samples)

    def on_finished(self, session: CapturedSession, report: CallReport) -> None:
        """Judge."""
        clips = report.mode is not None and not report.mode.streams
        mixed = report.metadata is not None and report.metadata.mix_type == "mixed"
        if found := self._open.pop(session).finish(plays_clips=clips, mixed=mixed):
            self.reports[session.number] = found
