"""
The catalogue of rules: id, severity, section of `listenctl-rules(5)` and remedy, and which rule a verdict is about.

`listenctl inspect` checks them all, `listenctl call` those that its verdicts are about.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from listenctl.protocol.jambonz_model.command_verdicts import VerdictReason


class Severity(StrEnum):
    """An error loses audio, data or the call, a warning may do so, an info explains what would otherwise look odd."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"

    @property
    def rank(self) -> int:
        """Sort key: 0 for the worst severity."""
        return tuple(Severity).index(self)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; ``section`` is the heading in `listenctl-rules(5)`."""

    id: str
    severity: Severity
    section: str
    remedy: str


_E, _W, _I = Severity.ERROR, Severity.WARNING, Severity.INFO
_RESAMPLE = "Resample the clip to 8000 or 16000 Hz, or send it as WAV."
_VERB = 'In the verb, set "bidirectionalAudio": {"enabled": true, "streaming": true, "sampleRate": 8000}.'

_SECTIONS = {
    "Handshake": (
        ("handshake-refused", _E, "Answer the request with status 101; jambonz does not retry."),
        ("handshake-unanswered", _E, "Find out why the server did not answer; jambonz gives up after 10 s."),
        ("accept-wrong", _E, "Compute Sec-WebSocket-Accept as in RFC 6455 4.2.2, or leave it to a library."),
        ("subprotocol-other", _E, "Select the offered subprotocol, or none."),
        ("subprotocol-missing", _W, "Select the offered subprotocol; other clients require it."),
        ("subprotocol-unknown", _I, "Check whether this client is jambonz, which offers audio.jambonz.org."),
        ("extension-unasked", _E, "Do not accept an extension that the client did not offer."),
        ("authorization-in-clear", _W, "Use wss, or remove wsAuth from the verb."),
        ("authorization-malformed", _W, "Check what sets the header; jambonz sends Basic only."),
    ),
    "First text": (
        ("first-text-missing", _W, "Have the verb send its metadata first; without it the format is a guess."),
        ("first-text-late", _W, "Send the metadata before any audio."),
        ("first-text-cut", _E, "Send less metadata; jambonz cuts the first text at 8192 bytes."),
        (
            "first-text-invalid",
            _W,
            "Keep quotes, apostrophes and line breaks out of metadata and tags; parse it leniently.",
        ),
        ("sample-rate-string", _W, "Do not overwrite sampleRate in the verb's metadata; it is a number."),
        ("sample-rate-missing", _W, "Put sampleRate into the verb's metadata where jambonz does not send it."),
        ("sample-rate-odd", _I, "Use a multiple of 8000 Hz; others are resampled into frames of varying length."),
        ("mix-type-missing", _W, "Put mixType into the verb's metadata where jambonz does not send it."),
        ("call-sid-missing", _W, "Put an id of the call into the verb's metadata."),
        (
            "format-wrong",
            _E,
            "Trust the pace of the audio; check whether the metadata overwrites sampleRate or mixType.",
        ),
    ),
    "What jambonz sends": (
        ("audio-lost", _E, "Read the socket without delay; jambonz drops 2 to 3 s at once if the server is slow."),
        ("audio-late", _I, "Find out what is slow: jambonz, the network, the server or the capturing machine."),
        ("audio-backlog", _I, "Answer the handshake faster; earlier audio arrives all at once."),
        ("audio-late-start", _I, "Nothing, if the call was silent or paused at first."),
        ("audio-paused", _I, "Nothing, if the listen was paused on purpose; the recording is shorter than the call."),
        ("clock-drift", _I, "Resample before mixing the audio with audio of another clock."),
        ("half-sample", _W, "Prepend the odd byte to the next message, so that samples stay whole."),
        ("jambonz-fragmented", _I, "Reassemble the fragments; the media server itself never sends any."),
        ("text-unknown", _I, "Ignore text messages of an unknown type."),
        ("text-broken", _W, "Ignore it; a mark's name or a clip's id with quotes or backslashes breaks the answer."),
        ("texts-glued", _W, "Parse every JSON document of a text message; old media servers join several."),
        ("answer-unasked", _I, "Match answers by name, and ignore repeated and unknown ones."),
    ),
    "Commands": (
        ("command-no-json", _E, "Send one JSON object per text message."),
        ("command-no-type", _E, "Name the command in `type`, a string at the top level."),
        ("command-unknown", _E, "Use playAudio, killAudio, mark, clearMarks or disconnect, in exactly this case."),
        ("command-no-effect", _W, "Remove it; jambonz ignores it."),
        ("command-error", _W, "Send disconnect instead; `error` ends the verb but leaves the connection open."),
        ("text-not-utf8", _W, "Encode text messages as UTF-8."),
        ("message-fragmented", _E, "Send each message as one frame; of long fragmented ones only the end arrives."),
        ("message-too-long", _W, "Send shorter messages."),
        ("disconnect-ignored", _W, "Close the connection yourself if jambonz does not."),
    ),
    "Clips": (
        ("clip-no-content-type", _E, 'Always send "audioContentType": "raw" or "wav"; without it jambonz crashes.'),
        ("clip-no-data", _E, "Put the clip into an object, `data`."),
        ("clip-content-type", _E, "Use raw, wav or wave, in lower case."),
        ("clip-no-content", _E, "Put the clip into `audioContent`, as base64."),
        ("clip-no-audio", _W, "Do not send empty clips."),
        ("clip-wav-unreadable", _E, "Send a complete WAV file with PCM samples."),
        ("clip-wav-as-raw", _W, 'Send it with "audioContentType": "wav", or without its header.'),
        ("clip-not-raw", _E, "Decode the sound to 16-bit samples, or send it as WAV."),
        ("clip-base64-cut", _E, "Use the standard alphabet, in one line and without a prefix."),
        ("clip-rate-missing", _E, "Send `sampleRate` with raw audio; the default is 16000."),
        ("clip-rate-string", _E, "Send `sampleRate` as a number; a string is read as 16000."),
        ("clip-rate-unknown", _E, _RESAMPLE),
        ("clip-rate-unreadable", _E, _RESAMPLE),
        ("clip-rate-noise", _E, _RESAMPLE),
        ("clip-id-unsafe", _W, "Use letters, digits and hyphens in `id`."),
        ("clip-on-top", _W, 'Send "queuePlay": true to play a clip after the previous one.'),
        ("clip-dropped", _E, "Queue clips yourself; a clip without queuePlay empties the queue of jambonz."),
        ("clip-queue-full", _E, "Queue at most eleven clips, and send the next when a playDone comes."),
        ("clip-while-streaming", _E, "Stream the audio as binary messages; in this mode clips are ignored."),
        ("clip-not-done", _W, "Continue by your own clock when a playDone does not come."),
    ),
    "Streams and marks": (
        ("stream-not-played", _E, _VERB),
        ("stream-unproven", _I, 'Send a mark, or put "streamRate" into the metadata of the verb; see --stream-rate.'),
        ("stream-tail-held", _W, "End utterances with 160 ms of zeros; jambonz holds back less than 80 ms of audio."),
        ("stream-odd-bytes", _I, "Send whole samples; jambonz joins the odd byte to the next message."),
        ("stream-underrun", _I, "Stay 200 ms ahead of playout; the caller hears a gap."),
        ("audio-after-kill", _E, "Wait 40 ms after killAudio before you send more audio."),
        ("stream-cut-off", _I, "Wait until everything has been played before you end the call."),
        ("marks-too-many", _E, "Keep at most 30 marks outstanding; jambonz drops more without notice."),
        ("mark-no-name", _E, 'Send {"type": "mark", "data": {"name": "…"}} with a string.'),
        (
            "mark-name-unsafe",
            _E,
            "Use no quotes, backslashes or control characters; jambonz returns the name unescaped.",
        ),
        ("mark-early", _E, "Replace samples of value -1 by 0 in the stream; each is mistaken for a mark."),
        ("mark-shifted", _E, "After killAudio or clearMarks, do not trust later marks; use your own clock."),
        ("mark-resampled", _E, "Stream at the rate of the call, mostly 8000 Hz; otherwise marks get lost."),
        ("mark-unanswered", _W, "Never wait for a mark alone: continue when it is due by your own clock."),
    ),
    "Frames": (
        ("frame-masking", _E, "Mask every frame of a client, and no frame of a server."),
        ("frame-reserved-bits", _E, "Leave reserved bits 0; jambonz supports no extension and drops the connection."),
        ("frame-opcode", _E, "Use no reserved opcode; jambonz drops the connection."),
        ("frame-control", _E, "Send control frames unfragmented and with at most 125 bytes."),
        ("frame-order", _E, "Finish a fragmented message before the next one."),
        ("frame-cut", _W, "Find out what stopped that side; a frame that is not complete is lost."),
        ("frame-after-close", _W, "Send nothing after a Close frame."),
        ("pong-late", _W, "Find out what delays that side or the network."),
        ("pong-missing", _W, "Do not rely on the connection if a pong does not come."),
        ("ping-from-jambonz", _I, "Nothing; the media server itself never sends any."),
    ),
    "Closing": (
        ("close-missing", _W, "Send a Close frame with a code, so that the other side knows it was intended."),
        ("close-no-code", _I, "Close with 1000."),
        ("close-error", _E, "Check what the other side sent before."),
        ("close-going-away", _I, "Nothing, if the server was stopped."),
        ("close-code-invalid", _E, "Use 1000 to 1003, 1007 to 1014 or 3000 to 4999."),
        ("close-unanswered", _I, "Answer a Close frame with a Close frame."),
        ("shutdown-announced", _I, "Close after an empty binary message; the media server does not."),
        ("shutdown-not-closed", _W, "Close after an empty binary message; the media server does not."),
    ),
    "The capture itself": (
        ("capture-hole", _W, "Capture with a larger buffer and whole packets; the missing data cannot be checked."),
        ("capture-midway", _I, "Start the capture before the call."),
        ("capture-ends", _I, "Continue the capture to the end of the call."),
    ),
    "The sound": (
        ("audio-not-samples", _E, "Decode it, and send raw 16-bit little-endian samples without a header."),
        ("audio-other-rate", _E, "Send the audio at the rate of the stream, or set that rate in the verb."),
        ("audio-byte-order", _E, "Send and read samples as little-endian."),
        ("audio-half-sample-shift", _E, "Prepend an odd byte to the next message, and drop none."),
        ("audio-mu-law", _E, "Decode µ-law to 16-bit samples."),
        ("audio-a-law", _E, "Decode A-law to 16-bit samples."),
        ("audio-float", _E, "Convert floats to 16-bit samples."),
        ("audio-wide-samples", _E, "Send 16-bit samples, the upper bits of longer ones."),
        ("audio-stereo", _E, "Send one channel, mono."),
        ("audio-swapped", _E, "Take the left channel for the application, or find out what swaps the channels."),
        ("audio-silent", _W, "Check whether that side was muted or its audio was lost."),
        ("audio-one-way", _W, "Check whether that side was muted or its audio did not reach jambonz."),
        ("audio-identical", _W, "Request stereo if you need both directions; otherwise find out what mixes them."),
        ("audio-crosstalk", _W, "Find out what mixes the two directions before jambonz receives them."),
        ("audio-echo", _W, "Cancel the echo before speech recognition."),
        ("audio-clipping", _W, "Lower the level of the audio at its source."),
        ("audio-offset", _W, "Filter out the offset, or check whether samples are read as signed."),
        ("audio-repeated-samples", _W, "Send one channel, and use a resampler to raise the rate."),
        ("audio-slow", _W, "Send the audio at its real sample rate."),
        ("audio-narrow", _I, "Nothing, if the call itself has 8000 Hz; a lower rate is enough."),
    ),
}

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        rule: Rule(rule, severity, section, remedy)
        for section, rules in _SECTIONS.items()
        for rule, severity, remedy in rules
    }
)

VERDICT_RULES: Mapping[VerdictReason, str] = MappingProxyType(
    {
        VerdictReason.NO_JSON: "command-no-json",
        VerdictReason.NO_TYPE: "command-no-type",
        VerdictReason.UNKNOWN_TYPE: "command-unknown",
        VerdictReason.NO_EFFECT: "command-no-effect",
        VerdictReason.NO_DATA: "clip-no-data",
        VerdictReason.NO_NAME: "mark-no-name",
        VerdictReason.ENDS_VERB_ONLY: "command-error",
        VerdictReason.STREAMING: "clip-while-streaming",
        VerdictReason.NOT_STREAMING: "stream-not-played",
        VerdictReason.UNSUPPORTED: "stream-not-played",
        VerdictReason.TAIL_HELD: "stream-tail-held",
        VerdictReason.CALL_ENDED: "stream-cut-off",
        VerdictReason.TOO_MANY_MARKS: "marks-too-many",
        VerdictReason.NAME_NOT_ESCAPED: "mark-name-unsafe",
        VerdictReason.SAMPLE_VALUE: "mark-early",
        VerdictReason.SHIFTED: "mark-shifted",
        VerdictReason.RESAMPLED: "mark-resampled",
        VerdictReason.NO_CONTENT_TYPE: "clip-no-content-type",
        VerdictReason.CONTENT_TYPE: "clip-content-type",
        VerdictReason.NO_CONTENT: "clip-no-content",
        VerdictReason.NO_AUDIO: "clip-no-audio",
        VerdictReason.WAV_UNREADABLE: "clip-wav-unreadable",
        VerdictReason.WAV_AS_RAW: "clip-wav-as-raw",
        VerdictReason.NOT_RAW: "clip-not-raw",
        VerdictReason.BASE64_ENDS: "clip-base64-cut",
        VerdictReason.RATE_MISSING: "clip-rate-missing",
        VerdictReason.RATE_NO_NUMBER: "clip-rate-string",
        VerdictReason.RATE_UNKNOWN: "clip-rate-unknown",
        VerdictReason.RATE_UNREADABLE: "clip-rate-unreadable",
        VerdictReason.RATE_IS_NOISE: "clip-rate-noise",
        VerdictReason.ID_MANGLED: "clip-id-unsafe",
        VerdictReason.ON_TOP: "clip-on-top",
        VerdictReason.QUEUE_EMPTIED: "clip-dropped",
        VerdictReason.QUEUE_FULL: "clip-queue-full",
        VerdictReason.NOT_SAMPLES: "audio-not-samples",
        VerdictReason.OTHER_RATE: "audio-other-rate",
        VerdictReason.BYTE_ORDER: "audio-byte-order",
        VerdictReason.HALF_SAMPLE_SHIFT: "audio-half-sample-shift",
        VerdictReason.MU_LAW: "audio-mu-law",
        VerdictReason.A_LAW: "audio-a-law",
        VerdictReason.FLOAT: "audio-float",
        VerdictReason.WIDE_SAMPLES: "audio-wide-samples",
        VerdictReason.STEREO: "audio-stereo",
        VerdictReason.SILENT: "audio-silent",
        VerdictReason.CLIPPING: "audio-clipping",
        VerdictReason.OFFSET: "audio-offset",
        VerdictReason.REPEATED_SAMPLES: "audio-repeated-samples",
        VerdictReason.SLOW: "audio-slow",
    }
)

# Of verdicts that a capture shows otherwise, or not at all.
_OTHER_REMEDIES = {
    VerdictReason.TOO_SOON: RULES["audio-after-kill"].remedy,
    VerdictReason.FRAGMENTS_TOO_LONG: RULES["message-fragmented"].remedy,
    VerdictReason.UNANSWERED: RULES["mark-unanswered"].remedy,
    VerdictReason.DISABLED: RULES["stream-not-played"].remedy,
    VerdictReason.NO_ANSWER: "Check whether the application hears the caller, and whether it sends what it says.",
    VerdictReason.LATE_ANSWER: "Find out what delays the answer: recognition, the model, or synthesis.",
}


def remedy_of(reason: VerdictReason) -> str:
    """Return what to do about a verdict, empty if its sentence says all."""
    rule = VERDICT_RULES.get(reason)
    return RULES[rule].remedy if rule else _OTHER_REMEDIES.get(reason, "")
