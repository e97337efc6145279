"""The events of a simulated call (`listenctl-events(5)`), and its result."""

from collections.abc import Iterable
from dataclasses import dataclass

from listenctl.events import (
    ActionHookEvent,
    CallFailedEvent,
    ConnectedEvent,
    EventFields,
    FaultEvent,
    GapEvent,
    Reporter,
    SimulatedCallEndedEvent,
    SimulatedCallStartedEvent,
    VerdictEvent,
    WarningEvent,
    message_event,
)
from listenctl.media.devices.playback_device import PlaybackState
from listenctl.net.client_connection import ConnectionEnd
from listenctl.net.client_handshake import ClientHandshake
from listenctl.percentiles import Histogram
from listenctl.protocol.application_commands import Command
from listenctl.protocol.call_metadata import CallMetadata
from listenctl.protocol.jambonz_messages import Dtmf, Mark, PlayDone
from listenctl.protocol.jambonz_model.command_verdicts import Verdict
from listenctl.protocol.jambonz_model.rule_catalogue import remedy_of
from listenctl.protocol.jambonz_model.send_buffer import HEADER_SLIP
from listenctl.protocol.opening_handshake import basic_authorization
from listenctl.protocol.privacy.hide_secrets import shown_subprotocols, shown_url
from listenctl.simulator.action_hook import HookAnswer
from listenctl.simulator.injected_faults import Fault
from listenctl.simulator.plan import CallPlan

UNKNOWN_CALL = "unknown-1"
_MAX_COMMANDS = 10_000
"""Commands whose type is remembered for verdicts that come later."""
_AUDIO = "audio"


@dataclass(frozen=True, slots=True)
class SimulatedCallResult:
    """How a call went."""

    end: ConnectionEnd
    samples: int  # per channel, sent to the server
    lost_samples: int  # that never left because it did not take them in time; a requested stall doesn't count
    wrong: int  # verdicts on which the server's developer should act
    taken: bool  # the server has everything that was sent, and the connection was closed in order


