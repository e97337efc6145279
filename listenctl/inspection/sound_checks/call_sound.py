"""Check the sound of both sides of each call, and whether jambonz sends back what the application plays."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from listenctl.capture.capture_events import CapturedSession
from listenctl.inspection.call_observers import AudioRun, CallObserver
from listenctl.inspection.call_report import CallReport
from listenctl.inspection.rule_violations import Culprit, Violation
from listenctl.inspection.sound_checks.echo_checks import EchoChecks
from listenctl.json_lines import JsonObject
from listenctl.media.sound_checks.sender_sound import SenderSoundChecks, SenderSoundReport
from listenctl.media.sound_checks.sound_fault import SoundFault
from listenctl.protocol.application_commands import PlayAudio
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.dtmf_digits import MASKED_DIGIT
from listenctl.protocol.listen_session import (
    AudioReceived,
    AudioSent,
    CallStarted,
    CommandSent,
    GapFound,
    MetadataArrived,
)
from listenctl.protocol.timeline import TimelineEntry


@dataclass(frozen=True, slots=True)
class CallSoundReport:
    jambonz: SenderSoundReport
    application: SenderSoundReport | None  # None if the caller heard nothing of it
    between: tuple[SoundFault, ...]  # faults that concern both sides
    rates: tuple[int, int]  # sample rates of what jambonz sent and of what the application played
    begins: tuple[float, float]  # when the audio of each began, in seconds since the call began

    def violations(self) -> Iterator[Violation]:
        for fault in (*self.jambonz.faults, *self.between):
            at = self.begins[0] + (fault.position or 0) / self.rates[0]
            yield Violation(fault.rule, fault.severity, at, Culprit.JAMBONZ, fault.position, None, fault.sentence)
        for fault in self.application.faults if self.application else ():
            # This position counts what the caller heard, not what jambonz sent.
            at = self.begins[1] + (fault.position or 0) / self.rates[1]
            yield Violation(fault.rule, fault.severity, at, Culprit.APPLICATION, None, None, fault.sentence)

    def to_json(self) -> JsonObject:
        return self.jambonz.to_json() | {
            "verdicts": [fault.to_json() for fault in (*self.jambonz.faults, *self.between)],
            "application": self.application.to_json() if self.application else None,
        }


class SoundChecksObserver(CallObserver):
    """Check the sound of every call and add the violations to its report, where later observers find them."""

    def __init__(
        self, on_violation: Callable[[CapturedSession, Violation], None] = lambda _session, _violation: None
    ) -> None:
        self._on_violation = on_violation  # also called with each violation
        self._open: dict[CapturedSession, _CallSoundChecks] = {}
        self.reports: dict[int, CallSoundReport] = {}  # by number of the session

    def on_session_opened(self, session: CapturedSession) -> None:
        self._open[session] = _CallSoundChecks()

    def on_entry(self, session: CapturedSession, entry: TimelineEntry) -> None:
        if sound := self._open.get(session):
            sound.take_entry(entry)

    def on_audio_run(self, session: CapturedSession, audio: AudioRun) -> None:
        if sound := self._open.get(session):
            sound.take_audio_run(audio)

    def on_played_audio(self, session: CapturedSession, at: float, sample_rate: int, samples: bytes) -> None:
        if sound := self._open.get(session):
            sound.take_played_audio(at, sample_rate, samples)

    def on_call_finished(self, session: CapturedSession, report: CallReport) -> None:
        sound = self._open.pop(session, None)
        if sound and (found := sound.finish(report)):
            self.reports[session.number] = found
            if report.listens:
                violations = list(found.violations())
                report.add_violations(violations)
                for violation in violations:
                    self._on_violation(session, violation)


class _CallSoundChecks:
    def __init__(self) -> None:
        self._jambonz: SenderSoundChecks | None = None
        self._application: SenderSoundChecks | None = None
        self._echo = EchoChecks(AudioFormat(8000, 1))
        self._rates, self._begins = [8000, 8000], [0.0, 0.0]
        self._begun = False

    def take_entry(self, entry: TimelineEntry) -> None:
        match entry.event:
            case AudioReceived(position=position, data=data) if self._jambonz:
                self._begin(entry.at)
                self._jambonz.add_audio(data)
                self._echo.take_received_audio(entry.at, position, data)
            case CallStarted(audio_format=audio_format) | MetadataArrived(audio_format=audio_format):
                # Audio before late metadata was interpreted in the wrong format.
                self._jambonz = SenderSoundChecks(audio_format)
                self._rates[0], self._begun = audio_format.sample_rate, False
                self._echo = EchoChecks(audio_format)
            case GapFound(gap):
                self._echo.take_gap(gap)
            case AudioSent() | CommandSent(command=PlayAudio()):
                self._echo.application_plays = True

    def take_audio_run(self, audio: AudioRun) -> None:
        if self._jambonz:
            self._begin(audio.times[0])
            self._jambonz.add_audio(audio.data)
            self._echo.take_audio_run(audio)

    def take_played_audio(self, at: float, sample_rate: int, samples: bytes) -> None:
        if self._application is None:
            self._rates[1], self._begins[1] = sample_rate, at
            self._application = SenderSoundChecks(AudioFormat(sample_rate, 1), name="what the application plays")
        self._application.add_audio(samples)
        self._echo.take_played_audio(at, sample_rate, samples)

    def finish(self, report: CallReport) -> CallSoundReport | None:
        if self._jambonz is None:
            return None
        plays_clips = report.mode is not None and not report.mode.streams
        mixed = report.metadata is not None and report.metadata.mix_type == "mixed"
        application = self._application.finish() if self._application else None
        between = tuple(self._echo.finish(plays_clips=plays_clips, mixed=mixed))
        (rate, other_rate), (begin, other_begin) = self._rates, self._begins
        jambonz = self._jambonz.finish()
        if any(key.digit == MASKED_DIGIT for key in report.keys):
            # Tones that were silenced may have been the only sound.
            heard = tuple(fault for fault in jambonz.faults if fault.rule not in ("audio-silent", "audio-one-way"))
            jambonz = replace(jambonz, faults=heard)
        return CallSoundReport(jambonz, application, between, (rate, other_rate), (begin, other_begin))

    def _begin(self, at: float) -> None:
        if not self._begun:
            self._begun, self._begins[0] = True, at
