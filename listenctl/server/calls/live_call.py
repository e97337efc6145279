"""A live call: passes what happens on its connection on to its log, recording, levels, tools and events."""

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from listenctl.events import (
    CallEndedEvent,
    CallStartedEvent,
    CommandEvent,
    DtmfToneEvent,
    EventFields,
    GapEvent,
    LevelsEvent,
    Place,
    Reporter,
    WarningEvent,
    message_event,
    parties_of,
)
from listenctl.media.dtmf_detector import CallDtmfDetector, DtmfTone
from listenctl.media.dtmf_mask import DtmfMask
from listenctl.media.measure_levels import LevelMeasurer, Levels
from listenctl.protocol.application_commands import Command
from listenctl.protocol.call_sharing.stream_rate import stream_rate_problem
from listenctl.protocol.dtmf_digits import MASKED_DIGIT
from listenctl.protocol.jambonz_messages import Dtmf
from listenctl.protocol.listen_session import (
    AudioReceived,
    CallStarted,
    FlushRequested,
    GapFound,
    ListenSession,
    MessageReceived,
    MetadataArrived,
    ProtocolViolation,
    SessionEvent,
)
from listenctl.server.calls.live_call_log import (
    EMPTY_MESSAGE,
    SHUTTING_DOWN,
    LiveCallEnd,
    LiveCallLog,
    describe_completeness,
)
from listenctl.server.recording.call_recorder import CallRecording
from listenctl.terminal.printable_text import format_size

if TYPE_CHECKING:
    from listenctl.server.control_api.attached_tools import AttachedTools
    from listenctl.server.dump.call_dumper import CallDump
    from listenctl.server.server import ListenServer


MAX_EARLY_COMMANDS = 100
AHEAD_BY, AHEAD_FACTOR = 10.0, 3.0
"""How much audio is in real time: seconds at once, and seconds of audio a second. Wrong metadata double the rate."""


class LevelWatcher(Protocol):
    def start_meter(self, log: LiveCallLog) -> LevelMeasurer:
        """Return the measurer for a call that begins."""

    def show_levels(self, log: LiveCallLog, position: int, windows: list[Levels], /) -> None:
        """Take measured windows; the last one ends at ``position`` or before."""


