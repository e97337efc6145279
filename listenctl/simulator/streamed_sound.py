"""
The sound that an application sends, judged while it comes, with the checks of `listenctl inspect`.

Only the sound of the first ten minutes is analysed: a fault would be found by then, and a hostile stream is endless.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from listenctl.media.sound_checks.sender_sound import SenderSoundChecks
from listenctl.media.sound_checks.sound_fault import SoundFault
from listenctl.media.sound_checks.speech_pitch import SpeechPitch
from listenctl.media.sound_checks.stream_pace import StreamPace
from listenctl.protocol.audio import SAMPLE_BYTES, AudioFormat, SampleAssembler
from listenctl.protocol.jambonz_model.command_verdicts import CommandOutcome, Verdict, VerdictReason
from listenctl.protocol.jambonz_model.rule_catalogue import Severity
from listenctl.protocol.sound_containers import OPENING_BYTES, AudioOpening, sound_container, text_kind

_MAX_SECONDS = 600
_UTTERANCE_GAP = 0.2
_PREFIX = "audio-"
# Warnings of `inspect`, which can't know that the application should have sent speech, and one channel.
_WRONG = frozenset({VerdictReason.REPEATED_SAMPLES, VerdictReason.SILENT})


class StreamedSound:
    def __init__(self, sample_rate: int, *, name: str) -> None:
        self._checks = SenderSoundChecks(AudioFormat(sample_rate, 1), name=name)
        self._pace = StreamPace(sample_rate, name)
        self._pitch = SpeechPitch(sample_rate, name)
        self._name = name
        self._samples = SampleAssembler(SAMPLE_BYTES)
        self._left = _MAX_SECONDS * sample_rate * SAMPLE_BYTES
        self._opening = AudioOpening()
        self._last_at = 0.0
        self._last_number = 0
        self._reported: set[VerdictReason] = set()
        self._is_noise = self._wrong = False

    def take_message(self, number: int, data: bytes, time: float) -> list[Verdict]:
        """Take a binary message of a stream; return what it shows."""
        self._last_number = number
        verdicts = list(self._check_opening(number, data, time))
        self._pace.add_message(time, len(data) // SAMPLE_BYTES)
        return verdicts + self.take_audio(number, self._samples.feed(data))

    def take_audio(self, number: int, samples: bytes) -> list[Verdict]:
        samples = samples[: self._left]
        self._left -= len(samples)
        self._checks.add_audio(samples)
        self._pitch.add_samples(np.frombuffer(samples, "<i2"))
        return self._verdicts(number, self._checks.misreading())

    def end_call(self, *, caller_talked: bool) -> list[Verdict]:
        """Return what is left to say about the whole sound; only a caller who has talked expects more than silence."""
        verdicts = list(self._opened(self._last_number, self._opening.add_audio(b"", ended=True)))
        report = self._checks.finish()
        faults = [fault for fault in report.faults if caller_talked or fault.rule != "audio-silent"]
        verdicts += self._verdicts(self._last_number, faults)
        if not self._wrong:
            verdicts += self._verdicts(self._last_number, self._pace.check(report.channels[0]))
            verdicts += self._verdicts(self._last_number, self._pitch.check())
        return verdicts

    def _check_opening(self, number: int, data: bytes, time: float) -> Iterator[Verdict]:
        if time - self._last_at > _UTTERANCE_GAP:
            self._opening = AudioOpening()
        self._last_at = time
        yield from self._opened(number, self._opening.add_audio(data))
        # Some send each message as a file or a text of its own.
        opening = data[:OPENING_BYTES]
        yield from self._opened(number, sound_container(opening) or text_kind(opening))

    def _opened(self, number: int, found: str | None) -> Iterator[Verdict]:
        if found is None or VerdictReason.NOT_SAMPLES in self._reported:
            return
        self._reported.add(VerdictReason.NOT_SAMPLES)
        self._is_noise = found != "WAV"
        heard = "which is heard as noise" if self._is_noise else "and its header is heard as a click"
        sentence = f"{self._name} is {found}, {heard}: send raw 16-bit little-endian samples"
        yield self._verdict(number, VerdictReason.NOT_SAMPLES, sentence, wrong=True)

    def _verdicts(self, number: int, faults: Iterable[SoundFault]) -> list[Verdict]:
        """Return a verdict for each new fault; about what is no audio, nothing else is said."""
        verdicts = []
        for fault in faults:
            reason = VerdictReason(fault.rule.removeprefix(_PREFIX)) if fault.severity is not Severity.INFO else None
            if reason is None or reason in self._reported or self._is_noise:
                continue
            self._reported.add(reason)
            wrong = fault.severity is Severity.ERROR or reason in _WRONG
            verdicts.append(self._verdict(number, reason, fault.sentence, wrong=wrong))
        return verdicts

    def _verdict(self, number: int, reason: VerdictReason, sentence: str, *, wrong: bool) -> Verdict:
        self._wrong = self._wrong or wrong
        return Verdict(number, CommandOutcome.HEARD, reason, sentence, wrong=wrong)
