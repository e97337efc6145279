"""What is drawn of a call: how both sides sounded, and what was asked of jambonz, all in time."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from listenctl.capture.capture_events import CapturedSession
from listenctl.inspection.call_observers import CallObserver
from listenctl.inspection.call_report import CallReport
from listenctl.inspection.plot.envelope_and_spectrum import Envelope
from listenctl.inspection.sample_times import AudioTrack, SampleTimes
from listenctl.protocol.application_commands import ClearMarks, Disconnect, KillAudio
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.listen_session import AudioReceived, CallStarted, CommandSent, GapFound, MetadataArrived
from listenctl.protocol.timeline import TimelineEntry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_ORDERS = 1000
_ORDERS = {KillAudio: "killAudio", ClearMarks: "clearMarks", Disconnect: "disconnect"}


@dataclass(frozen=True, slots=True)
class PlottedCommand:
    """A command that changes what is played, and when it was sent."""

    at: float
    name: str


class AmplitudeRange(NamedTuple):
    """The lowest and highest sample of each column, and whether there is any sound, be it silence."""

    low: "NDArray[np.int16]"
    high: "NDArray[np.int16]"
    there: "NDArray[np.bool_]"


@dataclass(slots=True)
class PlottedCall:
    """
    The sound of one call.

    Attributes:
        received: what jambonz sent, an envelope for each channel; ``places`` says when.
        heard: what the caller heard of the application, from the handshake on; None where that was nothing.
    """

    session: CapturedSession
    with_spectrum: bool
    format: AudioFormat = field(default_factory=lambda: AudioFormat(8000, 1))
    places: SampleTimes = field(init=False)
    received: list[Envelope] = field(default_factory=list)
    heard: Envelope | None = None
    orders: list[PlottedCommand] = field(default_factory=list)
    _placed: AudioTrack | None = None

    def __post_init__(self) -> None:
        self.places = SampleTimes(self.format)

    def take(self, entry: TimelineEntry) -> None:
        """Take anything that happened."""
        match entry.event:
            case AudioReceived(data=data):
                self._receive(entry.at, data)
            case CallStarted(audio_format=audio_format):
                self._start(audio_format)
            case MetadataArrived(audio_format=audio_format):
                # What was drawn so far was drawn in the wrong format, and nobody can tell any more what it was.
                if audio_format != self.format:
                    self._start(audio_format)
            case GapFound(gap):
                self.places.add_gap(gap)
            case CommandSent(command=command) if type(command) in _ORDERS and len(self.orders) < MAX_ORDERS:
                self.orders.append(PlottedCommand(entry.at, _ORDERS[type(command)]))

    def hear(self, at: float, sample_rate: int, data: bytes) -> None:
        """Take what the caller hears."""
        if self._placed is None or self.heard is None:
            self._placed = AudioTrack(sample_rate)
            self.heard = Envelope(sample_rate, with_spectrum=self.with_spectrum)
        self.heard.skip(self._placed.place_audio(at, data))
        self.heard.add(data)

    def begin(self) -> float:
        """Return when the drawing begins: at the handshake, or at audio that was captured before."""
        return min(0.0, self.places.origin)

    def received_between(self, channel: int, edges: "NDArray[np.float64]") -> "AmplitudeRange":
        """Return how far a channel swings between each two of ``edges``, times of the call."""
        import numpy as np

        columns = len(edges) - 1
        low, high, there = (np.zeros(columns, kind) for kind in (np.int16, np.int16, bool))
        rate = self.format.sample_rate
        for span in self.places.spans():
            ends = span.at + span.length / rate
            inside = np.flatnonzero((edges[1:] > span.at) & (edges[:-1] < ends))
            if len(inside):
                first, last = int(inside[0]), int(inside[-1]) + 1
                shifted = np.clip(edges[first : last + 1], span.at, ends) - span.at + span.position / rate
                lowest, highest = self.received[channel].between(shifted)
                low[first:last] = np.minimum(low[first:last], lowest)
                high[first:last] = np.maximum(high[first:last], highest)
                there[first:last] = True
        return AmplitudeRange(low, high, there)

    def heard_between(self, edges: "NDArray[np.float64]") -> "AmplitudeRange":
        """Return the same of what the caller heard; where that is nothing, it is silence."""
        import numpy as np

        everywhere = np.ones(len(edges) - 1, bool)
        if self.heard is None:
            silence = np.zeros(len(edges) - 1, np.int16)
            return AmplitudeRange(silence, silence, everywhere)
        return AmplitudeRange(*self.heard.between(edges), everywhere)

    def _start(self, audio_format: AudioFormat) -> None:
        self.format = audio_format
        self.places = SampleTimes(audio_format)
        self.received = [
            Envelope(audio_format.sample_rate, with_spectrum=self.with_spectrum) for _ in range(audio_format.channels)
        ]

    def _receive(self, at: float, data: bytes) -> None:
        self.places.add_audio(at, self.format.samples(len(data)))
        if len(self.received) == 1:
            self.received[0].add(data)
            return
        import numpy as np

        frames = np.frombuffer(data, "<i2").reshape(-1, self.format.channels)
        for channel, envelope in enumerate(self.received):
            envelope.add(frames[:, channel].tobytes())


class PlotObserver(CallObserver):
    """
    Collect what is drawn of each call, and have it drawn when the call has ended.

    Args:
        draw: draws one call.
        most: calls that are drawn, each of which takes some megabytes; of the others only the number is kept.

    Attributes:
        left_out: how many calls aren't drawn.
    """

    def __init__(
        self, draw: Callable[[PlottedCall, CallReport], None], *, most: int, with_spectrum: bool = False
    ) -> None:
        self._draw = draw
        self._most = most
        self._with_spectrum = with_spectrum
        self._open: dict[CapturedSession, PlottedCall] = {}
        self._taken = 0
        self.left_out = 0

    def on_session_opened(self, session: CapturedSession) -> None:
        """Begin a picture, unless there are enough."""
        if self._taken < self._most:
            self._taken += 1
            self._open[session] = PlottedCall(session, self._with_spectrum)
        else:
            self.left_out += 1

    def on_entry(self, session: CapturedSession, entry: TimelineEntry) -> None:
        """Take anything that happened."""
        if picture := self._open.get(session):
            picture.take(entry)

    def on_played_audio(self, session: CapturedSession, at: float, sample_rate: int, samples: bytes) -> None:
        """Take what the caller hears."""
        if picture := self._open.get(session):
            picture.hear(at, sample_rate, samples)

    def on_call_finished(self, session: CapturedSession, report: CallReport) -> None:
        """Draw the call; a session of something else isn't drawn."""
        picture = self._open.pop(session, None)
        if picture and report.listens:
            self._draw(picture, report)