class LiveCall:
    def __init__(self, server: "ListenServer", session: ListenSession, started_at: float) -> None:
        self.session = session
        self.log: LiveCallLog | None = None  # None until the audio format is known
        self.recording: CallRecording | None = None
        self.tools: AttachedTools | None = None
        self.dump: CallDump | None = None
        self.started_at = started_at  # on the clock of the event loop
        self._server = server
        # Commands that the application sent before the metadata came.
        self._early_commands: list[CommandEvent] = []
        self._meters: list[tuple[LevelWatcher, LevelMeasurer]] = []
        self._dtmf_detector: CallDtmfDetector | None = None
        self._dtmf_mask: DtmfMask | None = None

    def sends_too_fast(self, now: float) -> bool:
        """Return whether audio comes far faster than real time, with no delay to explain it, and the disk is behind."""
        session = self.session
        if session.position <= session.audio_format.sample_rate * (AHEAD_BY + AHEAD_FACTOR * (now - self.started_at)):
            return False
        return (self.recording is not None and self.recording.is_behind) or (
            self.dump is not None and self.dump.is_behind
        )

    def take_events(self, events: Iterable[SessionEvent]) -> None:
        for event in events:
            self.take_event(event)

    def take_event(self, event: SessionEvent) -> None:
        log = self.log
        if log is None:
            if isinstance(event, CallStarted):
                self._start_call(event)
            return
        match event:
            case AudioReceived(position, data):
                self.take_audio(position, data)
            case MessageReceived():
                self._take_message(log, event)
            case GapFound():
                self._take_gap(log, event)
            case ProtocolViolation(position, rule, detail):
                log.add_entry(event)
                self._warn(position, rule, detail)
            case FlushRequested(position):
                log.add_entry(event)
                self._warn(position, EMPTY_MESSAGE, SHUTTING_DOWN)
            case MetadataArrived():
                self._change_metadata(log, event)
            case _:  # What the application sends is reported by the relay.
                pass

    def take_command(self, command: Command) -> None:
        """Report a command that the application behind us has sent to jambonz."""
        if not self._server.reporter.wants("command"):
            return
        event = CommandEvent.of(command, **self._place(self.session.position))
        if self.log is not None:
            self._report(event)
        elif len(self._early_commands) < MAX_EARLY_COMMANDS:
            self._early_commands.append(event)

    def end_call(self, now: float, at: float, end: LiveCallEnd) -> None:
        """End the call, ``now`` on the clock of the event loop, ``at`` in Unix time."""
        self.take_events(self.session.end_call(None if end.closed_by == "nobody" else now))
        log = self.log
        if log is not None:
            self._finish_dtmf_detector(log)
            self._pass_on_held_audio(log)
            log.ended_at, log.ending = at, end
            if self.recording is not None:
                self.recording.end_call()
            if self._server.reporter.wants("call-ended"):
                self._report(self._describe_end(log, end, now))
        self._server.forget_call(self)
        if self.tools is not None:
            self.tools.end_call()
        if self.dump is not None:
            self.dump.end_call(now)

    def note_unrelayed(self, size: int) -> None:
        """Report that ``size`` bytes of jambonz, frame headers included, were not passed on to the application."""
        self._server.lost_audio = True
        if self.log is not None:
            detail = f"the application didn't read the last {format_size(size)} that jambonz sent; they are lost for it"
            self._report(WarningEvent(rule="relay-lost", detail=detail))

    def _start_call(self, event: CallStarted) -> None:
        log = self.log = self._server.start_log(self, event)
        if self._server.reporter.wants("call-started"):
            self._report(_describe_start(log))
        if self.dump is not None:
            self.dump.set_log(log)
        self.recording = self._server.start_recording(log)
        self._meters = [(watcher, watcher.start_meter(log)) for watcher in self._server.watchers]
        self._dtmf_detector = self._server.start_dtmf_detector(log)
        self._dtmf_mask = self._server.start_dtmf_mask(log)
        self._check_stream_rate(log)
        self._check_member_tap(log)
        self._server.start_responders(self, log)
        for command in self._early_commands:
            self._report(command)

    def take_audio(self, position: int, data: bytes) -> None:
        """Take whole sample frames that begin at ``position``, which may be none."""
        log = self.log
        if log is None or not data:
            return
        log.samples = position + len(data) // log.audio_format.frame_bytes
        if self._dtmf_mask is None:
            self._pass_on_audio(log, position, data)
        else:
            position -= self._dtmf_mask.held_samples
            self._pass_on_audio(log, position, self._dtmf_mask.feed(data))
        if self._dtmf_detector is not None:
            self._take_tones(log, self._dtmf_detector.feed(data))

    def _pass_on_audio(self, log: LiveCallLog, position: int, data: bytes) -> None:
        if not data:
            return
        if self.recording is not None:
            self.recording.write_audio(position, data)
        samples = len(data) // log.audio_format.frame_bytes
        if self.tools is not None:
            self.tools.take_jambonz_audio(data, samples)
        for watcher, meter in self._meters:
            windows = meter.feed(data)
            if windows:
                watcher.show_levels(log, position + samples, windows)

    def _pass_on_held_audio(self, log: LiveCallLog) -> None:
        """Pass on what the mask holds back, because what follows is not its continuation."""
        if self._dtmf_mask is not None:
            position = log.samples - self._dtmf_mask.held_samples
            self._pass_on_audio(log, position, self._dtmf_mask.flush())

    def _take_tones(self, log: LiveCallLog, tones: Iterable[DtmfTone]) -> None:
        for heard in tones:
            tone = replace(heard, digit=MASKED_DIGIT) if log.dtmf_masked else heard
            log.add_entry(tone)
            place = self._place(tone.position)
            self._report(DtmfToneEvent(digit=tone.digit, channel=tone.channel, duration_ms=tone.duration_ms, **place))

    def _finish_dtmf_detector(self, log: LiveCallLog) -> None:
        if self._dtmf_detector is not None:
            self._take_tones(log, self._dtmf_detector.end_audio())
            self._dtmf_detector = None

    def _take_message(self, log: LiveCallLog, event: MessageReceived) -> None:
        if self.tools is not None:
            event = replace(event, message=self.tools.with_own_name(event.message))
        log.add_entry(event)
        if isinstance(event.message, Dtmf):
            log.last_digit = event.message.digit
        self._report(message_event(event.message, round_trip=event.round_trip, **self._place(event.position)))

    def _take_gap(self, log: LiveCallLog, event: GapFound) -> None:
        log.add_entry(event)
        self._pass_on_held_audio(log)
        if self.recording is not None:
            self.recording.note_gap(event.gap)
        self._report(GapEvent.of(event.gap, log.audio_format.sample_rate))

    def _change_metadata(self, log: LiveCallLog, event: MetadataArrived) -> None:
        log.metadata = event.metadata
        self._check_stream_rate(log)
        self._check_member_tap(log)
        if event.audio_format != log.audio_format:
            self._finish_dtmf_detector(log)
            self._pass_on_held_audio(log)
            log.audio_format = event.audio_format
            log.samples = self.session.position
            if self.recording is not None:
                self.recording.change_format(event.audio_format)
            self._meters = [(watcher, watcher.start_meter(log)) for watcher in self._server.watchers]
            self._dtmf_detector = self._server.start_dtmf_detector(log)
            self._dtmf_mask = self._server.start_dtmf_mask(log)

    def _check_stream_rate(self, log: LiveCallLog) -> None:
        if complaint := stream_rate_problem(log.metadata.fields):
            self.take_event(ProtocolViolation(self.session.position, "stream-rate", complaint))

    def _check_member_tap(self, log: LiveCallLog) -> None:
        if log.metadata.is_member_tap and (self.recording is not None or self.dump is not None):
            # Nothing on the wire says who is muted, and when (listenctl-protocol(7) 2.5).
            detail = "jambonz sends what a room member says even while the member is muted, and it is recorded"
            self.take_event(ProtocolViolation(self.session.position, "muted-member", detail))

    def _warn(self, position: int, rule: str, detail: str) -> None:
        if self.log is not None:
            self.log.warnings += 1
        self._report(WarningEvent(rule=rule, detail=detail, **self._place(position)))

    def _place(self, position: int) -> Place:
        return {"position": position, "time": round(self.session.audio_format.duration_of(position), 3)}

    def _describe_end(self, log: LiveCallLog, end: LiveCallEnd, now: float) -> CallEndedEvent:
        return CallEndedEvent(
            **parties_of(log.metadata),
            duration=round(now - self.started_at, 3),
            seconds=round(log.audio_format.duration_of(log.samples), 3),
            close_code=end.code,
            close_reason=end.reason,
            closed_by=end.closed_by,
            warnings=log.warnings,
            **describe_completeness(log, 0 if self.recording is None else self.recording.unrecorded_samples),
        )

    def _report(self, event: EventFields) -> None:
        log = self.log
        assert log is not None
        self._server.reporter.emit(event, **log.identity)


