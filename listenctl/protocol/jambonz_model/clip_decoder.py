"""What the media server plays for a ``playAudio`` command, or why it plays nothing (listenctl-protocol(7) 5.1)."""

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass

from listenctl.protocol.application_commands import PlayAudio
from listenctl.protocol.audio import SAMPLE_BYTES, ResamplerFactory
from listenctl.protocol.jambonz_messages import PlayDone
from listenctl.protocol.jambonz_model.command_verdicts import CommandOutcome, PlayoutOutbox, VerdictReason
from listenctl.protocol.jambonz_model.profiles import PlayDoneForm, Profile
from listenctl.protocol.sound_containers import OPENING_BYTES, sound_container, text_kind

DEFAULT_RAW_RATE = 16000
MAX_CLIP_BYTES = 16 << 20
"""What is played of a clip at most; jambonz has no such limit, but a small WAV can grow to more than memory holds."""
READ_AHEAD = 16384
"""Samples of one read by FreeSWITCH; the playDone of a killed clip counts whole reads (listenctl-protocol(7) 13)."""

_BASE64 = re.compile(r"[A-Za-z0-9+/]*+")
_VALUE_IN_SENTENCE = 20
_MANGLED = re.compile(r"['\"\\\n\t]")


@dataclass(frozen=True, slots=True)
class DecodedSound:
    sample_rate: int
    samples: bytes


