"""Inspect one call: fold its frames into events, pass them to checks and observers, and make the report."""

from collections.abc import Callable, Sequence

from websockets.frames import Opcode

from listenctl.capture.capture_events import CapturedAudio, CapturedFrame, CapturedSession, FramesLost, SessionClosed
from listenctl.inspection.call_observers import AudioRun, CallObserver
from listenctl.inspection.call_report import CallReport
from listenctl.inspection.message_checks.application_message_checks import ApplicationMessageChecks
from listenctl.inspection.message_checks.frame_checks import FrameChecks
from listenctl.inspection.message_checks.handshake_checks import check_handshake, check_missing_answer
from listenctl.inspection.message_checks.jambonz_message_checks import JambonzMessageChecks
from listenctl.inspection.message_checks.ping_and_close_checks import PingAndCloseChecks
from listenctl.inspection.rule_violations import Culprit, MessagePlace, Violation, ViolationLog
from listenctl.inspection.settings import InspectionSettings
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.call_metadata import MAX_REPAIR, CallMetadata
from listenctl.protocol.call_sharing.stream_rate import metadata_stream_rate
from listenctl.protocol.frames.websocket_messages import ControlFrame
from listenctl.protocol.jambonz_model.rule_catalogue import RULES, Severity
from listenctl.protocol.listen_session import (
    AudioReceived,
    AudioSent,
    CallStarted,
    CommandSent,
    FlushRequested,
    GapFound,
    ListenSession,
    MessageReceived,
    MetadataArrived,
    ProtocolViolation,
    Sender,
    SessionEvent,
)
from listenctl.protocol.opening_handshake import SUBPROTOCOLS
from listenctl.protocol.timeline import Timeline, TimelineEntry

# Violations that the session reports and a check of the first text reports in more detail.
_REPORTED_BY_CHECKS = {"first-frame", "no-metadata", "late-metadata"}
_JAMBONZ = Sender.JAMBONZ
_BINARY = int(Opcode.BINARY)
# A hundred times the maximum that jambonz sends; the reports of all calls stay in memory.
_MAX_METADATA = 1_000_000


