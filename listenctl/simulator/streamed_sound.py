"""
The sound that an application sends, judged while it comes, with the checks of `listenctl inspect`.

Only the sound of the first ten minutes is analysed: a fault would be found by then, and a hostile stream is endless.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

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
_PIECE = 0.02
"""Seconds of audio whose messages count as one place, as short as those of most applications."""
# They change the number of samples, and with it the pace.
_OTHER_PACE = frozenset(
    {
        VerdictReason.REPEATED_SAMPLES,
        VerdictReason.STEREO,
        VerdictReason.FLOAT,
        VerdictReason.WIDE_SAMPLES,
        VerdictReason.MU_LAW,
        VerdictReason.A_LAW,
    }
)
# Warnings of `inspect`, which can't know that the application should have sent speech, and one channel.
_WRONG = frozenset({VerdictReason.REPEATED_SAMPLES, VerdictReason.SILENT})


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a message is in the stream."""

    number: int
    time: float
    position: int = 0  # samples before it


class StreamedSound:
    def __init__(self, sample_rate: int, *, name: str) -> None:
        self._checks = SenderSoundChecks(AudioFormat(sample_rate, 1), name=name)
        self._pace = StreamPace(sample_rate, name)
        self._pitch = SpeechPitch(sample_rate, name)
        self._name = name
        self._samples = SampleAssembler(SAMPLE_BYTES)
        self._left = _MAX_SECONDS * sample_rate * SAMPLE_BYTES
        self._opening, self._opened_at = AudioOpening(), _Place(0, 0.0)
        self._last_at = float("-inf")
        self._places: list[_Place] = []
        self._piece = max(1, round(_PIECE * sample_rate))
        self._position = 0
        self._reported: set[VerdictReason] = set()
        self._is_noise = self._utterance_is_noise = False

    def take_message(self, number: int, data: bytes, time: float) -> list[Verdict]:
        """Take a binary message of a stream; return what it shows."""
        verdicts = list(self._check_opening(number, data, time))
        samples = self._samples.feed(data)
        if self._utterance_is_noise:
            return verdicts
        self._pace.add_message(time, len(data) // SAMPLE_BYTES)
        return verdicts + self.take_audio(number, samples, time)

    def take_audio(self, number: int, samples: bytes, time: float) -> list[Verdict]:
        samples = samples[: self._left]
        if samples and (not self._places or self._position >= self._places[-1].position + self._piece):
            self._places.append(_Place(number, time, self._position))
        self._position += len(samples) // SAMPLE_BYTES
        self._left -= len(samples)
        self._checks.add_audio(samples)
        self._pitch.add_samples(np.frombuffer(samples, "<i2"))
        return self._verdicts(() if self._is_noise else self._checks.misreading())

    def end_call(self, *, caller_talked: bool) -> list[Verdict]:
        """Return what is left to say about the whole sound; only a caller who has talked expects more than silence."""
        verdicts = list(self._opened(self._opened_at, self._opening.add_audio(b"", ended=True)))
        report = self._checks.finish()
        faults = [fault for fault in report.faults if caller_talked or fault.rule != "audio-silent"]
        verdicts += self._verdicts(() if self._is_noise else faults)
        # An utterance that is no audio is not in the pace and the pitch.
        if not self._reported & _OTHER_PACE:
            verdicts += self._verdicts(self._pace.check(report.channels[0]))
            verdicts += self._verdicts(self._pitch.check())
        return verdicts

    def _check_opening(self, number: int, data: bytes, time: float) -> Iterator[Verdict]:
        if time - self._last_at > _UTTERANCE_GAP:
            self._opening, self._opened_at = AudioOpening(), _Place(number, time)
            self._utterance_is_noise = False
        self._last_at = time
        yield from self._opened(self._opened_at, self._opening.add_audio(data))
        # Some send each message as a file or a text of its own.
        opening = data[:OPENING_BYTES]
        yield from self._opened(_Place(number, time), sound_container(opening) or text_kind(opening))

    def _opened(self, place: _Place, found: str | None) -> Iterator[Verdict]:
        if found is None:
            return
        is_noise = found != "WAV"
        self._is_noise |= is_noise
        self._utterance_is_noise |= is_noise
        if VerdictReason.NOT_SAMPLES in self._reported:
            return
        self._reported.add(VerdictReason.NOT_SAMPLES)
        heard = "which is heard as noise" if is_noise else "and its header is heard as a click"
        yield _verdict(place, VerdictReason.NOT_SAMPLES, f"{self._name} is {found}, {heard}", wrong=True)

    def _verdicts(self, faults: Iterable[SoundFault]) -> list[Verdict]:
        """Return a verdict for each new fault."""
        verdicts = []
        for fault in faults:
            reason = VerdictReason(fault.rule.removeprefix(_PREFIX)) if fault.severity is not Severity.INFO else None
            if reason is None or reason in self._reported:
                continue
            self._reported.add(reason)
            wrong = fault.severity is Severity.ERROR or reason in _WRONG
            verdicts.append(_verdict(self._place_of(fault), reason, fault.sentence, wrong=wrong))
        return verdicts

    def _place_of(self, fault: SoundFault) -> _Place:
        """Return where a fault begins: with the first audio, unless it has a position."""
        after = bisect_right(self._places, fault.position or 0, key=lambda place: place.position)
        return self._places[after - 1] if after else _Place(0, 0.0)


def _verdict(place: _Place, reason: VerdictReason, sentence: str, *, wrong: bool) -> Verdict:
    return Verdict(place.number, CommandOutcome.HEARD, reason, sentence, wrong=wrong, time=place.time)