class SimulatedCallLog:
    def __init__(self, plan: CallPlan, metadata: CallMetadata, reporter: Reporter) -> None:
        self._plan = plan
        self._metadata = metadata
        self._reporter = reporter
        self.id = metadata.call_sid or UNKNOWN_CALL
        self.lateness = Histogram()
        self.digits = ""
        self.commands = 0
        self.wrong = 0
        self._frames = self._samples = self._reported_lost = self._hole = self._hole_end = self._stalled = 0
        self._received_audio = self._received_messages = 0
        self._command_types: dict[int, str] = {}

    @property
    def lost_samples(self) -> int:
        return self._reported_lost + self._hole

    def report_plan_warnings(self) -> None:
        for warning in (*self._plan.verb.notes, *self._plan.warnings):
            self.warn("verb", warning)

    def report_refusal(self, problem: str) -> None:
        target = self._plan.target
        for warning in (*target.address.warnings, basic_authorization(target.credentials)[1]):
            if warning is not None:
                self.warn("handshake", warning)
        self._emit(CallFailedEvent(url=str(target.address), detail=problem))

    def report_connection(self, handshake: ClientHandshake) -> None:
        times = {
            "connect": handshake.connect_seconds,
            "tls": handshake.tls_seconds,
            "upgrade": handshake.upgrade_seconds,
            "total": handshake.seconds,
        }
        self._emit(
            ConnectedEvent(
                url=str(self._plan.target.address),
                remote=handshake.remote,
                subprotocol=shown_subprotocols(handshake.subprotocol, (self._plan.target.subprotocol,)),
                handshake_ms={name: round(time * 1000, 1) for name, time in times.items()},
                redirects=list(handshake.redirects),
                tls=self._plan.target.address.secure,
            )
        )
        for warning in handshake.warnings:
            self.warn("handshake", warning)

    def report_start(self, *, streaming: bool, damage: str | None) -> None:
        verb = self._plan.verb
        self._emit(
            SimulatedCallStartedEvent(
                url=str(self._plan.target.address),
                kind=str(self._plan.kind),
                profile=self._plan.profile.name,
                sample_rate=verb.sample_rate,
                channels=self._plan.audio_format.channels,
                mix_type=verb.mix_type,
                streaming=streaming,
                stream_rate=verb.bidirectional.sample_rate if streaming else None,
                metadata=dict(self._metadata.fields),
                metadata_valid=damage is None,
            )
        )
        if damage is not None:
            self.warn("first-frame", damage)

    def warn(self, rule: str, detail: str) -> None:
        self._emit(WarningEvent(rule=rule, detail=detail))

    def report_sound(self, state: PlaybackState) -> None:
        if state.text:
            self.warn(state.rule, state.text)

    def report_fault(self, fault: Fault) -> None:
        detail, time = fault.kind.describe(fault.text), round(fault.start, 3)
        self._emit(FaultEvent(name=fault.name, value=fault.text, detail=detail, time=time))

    def add_frame(self, samples: int, lateness: float, lost: int, *, stalled: bool = False) -> None:
        """Count a frame at which ``lost`` samples were dropped (``stalled``: by us); report a hole when it is over."""
        if lost:
            self._hole += lost
            self._stalled += lost * stalled
            # Everything in the buffer is lost, and the head of this frame; with resampling, only this frame
            # (listenctl-protocol(7) 3.3).
            head = samples if lost == samples else HEADER_SLIP // self._plan.audio_format.frame_bytes
            self._hole_end = self._samples + head
        elif self._hole:
            self._report_hole()
        self._frames += 1
        self._samples += samples
        self.lateness.add_value(lateness)

    def add_digit(self, digit: str) -> None:
        self.digits += digit

    def report_dtmf(self, message: Dtmf, time: float) -> None:
        self._emit(message_event(message, position=self._samples, time=round(time, 3)))

    def add_command(self, number: int, command: Command) -> None:
        self._command_types[number] = command.type or "unknown"
        if len(self._command_types) > _MAX_COMMANDS:
            del self._command_types[next(iter(self._command_types))]
        self.commands += 1

    def add_received_audio(self, size: int) -> None:
        self._received_audio += size
        self._received_messages += 1

    def report_verdicts(self, verdicts: Iterable[Verdict], time: float) -> None:
        for verdict in verdicts:
            self.wrong += verdict.wrong
            self._emit(
                VerdictEvent(
                    number=verdict.command,
                    command=self._command_types.get(verdict.command, _AUDIO),
                    outcome=str(verdict.outcome),
                    reason=str(verdict.reason),
                    detail=verdict.sentence,
                    advice=remedy_of(verdict.reason) if verdict.wrong else "",
                    wrong=verdict.wrong,
                    time=round(time if verdict.time is None else verdict.time, 3),
                )
            )

    def report_answer(self, message: Mark | PlayDone, time: float, round_trip: float | None) -> None:
        self._emit(message_event(message, time=round(time, 3), round_trip=round_trip))

    def report_action_hook(self, url: str, answer: HookAnswer) -> None:
        self._emit(ActionHookEvent(url=shown_url(url), status=answer.status, detail=answer.detail))

    def end_call(
        self, end: ConnectionEnd, *, elapsed: float, unsent_samples: int, taken: bool, cause: str, stalled: bool = False
    ) -> SimulatedCallResult:
        """Report the end and return the result; ``stalled`` is whether we keep back the samples that are unsent."""
        if self._hole:
            self._report_hole()
        lost = self.lost_samples + unsent_samples
        stalled_samples = self._stalled + unsent_samples * stalled
        sent = self._samples - lost
        taken = taken and end.ended_well
        result = SimulatedCallResult(end, sent, lost - stalled_samples, self.wrong, taken)
        lateness = self.lateness.summary()
        self._emit(
            SimulatedCallEndedEvent(
                seconds=round(sent / self._plan.verb.sample_rate, 3),
                samples=sent,
                frames=self._frames,
                duration=round(elapsed, 3),
                cause=cause,
                closed_by=end.by,
                close_code=end.code,
                close_reason=end.reason,
                detail=end.detail,
                lost_samples=lost,
                stalled_samples=stalled_samples,
                lateness_ms=lateness.scaled(1000) if lateness else None,
                commands=self.commands,
                received_audio_bytes=self._received_audio,
                received_audio_messages=self._received_messages,
                wrong=self.wrong,
                digits=self.digits,
                taken=taken,
            )
        )
        return result

    def _report_hole(self) -> None:
        rate = self._plan.verb.sample_rate
        position = self._hole_end - self._hole - self._reported_lost
        event = GapEvent(
            kind="hole",
            position=position,
            time=round(position / rate, 3),
            length=round(self._hole / rate, 3),
            missing=self._hole,
        )
        self._reported_lost += self._hole
        self._hole = 0
        self._emit(event)

    def _emit(self, event: EventFields) -> None:
        self._reporter.emit(event, call=self.id, call_sid=self._metadata.call_sid, trace_id=self._metadata.trace_id)
