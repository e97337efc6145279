"""What happened in a simulated call: events as it goes (`listenctl-events(5)`), a summary in the end."""

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
from listenctl.protocol.application_commands import (
    ClearMarks,
    Command,
    Disconnect,
    KillAudio,
    MarkCommand,
    PlayAudio,
    UnknownCommand,
)
from listenctl.protocol.call_metadata import CallMetadata
from listenctl.protocol.jambonz_messages import Dtmf, Mark, PlayDone
from listenctl.protocol.jambonz_model.command_verdicts import Verdict
from listenctl.protocol.jambonz_model.send_buffer import HEADER_SLIP
from listenctl.protocol.opening_handshake import basic_authorization
from listenctl.simulator.action_hook import HookAnswer
from listenctl.simulator.injected_faults import FaultNote
from listenctl.simulator.plan import CallPlan
from listenctl.statistics import Histogram

UNKNOWN_CALL = "unknown-1"
_MAX_REMEMBERED = 10_000
_WORDS = {
    PlayAudio: "playAudio",
    KillAudio: "killAudio",
    MarkCommand: "mark",
    ClearMarks: "clearMarks",
    Disconnect: "disconnect",
}
_AUDIO = "audio"


@dataclass(frozen=True, slots=True)
class SimulatedCallResult:
    """
    How a call went.

    Attributes:
        samples: per channel, taken from the call; ``lost_samples`` of them never left because the server was slow.
        wrong: verdicts that say that the server should do something about it.
        taken: the server has all that was sent, and the connection was ended in order.
    """

    end: ConnectionEnd
    samples: int
    lost_samples: int
    wrong: int
    taken: bool


