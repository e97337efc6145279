"""What the measurements of a call's sound mean; each verdict has an id, which `listenctl-rules(5)` explains."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from listenctl.events import Report
from listenctl.inspection.rule_catalogue import RULES, Severity
from listenctl.inspection.sound_checks.channel_checks import ChannelMeasurements
from listenctl.inspection.sound_checks.correlation import Similarity
from listenctl.inspection.sound_checks.encoding_checks import EncodingCounts, SampleEncoding

_FEWEST_BLOCKS = 2
_SHARE_OF_BLOCKS = 0.1
_MANY_BLOCKS = 10
# Shorter than this, silence is a pause and sound may be chance.
_LONG = 3.0
_CLIPPING = 0.001
_OFFSET = 0.01
_REPEATED = 0.9
# An unused upper half holds what the resampler leaves, -60 dB and less.
_NOTHING = 2e-6
_NARROW = 4200
_HALF_OF_NARROW = 2200
_IDENTICAL = 0.99
_NO_DELAY = 0.002
# From the application to the caller and back takes longer; where a clip is placed is known to some 20 ms.
_SHORTEST_ECHO = 0.06
_RATES = (8000, 16000, 24000, 32000)

SIDES = ("left", "right")

_WORDS = {
    SampleEncoding.SWAPPED: (
        "audio-byte-order",
        "is noise, and sound when its samples are read big-endian: send little-endian",
    ),
    SampleEncoding.SHIFTED: (
        "audio-half-sample-shift",
        "is noise, and sound when it is read a byte later: an odd byte was dropped",
    ),
    SampleEncoding.MU_LAW: (
        "audio-mu-law",
        "is µ-law, not 16-bit samples: decode it before it is sent, or set the codec right",
    ),
    SampleEncoding.A_LAW: (
        "audio-a-law",
        "is A-law, not 16-bit samples: decode it before it is sent, or set the codec right",
    ),
    SampleEncoding.WIDE_MU_LAW: (
        "audio-mu-law",
        "is µ-law with each byte as a sample: decode it instead of widening it",
    ),
}


@dataclass(frozen=True, slots=True)
class SoundFault:
    """
    One thing that is odd about a sound.

    Attributes:
        channel: counted from 1, None where it is about all.
        position: samples per channel before the place where it was seen first, None where it holds throughout.
    """

    id: str
    severity: Severity
    sentence: str
    confidence: float
    channel: int | None = None
    position: int | None = None

    def to_json(self) -> Report:
        """Return it as it stands in `listenctl-inspect(5)`."""
        return {
            "id": self.id,
            "severity": str(self.severity),
            "channel": self.channel,
            "position": self.position,
            "confidence": round(self.confidence, 2),
            "sentence": self.sentence,
        }


def _verdict(
    rule: str, sentence: str, confidence: float, channel: int | None = None, *, position: int | None = None
) -> SoundFault:
    return SoundFault(rule, RULES[rule].severity, sentence, confidence, channel, position)


def judge_readings(readings: EncodingCounts, sample_rate: int, name: str) -> Iterator[SoundFault]:
    """Say in which way bytes are misread, if they are."""
    worst = readings.worst
    if worst is None:
        return
    wrong = sum(count for reading, count in readings.blocks.items() if reading is not SampleEncoding.AS_IS)
    share = wrong / readings.looked_at
    enough = wrong >= _MANY_BLOCKS or share >= _SHARE_OF_BLOCKS
    if wrong < min(_FEWEST_BLOCKS, readings.looked_at) or not enough:
        return
    rule, sentence = _WORDS[worst]
    position = min(at for reading, at in readings.first.items() if reading is not SampleEncoding.AS_IS)
    where = name if share > 0.9 else f"{share:.0%} of {name}, from {position / sample_rate:.1f} s on,"
    confidence = min(1.0, 0.5 + wrong / 10)
    yield _verdict(rule, f"{where} {sentence}", confidence, position=position)


def judge_channel(number: int, meter: ChannelMeasurements, name: str) -> Iterator[SoundFault]:
    """Say what is odd about one channel by itself."""
    if meter.clipping > _CLIPPING:
        sentence = f"{name} is too loud: {meter.clipping:.1%} of its sound is cut off at the top"
        yield _verdict("audio-clipping", sentence, min(1.0, meter.clipping * 100), number)
    if abs(meter.offset) > _OFFSET:
        sentence = f"{name} has a constant offset of {meter.offset:+.1%} of full scale"
        yield _verdict("audio-offset", sentence, min(1.0, abs(meter.offset) * 50), number)
    yield from _judge_rate(number, meter, name)


def judge_silence(meters: Sequence[ChannelMeasurements], name: str) -> Iterator[SoundFault]:
    """Say where there is no sound at all."""
    seconds = meters[0].samples / meters[0].sample_rate
    silent = [number for number, meter in enumerate(meters) if meter.is_silent]
    if not silent or seconds < _LONG:
        return
    if len(silent) == len(meters):
        yield _verdict("audio-silent", f"{name} is nothing but silence for {seconds:.1f} s", 1.0)
        return
    heard = meters[1 - silent[0]].sound
    if heard >= _LONG:
        sides = SIDES[silent[0]], SIDES[1 - silent[0]]
        sentence = f"one-way: the {sides[0]} channel is silent, with {heard:.1f} s of sound on the {sides[1]}"
        yield _verdict("audio-one-way", sentence, min(1.0, heard / 10), silent[0] + 1)


def judge_pair(
    meters: Sequence[ChannelMeasurements], identical: float | None, similarity: Similarity | None
) -> Iterator[SoundFault]:
    """Say what is odd about two channels together (protocol.md 3.1)."""
    sound = min(meter.sound for meter in meters)
    if identical is not None and identical >= _IDENTICAL and sound:
        sentence = "both channels are the same; they should be the two directions of the call"
        yield _verdict("audio-identical", sentence, min(1.0, sound / _LONG))
    elif similarity is not None:
        yield _judge_similarity(similarity)


def judge_echo(similarities: Sequence[Similarity | None], *, plays_clips: bool, mixed: bool) -> Iterator[SoundFault]:
    """
    Say where jambonz sends what the application plays.

    Args:
        similarities: of each channel from the left.
        plays_clips: they belong into the right channel, unlike a stream (protocol.md 3.1).
        mixed: there is one channel, and they belong into that.
    """
    if not similarities or (mixed and plays_clips):
        return
    left, right = similarities[0], similarities[-1] if len(similarities) == 2 else None
    if left is None:
        return
    if plays_clips and len(similarities) == 2 and right is None and abs(left.delay) < _SHORTEST_ECHO:
        sentence = "the channels are swapped: clips of the application are in the left one instead of the right"
        yield _verdict("audio-swapped", sentence, left.strength)
        return
    # An application that plays what it hears is later than that.
    if left.delay < -_NO_DELAY:
        return
    sentence = f"echo: the caller's end sends back what the application plays, {left.delay * 1000:.0f} ms later"
    yield _verdict("audio-echo", sentence, left.strength, 1)


def _judge_similarity(similarity: Similarity) -> SoundFault:
    delay = abs(similarity.delay)
    if delay < _NO_DELAY:
        sentence = "both channels hold the same sound, though not equally; the directions of the call are mixed"
        return _verdict("audio-crosstalk", sentence, similarity.strength)
    first, second = SIDES if similarity.delay > 0 else reversed(SIDES)
    sentence = f"echo: the {second} channel repeats the {first} one {delay * 1000:.0f} ms later"
    return _verdict("audio-echo", sentence, similarity.strength)


def _judge_rate(number: int, meter: ChannelMeasurements, name: str) -> Iterator[SoundFault]:
    if meter.sound < _LONG / 3:
        return
    if meter.repeated > _REPEATED:
        sentence = f"{name} has each sample twice: made of {meter.sample_rate // 2} Hz without a resampler"
        yield _verdict("audio-repeated-samples", sentence, meter.repeated, number)
    elif meter.sample_rate >= _RATES[0] and meter.is_broad and meter.energy_above(_HALF_OF_NARROW) < _NOTHING:
        sentence = f"{name} has nothing above {_HALF_OF_NARROW} Hz: its rate may be twice {meter.sample_rate} Hz"
        yield _verdict("audio-slow", sentence, 0.7, number)
    elif meter.is_broad and (rate := _enough(meter)):
        sentence = f"{name} has nothing above {rate // 2} Hz: {rate} Hz would hold all there is"
        yield _verdict("audio-narrow", sentence, 0.8, number)


def _enough(meter: ChannelMeasurements) -> int | None:
    """Return a lower rate that would do as well."""
    return next(
        (
            rate
            for rate in _RATES
            if rate < meter.sample_rate and meter.energy_above(rate / 2 * (_NARROW / 4000)) < _NOTHING
        ),
        None,
    )
