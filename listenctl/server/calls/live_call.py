"""A live call: what happens on its connection, passed on to its log, its recording, its levels and the reports."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from listenctl.events import (
    CallEndedEvent,
    CallStartedEvent,
    CommandEvent,
    DtmfToneEvent,
    EventFields,
    GapEvent,
    Place,
    Reporter,
    WarningEvent,
    message_event,
)
from listenctl.media.dtmf_detector import CallDtmfDetector, DtmfTone
from listenctl.media.measure_levels import LevelMeasurer, Levels
from listenctl.protocol.application_commands import Command
from listenctl.protocol.call_sharing.stream_rate import rate_complaint
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

if TYPE_CHECKING:
    from listenctl.server.control_api.attached_tools import AttachedTools


MAX_EARLY = 100


class LevelWatcher(Protocol):
    """Someone who is shown the levels of calls as they are measured."""

    def start_meter(self, log: LiveCallLog) -> LevelMeasurer:
        """Return what measures a call that begins."""

    def show_levels(self, log: LiveCallLog, position: int, windows: list[Levels], /) -> None:
        """Take the levels of windows that were measured; the last one ends at ``position`` or before."""


class Tap(Protocol):
    """Someone who is given every byte that passes on a connection after its handshake, both ways."""

    def begin(self, log: LiveCallLog) -> None:
        """Take notice of what is known of the call; bytes may have passed before."""

    def received(self, data: bytes, at: float) -> None:
        """Take what jambonz sent, at ``at`` on the loop's clock, in any cuts."""

    def sent(self, data: bytes, at: float) -> None:
        """Take what we sent."""

    def finish(self, at: float) -> None:
        """Take notice that the call is over."""


class Host(Protocol):
    """What a live call asks its server."""

    reporter: Reporter
    watchers: list[LevelWatcher]

    def start_log(self, call: "LiveCall", started: CallStarted) -> LiveCallLog:
        """Give the call its id and its log."""

    def start_recording(self, log: LiveCallLog) -> CallRecording | None:
        """Begin to record the call, if calls are recorded."""

    def start_listening(self, log: LiveCallLog) -> CallDtmfDetector | None:
        """Begin to listen for keys in the call's audio, if that is wanted and possible."""

    def start_responders(self, call: "LiveCall", log: LiveCallLog) -> None:
        """Begin what the server does with the call by itself."""

    def note_ended(self, call: "LiveCall") -> None:
        """Take notice that the call is over."""


