"""The interface of everything that follows a call while it is inspected: timeline, sound checks, extraction, plot."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from listenctl.capture.capture_events import CapturedSession, FramesLost
from listenctl.protocol.listen_session import AudioReceived, Sender
from listenctl.protocol.timeline import TimelineEntry

if TYPE_CHECKING:
    from listenctl.inspection.call_report import CallReport
    from listenctl.inspection.rule_violations import Violation


@dataclass(frozen=True, slots=True)
class AudioRun:
    """Consecutive binary messages from jambonz of equal size, each of whole sample frames."""

    times: Sequence[float]  # arrival time of each message
    position: int  # samples per channel before the first
    samples: int  # per channel in each message
    data: bytes

    def messages(self) -> Iterator[tuple[float, int, bytes]]:
        """Yield the time, position and data of each message."""
        size = len(self.data) // len(self.times)
        for number, at in enumerate(self.times):
            yield at, self.position + number * self.samples, self.data[number * size : (number + 1) * size]


class CallObserver:
    """Base class of observers. Times are seconds since the session began; a violation can follow later events."""

    def on_session_opened(self, session: CapturedSession) -> None: ...

    def on_entry(self, session: CapturedSession, entry: TimelineEntry) -> None:
        """Take any event of either side, including audio."""

    def on_audio_run(self, session: CapturedSession, audio: AudioRun) -> None:
        """Take several audio messages from jambonz; by default each is passed to `on_entry`."""
        for at, position, data in audio.messages():
            self.on_entry(session, TimelineEntry(at, Sender.JAMBONZ, AudioReceived(position, data)))

    def on_frames_lost(self, session: CapturedSession, at: float, lost: FramesLost) -> None: ...

    def on_played_audio(self, session: CapturedSession, at: float, sample_rate: int, samples: bytes) -> None:
        """Take 16-bit audio of the application that the caller hears from ``at`` on; otherwise there is silence."""

    def on_violation(self, session: CapturedSession, violation: "Violation") -> None: ...

    def on_call_finished(self, session: CapturedSession, report: "CallReport") -> None: ...
