"""Verdicts: what jambonz does with each message of an application, as an outcome, a reason and a sentence."""

from dataclasses import dataclass
from enum import StrEnum

from listenctl.protocol.jambonz_messages import Mark, PlayDone

MAX_PLAYOUT_BYTES = 64 << 20
"""Audio that may wait to be played, more than an hour at 8000 Hz; jambonz has no limit, but memory has."""
TOO_MUCH_AUDIO = f"not played: {MAX_PLAYOUT_BYTES >> 20} MiB of audio are waiting already, and listenctl keeps no more"


class CommandOutcome(StrEnum):
    """
    What jambonz did with a command: ``misread`` is accepted as something else than it says, ``truncated`` in part.
    Clips and marks end later, ``finished`` or ``interrupted``. ``heard`` is about the sound itself, ``missing`` about
    sound that doesn't come.
    """

    PLAYED = "played"
    QUEUED = "queued"
    OBEYED = "obeyed"
    MISREAD = "misread"
    TRUNCATED = "truncated"
    IGNORED = "ignored"
    WOULD_CRASH = "would-crash"
    FINISHED = "finished"
    INTERRUPTED = "interrupted"
    HEARD = "heard"
    MISSING = "missing"


_FAULTS = (CommandOutcome.MISREAD, CommandOutcome.TRUNCATED, CommandOutcome.IGNORED, CommandOutcome.WOULD_CRASH)


class VerdictReason(StrEnum):
    """Why jambonz did that, as listenctl-call(1) explains; ``NONE`` where the outcome is enough."""

    NONE = ""
    A_LAW = "a-law"
    BASE64_ENDS = "base64-ends"
    BYTE_ORDER = "byte-order"
    CALL_ENDED = "call-ended"
    CLIPPING = "clipping"
    CONTENT_TYPE = "content-type"
    DISABLED = "disabled"
    ENDED = "ended"
    ENDS_VERB_ONLY = "ends-verb-only"
    FLOAT = "float"
    FORGOTTEN = "forgotten"
    FRAGMENTS_TOO_LONG = "fragments-too-long"
    HALF_SAMPLE_SHIFT = "half-sample-shift"
    ID_MANGLED = "id-mangled"
    KILLED = "killed"
    LATE_ANSWER = "late-answer"
    MU_LAW = "mu-law"
    NAME_NOT_ESCAPED = "name-not-escaped"
    NO_ANSWER = "no-answer"
    NO_AUDIO = "no-audio"
    NO_CONTENT = "no-content"
    NO_CONTENT_TYPE = "no-content-type"
    NO_DATA = "no-data"
    NO_EFFECT = "no-effect"
    NO_JSON = "no-json"
    NO_NAME = "no-name"
    NO_TYPE = "no-type"
    NOT_RAW = "not-raw"
    NOT_STREAMING = "not-streaming"
    NOT_SAMPLES = "not-samples"
    NOTHING_PLAYING = "nothing-playing"
    OFFSET = "offset"
    ON_TOP = "on-top"
    OTHER_RATE = "other-rate"
    QUEUE_EMPTIED = "queue-emptied"
    QUEUE_FULL = "queue-full"
    RATE_IS_NOISE = "rate-is-noise"
    RATE_MISSING = "rate-missing"
    RATE_NO_NUMBER = "rate-no-number"
    RATE_UNKNOWN = "rate-unknown"
    RATE_UNREADABLE = "rate-unreadable"
    REPEATED_SAMPLES = "repeated-samples"
    RESAMPLED = "resampled"
    SAMPLE_VALUE = "sample-value"
    SHIFTED = "shifted"
    SILENT = "silent"
    SLOW = "slow"
    STEREO = "stereo"
    STREAMING = "streaming"
    TAIL_HELD = "tail-held"
    TOO_LONG = "too-long"
    TOO_MANY_MARKS = "too-many-marks"
    TOO_SOON = "too-soon"
    UNANSWERED = "unanswered"
    UNKNOWN_TYPE = "unknown-type"
    UNSUPPORTED = "unsupported"
    WAV_AS_RAW = "wav-as-raw"
    WAV_UNREADABLE = "wav-unreadable"
    WIDE_SAMPLES = "wide-samples"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What jambonz did with one command; a command may get several verdicts, at once and later."""

    command: int  # number of the message, from 1, counting texts and binary messages; 0 if it is about none
    outcome: CommandOutcome
    reason: VerdictReason
    sentence: str
    wrong: bool = False  # whether the application should change something
    time: float | None = None  # seconds into the call of the message; None if the verdict follows at once


class PlayoutOutbox:
    """Verdicts and messages until they are fetched; ``number`` is that of the message being handled."""

    def __init__(self) -> None:
        self.number = 0
        self._verdicts: list[Verdict] = []
        self._messages: list[Mark | PlayDone] = []

    def add_verdict(
        self,
        outcome: CommandOutcome,
        reason: VerdictReason,
        sentence: str,
        *,
        wrong: bool | None = None,
        command: int | None = None,
    ) -> None:
        """Add a verdict on a message, by default the one being handled; by default, what is not accepted is wrong."""
        wrong = outcome in _FAULTS if wrong is None else wrong
        self._verdicts.append(Verdict(self.number if command is None else command, outcome, reason, sentence, wrong))

    def add_message(self, message: Mark | PlayDone) -> None:
        self._messages.append(message)

    def take_verdicts(self) -> tuple[Verdict, ...]:
        verdicts, self._verdicts = tuple(self._verdicts), []
        return verdicts

    def take_messages(self) -> tuple[Mark | PlayDone, ...]:
        messages, self._messages = tuple(self._messages), []
        return messages
