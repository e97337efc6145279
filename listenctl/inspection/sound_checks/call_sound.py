"""
How both sides of one call sound, and whether what jambonz sends repeats what the application plays: an echo.

Nothing of the application's sound is in the left channel, nor in the right one if it was streamed; a clip is in the
right one (protocol.md 3.1).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from listenctl.events import Report
from listenctl.inspection.call_observers import AudioRun
from listenctl.inspection.rule_catalogue import Culprit, Violation
from listenctl.inspection.sound_checks.echo_checks import EchoDetector
from listenctl.inspection.sound_checks.sender_sound import SenderSoundChecks, SenderSoundReport
from listenctl.inspection.sound_checks.sound_verdicts import SoundFault, judge_echo
from listenctl.protocol.application_commands import PlayAudio
from listenctl.protocol.audio import AudioFormat
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
    """
    What was found; ``application`` is None where the caller heard nothing of it.

    Attributes:
        rates: of what jambonz sent, and of what was heard of the application, in Hz.
        begins: when the first of each was heard, in seconds since the call began.
    """

    jambonz: SenderSoundReport
    application: SenderSoundReport | None
    between: tuple[SoundFault, ...]
    rates: tuple[int, int] = (8000, 8000)
    begins: tuple[float, float] = (0.0, 0.0)

    @property
    def violations(self) -> Iterator[Violation]:
        """All verdicts as violations, those of one verdict about several channels one by one."""
        for verdict in (*self.jambonz.verdicts, *self.between):
            at = self.begins[0] + (verdict.position or 0) / self.rates[0]
            yield _violation(verdict, at, Culprit.JAMBONZ, verdict.position)
        for verdict in self.application.verdicts if self.application else ():
            # Its position counts what the caller heard, not what jambonz sent.
            at = self.begins[1] + (verdict.position or 0) / self.rates[1]
            yield _violation(verdict, at, Culprit.APPLICATION, None)

    def to_json(self) -> Report:
        """Return it as it stands in `listenctl-inspect(5)`."""
        between = [verdict.to_json() for verdict in self.between]
        described = self.jambonz.to_json()
        return described | {
            "verdicts": [*(verdict.to_json() for verdict in self.jambonz.verdicts), *between],
            "application": self.application.to_json() if self.application else None,
        }


def _violation(verdict: SoundFault, at: float, sender: Culprit, position: int | None) -> Violation:
    return Violation(verdict.id, verdict.severity, at, sender, position, None, verdict.sentence)


class CallSoundChecks:
    """
    Check the sound of one call.

    Args:
        detect_keys: listen for DTMF in what the application plays.
    """

    def __init__(self, *, detect_keys: bool = False) -> None:
        self._detect_keys = detect_keys
        self._jambonz: SenderSoundChecks | None = None
        self._application: SenderSoundChecks | None = None
        self._echo = EchoDetector(AudioFormat(8000, 1))
        self._rates, self._begins = [8000, 8000], [0.0, 0.0]
        self._begun = False

    def take(self, entry: TimelineEntry) -> None:
        """Take anything that happened."""
        match entry.event:
            case AudioReceived(position=position, data=data) if self._jambonz:
                self._begin(entry.at)
                self._jambonz.feed(data)
                self._echo.receive(entry.at, position, data)
            case CallStarted(audio_format=audio_format) | MetadataArrived(audio_format=audio_format):
                # What was heard before late metadata was read in the wrong format.
                self._jambonz = SenderSoundChecks(audio_format)
                self._rates[0], self._begun = audio_format.sample_rate, False
                self._echo = EchoDetector(audio_format)
            case GapFound(gap):
                self._echo.gap(gap)
            case AudioSent() | CommandSent(command=PlayAudio()):
                self._echo.listens = True

    def receive(self, audio: AudioRun) -> None:
        """Take audio from jambonz."""
        if self._jambonz:
            self._begin(audio.times[0])
            self._jambonz.feed(audio.data)
            self._echo.receive_all(audio)

    def hear(self, at: float, sample_rate: int, data: bytes) -> None:
        """Take what the caller hears of the application."""
        if self._application is None:
            name = "what the application plays"
            self._rates[1], self._begins[1] = sample_rate, at
            self._application = SenderSoundChecks(AudioFormat(sample_rate, 1), name=name, detect_keys=self._detect_keys)
        self._application.feed(data)
        self._echo.hear(at, sample_rate, data)

    def finish(self, *, plays_clips: bool, mixed: bool) -> CallSoundReport | None:
        """Say what was found, None without any sound; ``mixed`` is a single channel that is both directions."""
        if self._jambonz is None:
            return None
        application = self._application.finish() if self._application else None
        between = tuple(judge_echo(self._echo.finish(), plays_clips=plays_clips, mixed=mixed))
        (rate, other_rate), (begin, other_begin) = self._rates, self._begins
        return CallSoundReport(self._jambonz.finish(), application, between, (rate, other_rate), (begin, other_begin))

    def _begin(self, at: float) -> None:
        if not self._begun:
            self._begun, self._begins[0] = True, at