WavReader = Callable[[bytes], DecodedSound | None]
"""Read a WAV file; None if it can't be read."""


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """A clip that can be played."""

    command: int  # number of its ``playAudio`` message
    id: object
    samples: bytes  # at the call's rate
    source_rate: int
    source_samples: int  # their number at ``source_rate``, as sent

    def play_done(self, form: PlayDoneForm, *, played: int, killed: bool) -> PlayDone:
        if form is PlayDoneForm.BARE:
            return PlayDone()
        samples = self._samples_read(played) if killed else self.source_samples
        milliseconds = samples * 1000 // self.source_rate
        if form is PlayDoneForm.STRINGS:
            return PlayDone(self.id, None, str(milliseconds // 1000), str(milliseconds), str(played))
        return PlayDone(self.id, "destroyed" if killed else "completed", milliseconds // 1000, milliseconds, played)

    def _samples_read(self, played: int) -> int:
        source = played * SAMPLE_BYTES * self.source_samples // max(len(self.samples), SAMPLE_BYTES)
        return min(-(-source // READ_AHEAD) * READ_AHEAD, self.source_samples)


@dataclass(frozen=True, slots=True)
class ClipDecoder:
    profile: Profile
    call_rate: int
    resampler: ResamplerFactory | None  # None where only the number of samples as sent matters
    read_wav: WavReader
    outbox: PlayoutOutbox

    def decode_clip(self, command: PlayAudio) -> Clip | None:
        """Return the clip, None if nothing is played; what is wrong with it goes to the outbox."""
        try:
            sound = self._cut(self._sound(command))
        except _NoClip as why:
            self.outbox.add_verdict(why.outcome, why.reason, str(why))
            return None
        if self.profile.mangles_play_done and isinstance(command.id, str) and _MANGLED.search(command.id):
            self._misread(VerdictReason.ID_MANGLED, "quotes and escapes in its id don't survive into the playDone")
        source_samples = len(sound.samples) // SAMPLE_BYTES
        if not source_samples and not _is_cut(command.audio_content):
            self._misread(VerdictReason.NO_AUDIO, "holds no audio")
        return Clip(self.outbox.number, command.id, self._at_call_rate(sound), sound.sample_rate, source_samples)

    def _at_call_rate(self, sound: DecodedSound) -> bytes:
        if sound.sample_rate == self.call_rate or self.resampler is None:
            return sound.samples
        return self.resampler(sound.sample_rate, self.call_rate)(sound.samples, last=True)

    def _cut(self, sound: DecodedSound) -> DecodedSound:
        """Leave out what is too long, at the sound's rate or at that of the call."""
        limit = MAX_CLIP_BYTES * min(sound.sample_rate, self.call_rate) // self.call_rate
        if len(sound.samples) < limit:
            return sound
        seconds = limit // SAMPLE_BYTES / sound.sample_rate
        sentence = f"is very long: listenctl plays the first {seconds:.0f} s only, jambonz all of it"
        self.outbox.add_verdict(CommandOutcome.TRUNCATED, VerdictReason.TOO_LONG, sentence, wrong=False)
        return DecodedSound(sound.sample_rate, sound.samples[: limit & ~1])

    def _sound(self, command: PlayAudio) -> DecodedSound:
        kind = command.audio_content_type
        if not isinstance(kind, str):
            raise self._untyped()
        if kind not in ("raw", "wav", "wave"):
            raise _NoClip(VerdictReason.CONTENT_TYPE, f"audioContentType {kind[:40]!r} is not raw, wav or wave")
        if not isinstance(command.audio_content, str):
            raise _NoClip(VerdictReason.NO_CONTENT, "audioContent is missing or not a string")
        data = self._decode(command.audio_content)
        if kind == "raw":
            return self._raw(data, command.sample_rate)
        if not data:
            raise _NoClip(VerdictReason.NO_AUDIO, "holds no audio")
        sound = self.read_wav(data)
        if sound is None:
            raise _NoClip(VerdictReason.WAV_UNREADABLE, "audioContent is not a readable WAV file")
        return sound

    def _untyped(self) -> "_NoClip":
        missing = "audioContentType is missing or not a string"
        if self.profile.crashes_without_type:
            return _NoClip(
                VerdictReason.NO_CONTENT_TYPE, f"{missing}, which crashes the media server", CommandOutcome.WOULD_CRASH
            )
        return _NoClip(VerdictReason.NO_CONTENT_TYPE, missing)

    def _raw(self, data: bytes, sample_rate: object) -> DecodedSound:
        rate = self._rate(sample_rate)
        size = self.profile.raw_sample_bytes[rate]
        if not size:
            raise _NoClip(VerdictReason.RATE_UNREADABLE, f"FreeSWITCH has no reader for raw audio at {rate} Hz")
        self._check_raw(data)
        if size != SAMPLE_BYTES:
            noise = f"raw audio at {rate} Hz is read as {8 * size}-bit samples and becomes noise"
            self._misread(VerdictReason.RATE_IS_NOISE, noise)
        return DecodedSound(rate, upper_16_bits(data, size))

    def _check_raw(self, data: bytes) -> None:
        container = sound_container(data[:OPENING_BYTES])
        if container == "WAV":
            self._misread(VerdictReason.WAV_AS_RAW, "is a WAV file sent as raw; its header is heard as a click")
        elif found := container or text_kind(data):
            self._misread(VerdictReason.NOT_RAW, f"is {found} sent as raw, which is heard as noise")

    def _rate(self, value: object) -> int:
        """Return the rate at which the clip is played; cJSON reads everything but a number as 0."""
        rate = _integer(value, strings=self.profile.reads_string_rates)
        if rate in self.profile.raw_sample_bytes:
            return rate
        wrong = _integer(value, strings=True) != DEFAULT_RAW_RATE
        shown, taken = _shown(value), f"counts as {DEFAULT_RAW_RATE}"
        if value is None:
            self._misread(VerdictReason.RATE_MISSING, f"a missing sampleRate {taken}", wrong=wrong)
        elif rate or (isinstance(value, int | float) and not isinstance(value, bool)):
            self._misread(
                VerdictReason.RATE_UNKNOWN, f"sampleRate {shown} is no rate of raw audio and {taken}", wrong=wrong
            )
        else:
            self._misread(VerdictReason.RATE_NO_NUMBER, f"sampleRate {shown} is not a number and {taken}", wrong=wrong)
        return DEFAULT_RAW_RATE

    def _decode(self, content: str) -> bytes:
        """Decode base64 up to the first invalid character, as the media server does."""
        digits = _digits(content)
        if _is_cut(content):
            decoded = len(digits) * 3 // 4
            where = f"audioContent ends at character {len(digits) + 1}, which is not base64"
            sentence = f"{where}: {decoded} bytes are decoded; send it in one line, without a prefix"
            self.outbox.add_verdict(CommandOutcome.TRUNCATED, VerdictReason.BASE64_ENDS, sentence)
        digits = digits[: len(digits) - (len(digits) % 4 == 1)]
        return base64.b64decode(digits + "=" * (-len(digits) % 4))

    def _misread(self, reason: VerdictReason, sentence: str, *, wrong: bool = True) -> None:
        self.outbox.add_verdict(CommandOutcome.MISREAD, reason, sentence, wrong=wrong)


class _NoClip(Exception):
    """Nothing is played; the text is the sentence of the verdict."""

    def __init__(self, reason: VerdictReason, sentence: str, outcome: CommandOutcome = CommandOutcome.IGNORED) -> None:
        super().__init__(sentence)
        self.reason = reason
        self.outcome = outcome


def _digits(content: str) -> str:
    found = _BASE64.match(content)
    return found[0] if found else ""


def _is_cut(content: object) -> bool:
    return isinstance(content, str) and bool(content[len(_digits(content)) :].rstrip("="))


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= _VALUE_IN_SENTENCE else f"{text[:_VALUE_IN_SENTENCE]}…"


def _integer(value: object, *, strings: bool) -> int:
    match value:
        case bool():
            return 0
        case int() | float():
            return int(value)
        case str() if strings and value.isascii() and value.isdecimal() and len(value) < 10:
            return int(value)
    return 0


def upper_16_bits(data: bytes, size: int) -> bytes:
    """Return the upper 16 bits of little-endian samples of ``size`` bytes; an incomplete last one is dropped."""
    data = data[: len(data) - len(data) % size]
    if size == SAMPLE_BYTES:
        return data
    samples = bytearray(len(data) // size * SAMPLE_BYTES)
    samples[::2] = data[size - 2 :: size]
    samples[1::2] = data[size - 1 :: size]
    return bytes(samples)