def _describe_start(log: LiveCallLog) -> CallStartedEvent:
    return CallStartedEvent(
        **parties_of(log.metadata),
        remote=log.remote,
        target=log.target,
        subprotocol=log.subprotocol,
        upstream=log.upstream,
        sample_rate=log.audio_format.sample_rate,
        channels=log.audio_format.channels,
        mix_type=log.metadata.mix_type,
        metadata=dict(log.metadata.fields),
        metadata_valid=log.metadata.valid if log.metadata.raw else None,
    )


class LevelReporter:
    """Report the levels of every ``interval`` seconds of audio, as ``levels`` events."""

    def __init__(self, reporter: Reporter, interval: float) -> None:
        self._reporter = reporter
        self._interval = interval

    def start_meter(self, log: LiveCallLog) -> LevelMeasurer:
        return LevelMeasurer(log.audio_format, self._interval)

    def show_levels(self, log: LiveCallLog, position: int, windows: list[Levels]) -> None:
        rate = log.audio_format.sample_rate
        window_samples = max(1, round(rate * self._interval))
        # The windows follow each other from the first sample on, so the last one ends at a multiple of their length.
        end = position // window_samples * window_samples
        for index, levels in enumerate(windows):
            start = end - (len(windows) - index) * window_samples
            channels = [
                {"peak_db": round(level.peak_db, 1), "rms_db": round(level.rms_db, 1), "clipped": level.clipped}
                for level in levels
            ]
            event = LevelsEvent(position=start, time=round(start / rate, 3), channels=channels)
            self._reporter.emit(event, **log.identity)
