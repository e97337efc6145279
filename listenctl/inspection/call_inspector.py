"""
Inspect one call: fold its frames into what they mean, hand that to those whose concern it is, and report.

Nearly every frame is audio from jambonz that is in time. Of those that come as a run all are taken at once, which takes
a quarter of the time; the first that means anything else is looked at by itself.
"""

from collections.abc import Callable, Sequence

from websockets.frames import Opcode

from listenctl.capture.capture_events import CapturedAudio, CapturedFrame, CapturedSession, FramesLost, SessionClosed
from listenctl.inspection.call_observers import AudioRun, CallObserver
from listenctl.inspection.call_report import CallReport
from listenctl.inspection.message_checks.application_message_checks import ApplicationMessageChecks
from listenctl.inspection.message_checks.frame_checks import FrameChecks
from listenctl.inspection.message_checks.handshake_checks import check_handshake
from listenctl.inspection.message_checks.jambonz_message_checks import JambonzMessageChecks
from listenctl.inspection.message_checks.ping_and_close_checks import PingAndCloseChecks
from listenctl.inspection.message_checks.stream_or_clips import CallMode
from listenctl.inspection.rule_catalogue import RULES, Culprit, Violation
from listenctl.inspection.rule_violations import ViolationLog
from listenctl.inspection.settings import InspectionSettings
from listenctl.protocol.call_metadata import MAX_REPAIR, CallMetadata
from listenctl.protocol.call_sharing.stream_rate import rate_in
from listenctl.protocol.frames.websocket_messages import ControlFrame
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

# What the session says for itself, and this says with more words or by other rules.
_SAID_BETTER = {"first-frame", "no-metadata", "late-metadata"}
_LISTEN_FIELDS = {"sampleRate", "mixType", "callSid"}
_JAMBONZ = Sender.JAMBONZ
_BINARY = int(Opcode.BINARY)
# A hundred times what jambonz sends at most; reports of many calls are kept.
_MOST_METADATA = 1_000_000