class LiveCall:
    """One call of a server; it has no log before its format is known."""

    def __init__(self, host: Host, session: ListenSession, started_at: float) -> None:
        self.session = session
        self.log: LiveCallLog | None = None
        self.recording: CallRecording | None = None
        self.attachments: AttachedTools | None = None
        self.tap: Tap | None = None
        self.started_at = started_at
        """On the clock of the event loop."""
        self._host = host
        # Commands of an application that didn't wait for the metadata.
        self._early: list[Command] = []
        self._meters: list[tuple[LevelWatcher, LevelMeasurer]] = []
        self._listener: CallDtmfDetector | None = None

    def take_all(self, events: Iterable[SessionEvent]) -> None:
        """Take in what the session found."""
        for event in events:
            self.take(event)

    def take(self, event: SessionEvent) -> None:
        """Take in one thing that happened on the wire."""
        log = self.log
        if log is None:
            if isinstance(event, CallStarted):
                self._start(event)
            return
        match event:
            case AudioReceived(position, data):
                self._take_audio(log, position, data)
            case MessageReceived():
                self._take_message(log, event)
            case GapFound():
                self._take_gap(log, event)
            case ProtocolViolation(position, rule, detail):
                log.add(event)
                self._warn(position, rule, detail)
            case FlushRequested(position):
                log.add(event)
                self._warn(position, EMPTY_MESSAGE, SHUTTING_DOWN)
            case MetadataArrived():
                self._amend(log, event)
            case _:  # What the application sends is of no concern here, and the call has started already.
                pass

    @property
    def reports_commands(self) -> bool:
        """Whether anybody wants to hear of commands."""
        return self._host.reporter.wants("command")

    def take_command(self, command: Command) -> None:
        """Report what the application behind us has sent to jambonz."""
        if not self.reports_commands:
            return
        if self.log is not None:
            self._report(CommandEvent.of(command, **self._place(self.session.position)))
        elif len(self._early) < MAX_EARLY:
            self._early.append(command)

    def finish(self, now: float, at: float, ending: LiveCallEnd) -> None:
        """End the call: ``now`` on the loop's clock, ``at`` in Unix time."""
        self.take_all(self.session.end_call(None if ending.closed_by == "nobody" else now))
        log = self.log
        if log is not None:
            self._finish_listening(log)
            log.ended_at, log.ending = at, ending
            if self.recording is not None:
                self.recording.finish()
            if self._host.reporter.wants("call-ended"):
                self._report(self._describe_end(log, ending, now))
        self._host.note_ended(self)
        if self.attachments is not None:
            self.attachments.end()
        if self.tap is not None:
            self.tap.finish(now)

    def _start(self, event: CallStarted) -> None:
        log = self.log = self._host.start_log(self, event)
        if self._host.reporter.wants("call-started"):
            self._report(_describe_start(log))
        if self.tap is not None:
            self.tap.begin(log)
        self.recording = self._host.start_recording(log)
        self._meters = [(watcher, watcher.start_meter(log)) for watcher in self._host.watchers]
        self._listener = self._host.start_listening(log)
        self._check_stream_rate(log)
        self._host.start_responders(self, log)
        for command in self._early:
            self.take_command(command)

    def _take_audio(self, log: LiveCallLog, position: int, data: bytes) -> None:
        if self.recording is not None:
            self.recording.write(position, data)
        samples = len(data) // log.audio_format.frame_bytes
        log.samples = position + samples
        if self.attachments is not None:
            self.attachments.take_audio(data, samples)
        for watcher, meter in self._meters:
            windows = meter.feed(data)
            if windows:
                watcher.show_levels(log, log.samples, windows)
        if self._listener is not None:
            self._take_keys(log, self._listener.feed(data))

    def _take_keys(self, log: LiveCallLog, keys: Iterable[DtmfTone]) -> None:
        for key in keys:
            log.add(key)
            place = self._place(key.position)
            self._report(DtmfToneEvent(digit=key.digit, channel=key.channel, duration_ms=key.duration_ms, **place))

    def _finish_listening(self, log: LiveCallLog) -> None:
        if self._listener is not None:
            self._take_keys(log, self._listener.end_audio())
            self._listener = None

    def _take_message(self, log: LiveCallLog, event: MessageReceived) -> None:
        log.add(event)
        if isinstance(event.message, Dtmf):
            log.last_digit = event.message.digit
        self._report(message_event(event.message, round_trip=event.round_trip, **self._place(event.position)))

    def _take_gap(self, log: LiveCallLog, event: GapFound) -> None:
        log.add(event)
        if self.recording is not None:
            self.recording.note_gap(event.gap)
        self._report(GapEvent.of(event.gap, log.audio_format.sample_rate))

    def _amend(self, log: LiveCallLog, event: MetadataArrived) -> None:
        log.metadata = event.metadata
        self._check_stream_rate(log)
        if event.audio_format != log.audio_format:
            self._finish_listening(log)
            log.audio_format = event.audio_format
            log.samples = self.session.position
            if self.recording is not None:
                self.recording.change_format(event.audio_format)
            self._meters = [(watcher, watcher.start_meter(log)) for watcher in self._host.watchers]
            self._listener = self._host.start_listening(log)

    def _check_stream_rate(self, log: LiveCallLog) -> None:
        if complaint := rate_complaint(log.metadata.fields):
            self.take(ProtocolViolation(self.session.position, "stream-rate", complaint))

    def _warn(self, position: int, rule: str, detail: str) -> None:
        if self.log is not None:
            self.log.warnings += 1
        self._report(WarningEvent(rule=rule, detail=detail, **self._place(position)))

    def _place(self, position: int) -> Place:
        return {"position": position, "time": round(self.session.audio_format.duration(position), 3)}

    def _describe_end(self, log: LiveCallLog, ending: LiveCallEnd, now: float) -> CallEndedEvent:
        return CallEndedEvent(
            duration=round(now - self.started_at, 3),
            seconds=round(log.audio_format.duration(log.samples), 3),
            close_code=ending.code,
            close_reason=ending.reason,
            closed_by=ending.closed_by,
            warnings=log.warnings,
            **describe_completeness(log),
        )

    def _report(self, event: EventFields) -> None:
        log = self.log
        assert log is not None
        self._host.reporter.emit(event, call=log.id, call_sid=log.metadata.call_sid)


def _describe_start(log: LiveCallLog) -> CallStartedEvent:
    return CallStartedEvent(
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
