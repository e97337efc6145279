"""Collect what a plot shows of a call: the envelopes of both sides, and the commands that change playout."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from listenctl.capture.capture_events import CapturedSession
from listenctl.inspection.call_observers import CallObserver
from listenctl.inspection.call_report import CallReport
from listenctl.inspection.plot.envelope_and_spectrum import Envelope
from listenctl.inspection.sample_times import AudioTrack, SampleTimes
from listenctl.protocol.application_commands import PlainCommand
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.listen_session import AudioReceived, CallStarted, CommandSent, GapFound, MetadataArrived
from listenctl.protocol.timeline import TimelineEntry

_MAX_COMMANDS = 1000


@dataclass(frozen=True, slots=True)
class PlottedCommand:
    at: float
    name: str


class AmplitudeRange(NamedTuple):
    """The lowest and highest sample of each column, and whether there is audio at all."""

    low: NDArray[np.int16]
    high: NDArray[np.int16]
    has_audio: NDArray[np.bool_]


@dataclass(slots=True)
class PlottedCall:
    session: CapturedSession
    with_spectrum: bool
    format: AudioFormat = field(default_factory=lambda: AudioFormat(8000, 1))
    times: SampleTimes = field(init=False)  # when the audio from jambonz was captured
    received: list[Envelope] = field(default_factory=list)  # an envelope of each channel from jambonz
    played: Envelope | None = None
    """The envelope of what the caller heard of the application, from the handshake on; None if nothing."""
    commands: list[PlottedCommand] = field(default_factory=list)
    _track: AudioTrack | None = None

    def __post_init__(self) -> None:
        self.times = SampleTimes(self.format)

    def take_entry(self, entry: TimelineEntry) -> None:
        match entry.event:
            case AudioReceived(data=data):
                self._take_received_audio(entry.at, data)
            case CallStarted(audio_format=audio_format):
                self._start(audio_format)
            case MetadataArrived(audio_format=audio_format):
                # The samples of the audio so far are not kept, so it can't be interpreted anew.
                if audio_format != self.format:
                    self._start(audio_format)
            case GapFound(gap):
                self.times.add_gap(gap)
            case CommandSent(command=PlainCommand() as command) if len(self.commands) < _MAX_COMMANDS:
                self.commands.append(PlottedCommand(entry.at, command.type))

    def take_played_audio(self, at: float, sample_rate: int, data: bytes) -> None:
        if self._track is None or self.played is None:
            self._track = AudioTrack(sample_rate)
            self.played = Envelope(sample_rate, with_spectrum=self.with_spectrum)
        self.played.add_silence(self._track.place_audio(at, data))
        self.played.add_audio(data)

    def start_time(self) -> float:
        """Return when the plot begins: at the handshake, or at audio that was captured before."""
        return min(0.0, self.times.origin)

    def received_range(self, channel: int, edges: NDArray[np.float64]) -> "AmplitudeRange":
        """Return the amplitudes of a channel between neighbouring ``edges``, in seconds since the call began."""
        columns = len(edges) - 1
        low, high, has_audio = (np.zeros(columns, kind) for kind in (np.int16, np.int16, bool))
        rate = self.format.sample_rate
        for span in self.times.spans():
            ends = span.at + span.length / rate
            inside = np.flatnonzero((edges[1:] > span.at) & (edges[:-1] < ends))
            if len(inside):
                first, last = int(inside[0]), int(inside[-1]) + 1
                shifted = np.clip(edges[first : last + 1], span.at, ends) - span.at + span.position / rate
                lowest, highest = self.received[channel].range_between(shifted)
                low[first:last] = np.minimum(low[first:last], lowest)
                high[first:last] = np.maximum(high[first:last], highest)
                has_audio[first:last] = True
        return AmplitudeRange(low, high, has_audio)

    def played_range(self, edges: NDArray[np.float64]) -> "AmplitudeRange":
        """Return the amplitudes of what the caller heard, which is silence in gaps."""
        everywhere = np.ones(len(edges) - 1, bool)
        if self.played is None:
            silence = np.zeros(len(edges) - 1, np.int16)
            return AmplitudeRange(silence, silence, everywhere)
        return AmplitudeRange(*self.played.range_between(edges), everywhere)

    def _start(self, audio_format: AudioFormat) -> None:
        self.format = audio_format
        self.times = SampleTimes(audio_format)
        self.received = [
            Envelope(audio_format.sample_rate, with_spectrum=self.with_spectrum) for _ in range(audio_format.channels)
        ]

    def _take_received_audio(self, at: float, data: bytes) -> None:
        self.times.add_audio(at, self.format.samples_in(len(data)))
        if len(self.received) == 1:
            self.received[0].add_audio(data)
            return
        frames = np.frombuffer(data, "<i2").reshape(-1, self.format.channels)
        for channel, envelope in enumerate(self.received):
            envelope.add_audio(frames[:, channel].tobytes())


class PlotObserver(CallObserver):
    """Collect what a plot shows of each call, and plot the call when it has ended."""

    def __init__(
        self, draw: Callable[[PlottedCall, CallReport], None], *, max_calls: int, with_spectrum: bool = False
    ) -> None:
        self._draw = draw  # plots one call
        self._max_calls = max_calls  # plotted calls; each needs some megabytes until it has ended
        self._with_spectrum = with_spectrum
        self._open: dict[CapturedSession, PlottedCall] = {}
        self._plotted = 0
        self.omitted = 0  # number of further calls

    def on_session_opened(self, session: CapturedSession) -> None:
        if self._plotted < self._max_calls:
            self._plotted += 1
            self._open[session] = PlottedCall(session, self._with_spectrum)
        else:
            self.omitted += 1

    def on_entry(self, session: CapturedSession, entry: TimelineEntry) -> None:
        if plotted := self._open.get(session):
            plotted.take_entry(entry)

    def on_played_audio(self, session: CapturedSession, at: float, sample_rate: int, samples: bytes) -> None:
        if plotted := self._open.get(session):
            plotted.take_played_audio(at, sample_rate, samples)

    def on_call_finished(self, session: CapturedSession, report: CallReport) -> None:
        plotted = self._open.pop(session, None)
        if plotted and report.listens:
            self._draw(plotted, report)