class CallInspector:
    """
    Inspect one session.

    Args:
        observers: told of everything as it is known.
        name: gives the call its id, from its callSid if it has one.
    """

    def __init__(
        self,
        session: CapturedSession,
        settings: InspectionSettings | None = None,
        observers: Sequence[CallObserver] = (),
        *,
        name: Callable[[str | None], str] | None = None,
    ) -> None:
        self._name = name or _name_alone
        self.session = session
        self._settings = settings = settings or InspectionSettings()
        self._observers = observers
        self._listen = ListenSession(started_at=0.0, default_format=settings.default_format)
        self._timeline = Timeline(self._listen)
        self._findings = ViolationLog(self._tell)
        self._closing = PingAndCloseChecks(self._findings)
        self._closes = self._closing.closes
        self._received = JambonzMessageChecks(self._findings, detect_dtmf=settings.detect_dtmf)
        self._frames = FrameChecks(self._findings)
        stated = None if settings.stream_rate is None else CallMode(settings.stream_rate, "option", stated=True)
        self._application = ApplicationMessageChecks(self._findings, settings, stated=stated, hear=self._hear)
        self._metadata: CallMetadata | None = None
        self._handshake_checked = False
        self._last = 0.0
        self._torn: set[Sender] = set()
        if session.started_midway or session.without_application:
            self._application.complete = False
        if session.started_midway:
            self._application.lose(0.0, Sender.APPLICATION)
            self._findings.add("capture-midway", 0.0, Culprit.CAPTURE, "the handshake isn't in the capture")

    @property
    def over(self) -> bool:
        """Whether neither side can say anything more."""
        return self._closing.over

    def feed(self, event: CapturedFrame | CapturedAudio | FramesLost | SessionClosed) -> None:
        """Take what happens next."""
        if isinstance(event, CapturedFrame):
            self._see(event)
        elif isinstance(event, CapturedAudio):
            self._see_audio(event)
        elif isinstance(event, FramesLost):
            self._lose(event)
        else:
            at = self._last = max(self._last, event.at - self.session.began)
            self._closing.end(at, event.sender, event.how)

    def finish(self) -> CallReport:
        """Settle everything, and report."""
        ended = self._closing.ended
        # Where nobody knows when it ended, it lasted to the last that was said.
        for entry in self._timeline.end_call(ended):
            self._take(entry.at, _JAMBONZ, entry.event)
        seconds = self._last if ended is None else ended
        self._find_out_whether_it_listens()
        self._check_handshake()
        close = self._closing.closes.get(_JAMBONZ)
        self._application.finish(seconds, closed_at=close.at if close else None, whole=ended is not None)
        heard = self.session.request is not None or self._application.spoke
        self._closing.both_seen = heard and not self.session.without_application
        self._closing.control_seen = not self.session.without_control and not self.session.unreadable
        self._closing.finish(self._last)
        report = self._report(seconds)
        for observer in self._observers:
            observer.on_finished(self.session, report)
        return report

    def _see(self, event: CapturedFrame) -> None:
        at, session, sender, frame, packet = event
        timeline = self._timeline
        for entry in timeline.advance_to(at - session.began):
            self._take(entry.at, _JAMBONZ, entry.event)
        at = self._last = timeline.time
        self._findings.packet = packet
        if not self._listen.started and session.started_midway and frame.opcode == _BINARY and sender is _JAMBONZ:
            # The first text isn't to be waited for: it came before the capture.
            self._take_all(at, sender, self._listen.start_with_defaults(at))
        if self._closes:
            self._closing.frame(at, sender, frame.opcode)
        if frame.opcode != _BINARY or not frame.fin:
            self._frames.look(at, sender, frame)
        events = timeline.read_frame(sender, frame)
        if len(events) != 1 or self._observers or type(audio := events[0]) is not AudioReceived:
            self._take_all(at, sender, events)
            return
        self._received.audio(at, audio.data)
        self._application.tick(at)

    def _see_audio(self, audio: CapturedAudio) -> None:
        """Take what is as it should be all at once, and the rest frame by frame."""
        times = [at - self.session.began for at in audio.times]
        done = 0
        while done < len(times):
            if taken := 0 if self._closes else self._timeline.take_audio_run(times[done:], audio.size):
                self._findings.packet = audio.packets[done + taken - 1]
                data = audio.data[done * audio.size : (done + taken) * audio.size]
                self._receive(times[done : done + taken], data)
                done += taken
            else:
                self._see(audio.frame(done))
                done += 1

    def _receive(self, times: Sequence[float], data: bytes) -> None:
        self._last = times[-1]
        samples = len(data) // self._listen.audio_format.frame_bytes
        stretch = AudioRun(times, self._listen.position - samples, samples // len(times), data)
        for observer in self._observers:
            observer.on_audio(self.session, stretch)
        self._received.audio_run(times, data)
        self._application.tick_all(times)

    def _take_all(self, at: float, sender: Sender, events: Sequence[SessionEvent | ControlFrame]) -> None:
        lost = self._frames.take_lost(sender)
        glued = False
        for event in events:
            if isinstance(event, MessageReceived):
                self._received.message(at, event.message, glued=glued)
                glued = True
            if lost and isinstance(event, AudioSent | CommandSent):
                self._show(at, sender, event)
            else:
                self._take(at, sender, event)

    def _show(self, at: float, sender: Sender, event: SessionEvent | ControlFrame) -> None:
        for observer in self._observers:
            observer.on_entry(self.session, TimelineEntry(at, sender, event))

    def _take(self, at: float, sender: Sender, event: SessionEvent | ControlFrame) -> None:
        self._show(at, sender, event)
        match event:
            case AudioReceived():
                self._received.audio(at, event.data)
                self._application.tick(at)
            case AudioSent(data):
                self._application.audio(at, data)
            case CommandSent(command=command):
                self._application.command(at, command)
            case MessageReceived(message=message):
                self._application.answer(at, message)
            case CallStarted() | MetadataArrived():
                self._start(at, event)
            case _:
                self._take_rare(at, sender, event)

    def _take_rare(self, at: float, sender: Sender, event: SessionEvent | ControlFrame) -> None:
        match event:
            case GapFound(gap):
                self._received.gap(at, gap)
            case ControlFrame(frame):
                self._closing.control(at, sender, frame)
            case FlushRequested():
                self._closing.announce_shutdown(at)
            case ProtocolViolation():
                self._violate(at, sender, event)

    def _start(self, at: float, event: CallStarted | MetadataArrived) -> None:
        self._check_handshake()
        metadata = event.metadata
        self._metadata = (
            metadata if len(metadata.raw) <= _MOST_METADATA else CallMetadata.parse(metadata.raw[:MAX_REPAIR])
        )
        # A capture that begins within a call can't have the first text.
        if metadata.raw or not (self.session.started_midway or _JAMBONZ in self._torn):
            late = isinstance(event, MetadataArrived)
            self._received.start(at, metadata, event.audio_format, late=late)
        else:
            self._received.begin(event.audio_format)
        self._application.learn(event.audio_format.sample_rate, rate_in(metadata.fields))

    def _violate(self, at: float, sender: Sender, violation: ProtocolViolation) -> None:
        if violation.rule == "frame-order" and sender in self._torn:
            return  # The first frame of the message is missing in the capture, or its last.
        if violation.rule in RULES and violation.rule not in _SAID_BETTER:
            self._findings.add(violation.rule, at, Culprit(sender), violation.detail)

    def _lose(self, lost: FramesLost) -> None:
        at = self._last = max(self._last, lost.at - self.session.began)
        self._findings.packet = None
        if lost.sender is _JAMBONZ:
            self._listen.ledger.add_uncaptured(self._received.samples_in(lost))
        self._received.lose(at, lost)
        self._torn.add(lost.sender)
        self._application.lose(at, lost.sender)
        self._closing.lose(at, lost.sender)
        for observer in self._observers:
            observer.on_lost(self.session, at, lost)

    def _find_out_whether_it_listens(self) -> None:
        session, metadata = self.session, self._metadata
        if session.is_listen is None and (
            session.subprotocol in SUBPROTOCOLS or (metadata is not None and _LISTEN_FIELDS & metadata.fields.keys())
        ):
            session.is_listen = True

    def _check_handshake(self) -> None:
        """Look at the handshake, once; it is all there as soon as anything follows it."""
        if not self._handshake_checked:
            self._handshake_checked = True
            for rule, sender, detail in check_handshake(self.session):
                self._findings.first(rule, sender, detail)

    def _report(self, seconds: float) -> CallReport:
        received, application = self._received, self._application
        drift = received.finish()
        if self.session.unreadable:
            received.completeness.unknown = "what can't be decrypted isn't known"
        listens = self.session.is_listen is not False
        marks, clips = application.marks, application.clips
        return CallReport(
            call=self._name(self._metadata.call_sid if self._metadata else None),
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
            commands=dict(application.kinds),
            texts=dict(received.texts),
            pings=self._closing.describe_pings(),
            close=self._closing.describe(),
            # The rules are those of the listen protocol.
            violations=self._findings.in_order() if listens else [],
            counts=dict(self._findings.counts) if listens else {},
            over_listed=received.over_listed + marks.over_listed + clips.over_listed,
        )

    def _tell(self, violation: Violation) -> None:
        if self.session.is_listen is not False:
            for observer in self._observers:
                observer.on_violation(self.session, violation)

    def _hear(self, at: float, sample_rate: int, samples: bytes) -> None:
        for observer in self._observers:
            observer.on_audio_out(self.session, at, sample_rate, samples)


def _name_alone(call_sid: str | None) -> str:
    return call_sid or "unknown-1"