class SimulatedCallLog:
    """Report one call."""

    def __init__(self, plan: CallPlan, metadata: CallMetadata, reporter: Reporter) -> None:
        self._plan = plan
        self._metadata = metadata
        self._reporter = reporter
        self._call_sid = metadata.call_sid
        self.id = metadata.call_sid or UNKNOWN_CALL
        self.lateness = Histogram()
        self.digits = ""
        self.commands = 0
        self.wrong = 0
        self._frames = self._samples = self._lost = self._hole = self._hole_end = 0
        self._received_audio = self._received_messages = 0
        self._number = 0
        self._words: dict[int, str] = {}

    def begin(self) -> None:
        """Report what is odd about the plan."""
        for warning in (*self._plan.verb.notes, *self._plan.warnings):
            self.warn("verb", warning)

    def refused(self, problem: str) -> None:
        """Report a call that didn't come about, and what may be the reason."""
        target = self._plan.target
        for warning in (*target.address.warnings, basic_authorization(target.credentials)[1]):
            if warning is not None:
                self.warn("handshake", warning)
        self._emit(CallFailedEvent(url=str(target.address), detail=problem))

    def connected(self, handshake: ClientHandshake) -> None:
        """Report a connection."""
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
                subprotocol=handshake.subprotocol,
                handshake_ms={name: round(time * 1000, 1) for name, time in times.items()},
                redirects=list(handshake.redirects),
                tls=self._plan.target.address.secure,
            )
        )
        for warning in handshake.warnings:
            self.warn("handshake", warning)

    def call_started(self, *, streaming: bool, damage: str | None) -> None:
        """Report what the call is, and what will be wrong about its first text."""
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
        """Report something odd that is nobody's command."""
        self._emit(WarningEvent(rule=rule, detail=detail))

    def sound(self, state: PlaybackState) -> None:
        """Report that the caller's loudspeaker has gone away or come back."""
        if state.text:
            self.warn(state.rule, state.text)

    def fault(self, note: FaultNote) -> None:
        """Report a trouble that was asked for and begins."""
        self._emit(FaultEvent(name=note.name, value=note.value, detail=note.detail, time=round(note.time, 3)))

    def frame(self, samples: int, lateness: float, lost: int) -> None:
        """Count a frame, which cost ``lost`` samples; report a hole when it is over."""
        if lost:
            self._hole += lost
            # All that waited is lost and the head of this frame; where resampled, just this one (protocol.md 3.3).
            head = samples if lost == samples else HEADER_SLIP // self._plan.audio_format.frame_bytes
            self._hole_end = self._samples + head
        elif self._hole:
            self._report_hole()
        self._frames += 1
        self._samples += samples
        self.lateness.add_value(lateness)

    def _report_hole(self) -> None:
        rate = self._plan.verb.sample_rate
        position = self._hole_end - self._hole - self._lost
        event = GapEvent(
            kind="hole",
            position=position,
            time=round(position / rate, 3),
            length=round(self._hole / rate, 3),
            missing=self._hole,
        )
        self._lost += self._hole
        self._hole = 0
        self._emit(event)

    def add_digit(self, digit: str) -> None:
        """Note a key."""
        self.digits += digit

    def dtmf(self, message: Dtmf, time: float) -> None:
        """Report a key that the server is told of."""
        self._emit(message_event(message, position=self._samples, time=round(time, 3)))

    def take_command(self, command: Command) -> None:
        """Count a text of the server."""
        word = (command.type or "unknown") if isinstance(command, UnknownCommand) else _WORDS[type(command)]
        self.commands += 1
        self._number += 1
        self._words[self._number] = word
        self._words.pop(self._number - _MAX_REMEMBERED, None)

    def take_audio(self, size: int) -> None:
        """Count a binary message of the server."""
        self._received_audio += size
        self._received_messages += 1
        self._number += size > 0

    def judge(self, verdicts: Iterable[Verdict], time: float) -> None:
        """Report what jambonz makes of what the server sent."""
        for verdict in verdicts:
            self.wrong += verdict.wrong
            self._emit(
                VerdictEvent(
                    number=verdict.command,
                    command=self._words.get(verdict.command, _AUDIO),
                    outcome=str(verdict.outcome),
                    reason=verdict.reason,
                    detail=verdict.sentence,
                    wrong=verdict.wrong,
                    time=round(time, 3),
                )
            )

    def answer(self, message: Mark | PlayDone, time: float, round_trip: float | None) -> None:
        """Report an answer to the server."""
        self._emit(message_event(message, time=round(time, 3), round_trip=round_trip))

    def hook(self, url: str, answer: HookAnswer) -> None:
        """Report what became of the action hook."""
        self._emit(ActionHookEvent(url=url, status=answer.status, detail=answer.detail))

    def close(
        self, end: ConnectionEnd, *, elapsed: float, unsent_samples: int, taken: bool, cause: str
    ) -> SimulatedCallResult:
        """Report the end; what a stall costs that was asked for is nobody's loss."""
        if self._hole:
            self._report_hole()
        lost = self._lost + unsent_samples
        taken = taken and end.ended_well
        asked_for = any(fault.name == "stall" for fault in self._plan.faults)
        summary = SimulatedCallResult(end, self._samples, 0 if asked_for else lost, self.wrong, taken)
        lateness = self.lateness.summary()
        event = SimulatedCallEndedEvent(
            seconds=round(self._samples / self._plan.verb.sample_rate, 3),
            samples=self._samples,
            frames=self._frames,
            duration=round(elapsed, 3),
            cause=cause,
            closed_by=end.by,
            close_code=end.code,
            close_reason=end.reason,
            detail=end.detail,
            lost_samples=lost,
            lateness_ms=lateness.scaled(1000) if lateness else None,
            commands=self.commands,
            received_audio_bytes=self._received_audio,
            received_audio_messages=self._received_messages,
            wrong=self.wrong,
            digits=self.digits,
            taken=taken,
        )
        self._emit(event)
        return summary

    def _emit(self, event: EventFields) -> None:
        self._reporter.emit(event, call=self.id, call_sid=self._call_sid)
