"""
The rules that calls are held against (`listenctl-rules(5)`), and what it is to break one.

Severity is about the caller and the recording: an *error* costs sound, data or the call, a *warning* may do so, an
*info* explains what would otherwise look odd.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from listenctl.events import Report


class Severity(StrEnum):
    """How bad it is."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"

    @property
    def rank(self) -> int:
        """Order: 0 for what is worst."""
        return tuple(Severity).index(self)


class Culprit(StrEnum):
    """Whose doing it is; what is between the two peers counts as the network."""

    JAMBONZ = "jambonz"
    APPLICATION = "application"
    NETWORK = "network"
    CAPTURE = "capture"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; ``section`` is the heading under which `listenctl-rules(5)` explains it."""

    id: str
    severity: Severity
    section: str
    advice: str


@dataclass(frozen=True, slots=True)
class Violation:
    """
    A rule that was broken, where and by whom.

    Attributes:
        at: seconds since the call began.
        position: samples per channel received from jambonz before it, None where there is no such place.
        packet: number of the packet in the capture, None where there are none.
    """

    rule: str
    severity: Severity
    at: float
    sender: Culprit
    position: int | None
    packet: int | None
    detail: str

    @property
    def advice(self) -> str:
        """What to do about it."""
        return RULES[self.rule].advice

    @property
    def section(self) -> str:
        """Where `listenctl-rules(5)` explains the rule."""
        return RULES[self.rule].section

    def to_json(self) -> Report:
        """Return it as it stands in `listenctl-inspect(5)`."""
        return {
            "rule": self.rule,
            "severity": str(self.severity),
            "time": round(self.at, 3),
            "sender": str(self.sender),
            "position": self.position,
            "packet": self.packet,
            "detail": self.detail,
            "section": self.section,
            "advice": self.advice,
        }


def in_order(violation: Violation) -> tuple[float, int]:
    """Return what violations are sorted by: their time, the worst first among those of one time."""
    return violation.at, violation.severity.rank


_E, _W, _I = Severity.ERROR, Severity.WARNING, Severity.INFO
_RESAMPLE = "Resample the clip to 8000 or 16000 Hz, or send it as WAV."
_VERB = 'In the verb, set "bidirectionalAudio": {"enabled": true, "streaming": true, "sampleRate": 8000}.'

# protocol.md by section: 1, 2 and 2.6, 3 and 4, 5, 5.1, 6, RFC 6455 with 13, 7.
_HANDSHAKE = (
    ("handshake-refused", _E, "Answer the request with 101; jambonz doesn't try again."),
    ("handshake-unanswered", _E, "See why the server didn't answer; jambonz gives up after 10 s."),
    ("accept-wrong", _E, "Compute Sec-WebSocket-Accept as RFC 6455 4.2.2 says, or leave it to a library."),
    ("subprotocol-other", _E, "Answer with the subprotocol that was offered, or with none."),
    ("subprotocol-missing", _W, "Echo the subprotocol that was offered; other clients insist on it."),
    ("subprotocol-unknown", _I, "jambonz offers audio.jambonz.org; see whether this client is jambonz."),
    ("extension-unasked", _E, "Don't agree to an extension that the client didn't offer."),
    ("authorization-in-clear", _W, "Use wss, or send no wsAuth."),
    ("authorization-malformed", _W, "See who writes the header; jambonz sends Basic only."),
)
_FIRST_TEXT = (
    ("first-text-missing", _W, "Have the listen verb send its metadata first; without it the format is a guess."),
    ("first-text-late", _W, "Send the metadata before any audio."),
    ("first-text-cut", _E, "Send less metadata: jambonz cuts the first text at 8192 bytes."),
    ("first-text-invalid", _W, "Keep quotes, apostrophes and line breaks out of metadata and tags; parse leniently."),
    ("sample-rate-string", _W, "Don't overwrite sampleRate by the metadata; it is a number."),
    ("sample-rate-missing", _W, "Put sampleRate into the verb's metadata where jambonz doesn't send it."),
    ("sample-rate-odd", _I, "Use a multiple of 8000 Hz; others are resampled into frames of uneven length."),
    ("mix-type-missing", _W, "Put mixType into the verb's metadata where jambonz doesn't send it."),
    ("call-sid-missing", _W, "Put an id of the call into the verb's metadata."),
    ("format-wrong", _E, "Trust the pace of the audio; see whether the metadata overwrites sampleRate or mixType."),
)
_RECEIVED = (
    ("audio-lost", _E, "Read the socket without delay: jambonz drops 2 to 3 s at a time when the server is slow."),
    ("audio-late", _I, "Look for what holds up the server or the network; a little more, and audio is dropped."),
    ("audio-backlog", _I, "Answer the handshake faster; what was said before comes all at once."),
    ("audio-late-start", _I, "Nothing, if the call was silent or paused at first."),
    ("audio-paused", _I, "Nothing, if somebody paused the listen; the recording is shorter than the call."),
    ("clock-drift", _I, "Resample before mixing the audio with that of another clock."),
    ("half-sample", _W, "Carry the odd byte over to the next message, so that samples stay whole."),
    ("jambonz-fragmented", _I, "Join the fragments; the media server itself never sends any."),
    ("text-unknown", _I, "Ignore texts that you don't know."),
    ("text-broken", _W, "Ignore it; a mark's name or a clip's id with quotes or backslashes breaks the answer."),
    ("texts-glued", _W, "Parse every JSON document of a text; old media servers glue them together."),
    ("answer-unasked", _I, "Match answers by name, and expect some that are repeated or not yours."),
)
_COMMANDS = (
    ("command-no-json", _E, "Send one JSON object a text."),
    ("command-no-type", _E, "Name the command in `type`, a string at the top level."),
    ("command-unknown", _E, "Use playAudio, killAudio, mark, clearMarks or disconnect, in exactly this case."),
    ("command-no-effect", _W, "Leave it out; nothing in jambonz listens to it."),
    ("command-error", _W, "Send disconnect instead; `error` ends the verb but leaves the connection open."),
    ("text-not-utf8", _W, "Encode texts as UTF-8."),
    ("message-fragmented", _E, "Send each message as one frame; of long ones in fragments only the tail arrives."),
    ("message-too-long", _W, "Send less at once."),
    ("disconnect-ignored", _W, "Close the connection yourself if jambonz doesn't."),
)
_CLIPS = (
    ("clip-no-content-type", _E, 'Always send "audioContentType": "raw" or "wav"; without it jambonz crashes.'),
    ("clip-no-data", _E, "Put the clip into an object, `data`."),
    ("clip-content-type", _E, "Use raw, wav or wave, in lower case."),
    ("clip-no-content", _E, "Put the clip into `audioContent`, as Base64."),
    ("clip-no-audio", _W, "Leave out clips without sound."),
    ("clip-wav-unreadable", _E, "Send WAV as PCM, whole from its header on."),
    ("clip-wav-as-raw", _W, 'Send it with "audioContentType": "wav", or without its header.'),
    ("clip-base64-cut", _E, "Use the standard alphabet, in one line and without a prefix."),
    ("clip-rate-missing", _E, "Send `sampleRate` with raw audio; 16000 is taken without it."),
    ("clip-rate-string", _E, "Send `sampleRate` as a number; a string counts as 16000."),
    ("clip-rate-unknown", _E, _RESAMPLE),
    ("clip-rate-unreadable", _E, _RESAMPLE),
    ("clip-rate-noise", _E, _RESAMPLE),
    ("clip-id-unsafe", _W, "Use letters, digits and dashes in `id`."),
    ("clip-on-top", _W, 'Send "queuePlay": true to have a clip wait for the one before.'),
    ("clip-dropped", _E, "Keep a queue of your own; a clip without queuePlay empties that of jambonz."),
    ("clip-queue-full", _E, "Let at most eleven clips wait, and keep the rest until a playDone comes."),
    ("clip-while-streaming", _E, "Stream the audio as binary messages; in this mode clips are ignored."),
    ("clip-not-done", _W, "Go on by your own clock when a playDone doesn't come."),
)
_STREAM = (
    ("stream-not-played", _E, _VERB),
    ("stream-unproven", _I, 'Send a mark, or have the verb say "streamRate" in its metadata; see --stream-rate.'),
    ("stream-tail-held", _W, "End each utterance with 160 ms of zeros; fewer than 80 ms of audio wait for more."),
    ("stream-odd-bytes", _I, "Send whole samples; jambonz joins the odd byte to the next message."),
    ("stream-underrun", _I, "Stay 200 ms ahead of playout; the caller hears a gap."),
    ("audio-after-kill", _E, "Wait 40 ms after killAudio before you send more audio."),
    ("stream-cut-off", _I, "Wait until everything has been played before you end the call."),
    ("marks-too-many", _E, "Let at most 30 marks be outstanding; more are dropped without notice."),
    ("mark-no-name", _E, 'Send {"type": "mark", "data": {"name": "…"}} with a string.'),
    ("mark-name-unsafe", _E, "Use no quotes, backslashes or control characters; the name is echoed as it is."),
    ("mark-early", _E, "Replace samples of value -1 by 0 in what you stream; each is taken for a mark."),
    ("mark-shifted", _E, "After killAudio or clearMarks, don't trust the marks that follow; go by your own clock."),
    ("mark-resampled", _E, "Stream at the call's own rate, which is 8000 Hz for most; else marks get lost."),
    ("mark-unanswered", _W, "Never wait for a mark alone: go on when by your own clock it is due."),
)
_FRAMES = (
    ("frame-masking", _E, "Mask all that a client sends, and nothing that a server sends."),
    ("frame-reserved-bits", _E, "Leave the reserved bits 0; jambonz agrees to no extension and drops the connection."),
    ("frame-opcode", _E, "Use no reserved opcode; jambonz drops the connection."),
    ("frame-control", _E, "Send control frames in one piece and of at most 125 bytes."),
    ("frame-order", _E, "End a fragmented message before the next one begins."),
    ("frame-after-close", _W, "Send nothing after a Close."),
    ("pong-late", _W, "Look for what holds up that side, or the network."),
    ("pong-missing", _W, "Don't count on the connection when a pong doesn't come."),
    ("ping-from-jambonz", _I, "Nothing; the media server itself never sends any."),
)
_CLOSING = (
    ("close-missing", _W, "Close with a code, so that the other side knows that it was meant."),
    ("close-no-code", _I, "Close with 1000."),
    ("close-error", _E, "See what the other side sent before it."),
    ("close-going-away", _I, "Nothing, if the server was stopped."),
    ("close-code-invalid", _E, "Use 1000 to 1003, 1007 to 1014 or 3000 to 4999."),
    ("close-unanswered", _I, "Answer a Close with a Close."),
    ("shutdown-announced", _I, "Close when an empty binary message has come; the media server won't."),
    ("shutdown-not-closed", _W, "Close when an empty binary message has come; the media server won't."),
)
_SOUND = (
    ("audio-byte-order", _E, "Send and read samples little-endian."),
    ("audio-half-sample-shift", _E, "Carry an odd byte over to the next message, and drop none."),
    ("audio-mu-law", _E, "Decode µ-law to 16-bit samples."),
    ("audio-a-law", _E, "Decode A-law to 16-bit samples."),
    ("audio-swapped", _E, "Take the left channel for the application, or see what swaps the two."),
    ("audio-silent", _W, "See whether that side was muted, or its audio never came."),
    ("audio-one-way", _W, "See whether that side was muted, or why its audio didn't reach jambonz."),
    ("audio-identical", _W, "Ask for stereo where two directions are wanted; see what mixes them."),
    ("audio-crosstalk", _W, "See what mixes the two directions before jambonz gets them."),
    ("audio-echo", _W, "Cancel the echo before speech is recognised."),
    ("audio-clipping", _W, "Lower the level of what is sent."),
    ("audio-offset", _W, "Filter the offset out, or see whether the samples are read as signed."),
    ("audio-repeated-samples", _W, "Use a resampler to raise the rate."),
    ("audio-slow", _W, "Send the audio at the rate that it has."),
    ("audio-narrow", _I, "Nothing, if the call itself has 8000 Hz; a lower rate would do as well."),
)
_CAPTURE = (
    ("capture-hole", _W, "Capture with a larger buffer, and whole packets; nothing is known of what is missing."),
    ("capture-midway", _I, "Start the capture before the call."),
    ("capture-ends", _I, "Let the capture run to the end of the call."),
)

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        rule: Rule(rule, severity, section, advice)
        for section, rows in (
            ("Handshake", _HANDSHAKE),
            ("First text", _FIRST_TEXT),
            ("What jambonz sends", _RECEIVED),
            ("Commands", _COMMANDS),
            ("Clips", _CLIPS),
            ("Streams and marks", _STREAM),
            ("Frames", _FRAMES),
            ("Closing", _CLOSING),
            ("The capture itself", _CAPTURE),
            ("The sound", _SOUND),
        )
        for rule, severity, advice in rows
    }
)