class CallInspector:
    def __init__(
        self,
        session: CapturedSession,
        settings: InspectionSettings,
        observers: Sequence[CallObserver],
        *,
        make_id: Callable[[str | None, bool], str] = lambda call_sid, _listens: call_sid or "unknown-1",
    ) -> None:
        self.session = session
        self._make_id = make_id  # returns the id for a callSid, if there is one, and whether this may be a call
        self._observers = observers
        self._listen = ListenSession(started_at=0.0, default_format=AudioFormat(8000, 1))
        self._timeline = Timeline(self._listen)
        self._violations = ViolationLog(self._on_violation)
        self._closing = PingAndCloseChecks(self._violations)
        self._closes = self._closing.closes
        self._received = JambonzMessageChecks(self._violations, detect_dtmf=settings.detect_dtmf)
        self._frames = FrameChecks(self._violations)
        self._application = ApplicationMessageChecks(self._violations, settings, self._on_played_audio)
        self._metadata: CallMetadata | None = None
        self._handshake_checked = False
        self._last = 0.0
        self._incomplete_senders: set[Sender] = set()
        if session.started_midway or session.without_application:
            self._application.complete = False
        if session.started_midway:
            self._application.lose_frames(0.0, Sender.APPLICATION)
            self._violations.add_violation(
                "capture-midway", 0.0, Culprit.CAPTURE, "the handshake is not in the capture"
            )

    @property
    def over(self) -> bool:
        return self._closing.over

    def feed_event(self, event: CapturedFrame | CapturedAudio | FramesLost | SessionClosed) -> None:
        if isinstance(event, CapturedFrame):
            self._take_frame(event)
        elif isinstance(event, CapturedAudio):
            self._take_audio_frames(event)
        elif isinstance(event, FramesLost):
            self._lose_frames(event)
        else:
            at = self._last = max(self._last, event.at - self.session.began)
            self._closing.end_sender(at, event.sender, event.how)
            if event.code is not None:
                self._closing.set_close_of_either_side(at, event.code, event.reason)

    def finish_call(self) -> CallReport:
        ended = self._closing.ended
        # If the end of the call is unknown, its duration is that up to the last event.
        for entry in self._timeline.end_call(ended):
            self._take_event(entry.at, _JAMBONZ, entry.event)
        seconds = self._last if ended is None else ended
        self._detect_listen_call()
        self._check_handshake()
        self._check_missing_answer(seconds)
        close = self._closing.closes.get(_JAMBONZ)
        self._application.finish_call(seconds, closed_at=close.at if close else None, whole=ended is not None)
        captured = self.session.request is not None or self._application.has_messages
        self._closing.both_captured = captured and not self.session.without_application
        self._closing.control_captured = not self.session.without_control and not self.session.unreadable
        self._closing.finish_call(self._last)
        report = self._report(seconds)
        for observer in self._observers:
            observer.on_call_finished(self.session, report)
        return report

    def _take_frame(self, event: CapturedFrame) -> None:
        at, session, sender, frame, packet = event
        timeline = self._timeline
        for entry in timeline.advance_to(at - session.began):
            self._take_event(entry.at, _JAMBONZ, entry.event)
        at = self._last = timeline.time
        self._violations.packet = packet
        if not self._listen.started and session.started_midway and frame.opcode == _BINARY and sender is _JAMBONZ:
            # Do not wait for the first text, which came before the capture.
            self._take_events(at, sender, self._listen.start_with_defaults(at))
        if self._closes:
            self._closing.take_frame(at, sender, frame.opcode)
        if frame.opcode != _BINARY or not frame.fin:
            self._frames.take_frame(at, sender, frame)
        events = timeline.read_frame(sender, frame)
        if len(events) != 1 or self._observers or type(audio := events[0]) is not AudioReceived:
            self._take_events(at, sender, events)
            return
        self._received.take_audio(at, audio.data)
        self._application.tick(at)

    def _take_audio_frames(self, audio: CapturedAudio) -> None:
        times = [at - self.session.began for at in audio.times]
        done = 0
        while done < len(times):
            if taken := 0 if self._closes else self._timeline.take_audio_run(times[done:], audio.size):
                self._violations.packet = audio.packets[done + taken - 1]
                data = audio.data[done * audio.size : (done + taken) * audio.size]
                self._take_audio_run(times[done : done + taken], data)
                done += taken
            else:
                self._take_frame(audio.frame(done))
                done += 1

    def _take_audio_run(self, times: Sequence[float], data: bytes) -> None:
        self._last = times[-1]
        samples = len(data) // self._listen.audio_format.frame_bytes
        run = AudioRun(times, self._listen.position - samples, samples // len(times), data)
        for observer in self._observers:
            observer.on_audio_run(self.session, run)
        self._received.take_audio_run(times, data)
        self._application.tick_all(times)

    def _take_events(self, at: float, sender: Sender, events: Sequence[SessionEvent | ControlFrame]) -> None:
        lost = self._frames.is_message_lost(sender)
        glued = False
        for event in events:
            if isinstance(event, MessageReceived):
                self._received.take_message(at, event.message, glued=glued)
                glued = True
            if lost and isinstance(event, AudioSent | CommandSent):
                self._notify_entry(at, sender, event)
            else:
                self._take_event(at, sender, event)

    def _notify_entry(self, at: float, sender: Sender, event: SessionEvent | ControlFrame) -> None:
        for observer in self._observers:
            observer.on_entry(self.session, TimelineEntry(at, sender, event))

    def _take_event(self, at: float, sender: Sender, event: SessionEvent | ControlFrame) -> None:
        self._notify_entry(at, sender, event)
        match event:
            case AudioReceived():
                self._received.take_audio(at, event.data)
                self._application.tick(at)
            case AudioSent(data, fragments):
                self._application.take_audio(at, data, fragments)
            case CommandSent(command=command):
                self._application.take_command(at, command)
            case MessageReceived(message=message):
                self._application.take_answer(at, message)
            case CallStarted() | MetadataArrived():
                self._take_metadata(at, event)
            case GapFound(gap):
                self._received.take_gap(at, gap)
            case ControlFrame(frame):
                self._closing.take_control_frame(at, sender, frame)
            case FlushRequested():
                self._closing.take_shutdown(at)
            case ProtocolViolation():
                self._take_protocol_violation(at, sender, event)

    def _take_metadata(self, at: float, event: CallStarted | MetadataArrived) -> None:
        self._check_handshake()
        metadata = event.metadata
        self._metadata = (
            metadata if len(metadata.raw) <= _MAX_METADATA else CallMetadata.parse(metadata.raw[:MAX_REPAIR])
        )
        # A capture that begins within a call cannot contain the first text.
        if metadata.raw or not (self.session.started_midway or _JAMBONZ in self._incomplete_senders):
            late = isinstance(event, MetadataArrived)
            self._received.take_metadata(at, metadata, event.audio_format, late=late)
        else:
            self._received.set_format(event.audio_format)
        self._application.set_rates(event.audio_format.sample_rate, metadata_stream_rate(metadata.fields))

    def _take_protocol_violation(self, at: float, sender: Sender, violation: ProtocolViolation) -> None:
        if violation.rule == "frame-order" and sender in self._incomplete_senders:
            return  # The first or last frame of the message is missing from the capture.
        if violation.rule in RULES and violation.rule not in _REPORTED_BY_CHECKS:
            self._violations.add_violation(violation.rule, at, Culprit(sender), violation.detail)

    def _lose_frames(self, lost: FramesLost) -> None:
        at = self._last = max(self._last, lost.at - self.session.began)
        self._violations.packet = None
        if lost.cut_by:
            self._violations.add_violation("frame-cut", at, Culprit(lost.cut_by), lost.detail)
        else:
            self._lose_captured(at, lost)
        self._incomplete_senders.add(lost.sender)
        self._application.lose_frames(at, lost.sender)
        self._closing.lose_frames(at, lost.sender)

    def _lose_captured(self, at: float, lost: FramesLost) -> None:
        if lost.sender is _JAMBONZ:
            self._listen.ledger.add_uncaptured(self._received.samples_in(lost))
        self._received.lose_frames(at, lost)
        for observer in self._observers:
            observer.on_frames_lost(self.session, at, lost)

    def _detect_listen_call(self) -> None:
        session, metadata = self.session, self._metadata
        if session.is_listen is None and (
            session.subprotocol in SUBPROTOCOLS or (metadata is not None and metadata.describes_call)
        ):
            session.is_listen = True

    def _check_handshake(self) -> None:
        """Check the handshake once; it is complete when anything follows it."""
        if not self._handshake_checked:
            self._handshake_checked = True
            for rule, culprit, detail in check_handshake(self.session):
                self._violations.add_violation_at(rule, MessagePlace(0.0), culprit, detail)

    def _check_missing_answer(self, seconds: float) -> None:
        session = self.session
        followed = self._metadata or self._closes or self._incomplete_senders or self._application.has_messages
        if session.request is None or session.response or session.started_midway or followed:
            return
        ended_by = self._closing.connection_ended_by
        if found := check_missing_answer(seconds, ended_by):
            # Only a server that could have answered made an error.
            severity = Severity.INFO if ended_by is _JAMBONZ and found[0] is Culprit.JAMBONZ else None
            self._violations.add_violation_at("handshake-unanswered", MessagePlace(0.0), *found, severity=severity)

    def _report(self, seconds: float) -> CallReport:
        received, application = self._received, self._application
        drift = received.finish_call(self._listen.ledger.measured_rate)
        if self.session.unreadable:
            received.completeness.unknown = "TLS sessions without secrets can't be checked"
        listens = self.session.is_listen is not False
        marks, clips = application.marks, application.clips
        return CallReport(
            call=self._make_id(self._metadata.call_sid if self._metadata else None, listens),
            session=self.session,
            seconds=seconds,
            metadata=self._metadata,
            audio_format=self._listen.audio_format,
            audio=received.counts,
            completeness=received.completeness,
            gaps=received.gaps,
            arrivals=received.arrivals,
            drift=drift,
            keys=received.keys,
            marks=marks.records,
            clips=clips.records,
            mode=application.mode,
            stream=application.describe_stream(),
            commands=dict(application.commands),
            texts=dict(received.texts),
            pings=self._closing.describe_pings(),
            close=self._closing.describe_close(),
            # Other WebSockets follow other rules.
            violations=self._violations.sorted_violations() if listens else [],
            counts=dict(self._violations.counts) if listens else {},
            over_listed=received.over_listed + marks.over_listed + clips.over_listed,
        )

    def _on_violation(self, violation: Violation) -> None:
        if self.session.is_listen is not False:
            for observer in self._observers:
                observer.on_violation(self.session, violation)

    def _on_played_audio(self, at: float, sample_rate: int, samples: bytes) -> None:
        for observer in self._observers:
            observer.on_played_audio(self.session, at, sample_rate, samples)
