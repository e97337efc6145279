"""The sidecar of a recording, `NAME.json` (`listenctl-recording(5)`); positions count from the start of the file."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from listenctl.events import Completeness
from listenctl.json_lines import VERSION, JsonObject, json_document, parse_timestamp, timestamp
from listenctl.media.channel_layout import ChannelLayout
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.call_metadata import CallMetadata
from listenctl.protocol.peer_json import UNBOUNDED, count_in, decode, list_in, number_in, object_in, string_in

MAX_SIDECAR_BYTES = 64 * 1024 * 1024
MIXED = "both directions, summed"
"""What a channel with both parties holds."""

_RECEIVED = "audio from the tapped leg"
_SENT = "audio to the tapped leg"


@dataclass(frozen=True, slots=True, kw_only=True)
class SidecarAudio:
    """The audio files of a recording; some fields are None for files that hold more than what jambonz sent."""

    files: Sequence[str]
    format: str
    sample_rate: int
    channels: int
    layout: str | None = None
    channel_meanings: Sequence[str] | None = None
    tapped_party: str | None = None
    samples: int
    seconds: float
    gaps_filled: bool | None = None
    max_unwritten_seconds: float | None = None  # the most that was in memory only: what a crash would have cost
    measured_sample_rate: int | None = None  # at which the audio came, if not at ``sample_rate``
    dtmf_masked: bool | None = None  # whether DTMF tones are silenced; None if not
    resampled_from: int | None = None  # the rate of the call, at which positions count, if it is not ``sample_rate``
    begins: float | None = None  # seconds from the handshake to the first sample; None in a live recording
    warnings: Sequence[str] = ()

    @classmethod
    def parse(cls, fields: Mapping[str, object]) -> Self:
        return cls(
            files=[str(file) for file in list_in(fields, "files")],
            format=string_in(fields, "format"),
            sample_rate=count_in(fields, "sample_rate"),
            channels=count_in(fields, "channels"),
            layout=string_in(fields, "layout") or None,
            channel_meanings=[str(meaning) for meaning in list_in(fields, "channel_meanings")] or None,
            tapped_party=string_in(fields, "tapped_party") or None,
            samples=count_in(fields, "samples"),
            seconds=number_in(fields, "seconds") or 0.0,
            gaps_filled=filled if isinstance(filled := fields.get("gaps_filled"), bool) else None,
            max_unwritten_seconds=number_in(fields, "max_unwritten_seconds"),
            measured_sample_rate=count_in(fields, "measured_sample_rate") or None,
            dtmf_masked=fields.get("dtmf_masked") is True or None,
            resampled_from=count_in(fields, "resampled_from") or None,
            begins=number_in(fields, "begins"),
            warnings=[str(warning) for warning in list_in(fields, "warnings")],
        )

    def resampled(self, sample_rate: int) -> Self:
        """Describe the same audio in files of another sample rate."""
        ratio = sample_rate / self.sample_rate
        return replace(
            self,
            sample_rate=sample_rate,
            samples=round(self.samples * ratio),
            measured_sample_rate=self.measured_sample_rate and round(self.measured_sample_rate * ratio),
            resampled_from=self.sample_rate,
        )


@dataclass(frozen=True, slots=True)
class SidecarClose:
    """How the call was closed; ``by`` is ``nobody`` where the connection broke."""

    code: int | None
    reason: str
    by: str

    @classmethod
    def parse(cls, fields: Mapping[str, object]) -> Self:
        code = None if number_in(fields, "code") is None else count_in(fields, "code")
        return cls(code, string_in(fields, "reason"), string_in(fields, "by"))

    def serialize(self) -> JsonObject:
        return {"code": self.code, "reason": self.reason, "by": self.by}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """All that is known of a recording; ``ended`` is None while the call lasts, and after a crash."""

    call: str
    remote: str
    target: str
    subprotocol: str | None
    started: float  # Unix time, as ``ended``
    ended: float | None
    metadata: CallMetadata
    audio: SidecarAudio | None
    completeness: Completeness
    application: SidecarAudio | None = None
    both: SidecarAudio | None = None
    events: Sequence[JsonObject] = ()
    gaps: Sequence[JsonObject] = ()
    warnings: Sequence[JsonObject] = ()
    not_logged: int = 0
    not_logged_sha256: str | None = None  # of the texts among them, one after the other
    close: SidecarClose | None = None
    source: str | None = None

    @classmethod
    def parse(cls, data: bytes) -> Self | None:
        """Read a sidecar, None if it isn't one; a field of the wrong type counts as missing."""
        fields, _ = decode(data.decode("utf-8-sig", "replace").strip(), max_items=UNBOUNDED) or (None, 0)
        if not isinstance(fields, dict) or "started" not in fields or not isinstance(fields.get("audio"), dict):
            return None
        close = object_in(fields, "close")
        return cls(
            call=string_in(fields, "call"),
            remote=string_in(fields, "remote"),
            target=string_in(fields, "target"),
            subprotocol=string_in(fields, "subprotocol") or None,
            started=parse_timestamp(string_in(fields, "started")) or 0.0,
            ended=parse_timestamp(string_in(fields, "ended")),
            metadata=_parse_metadata(fields),
            audio=_parse_audio(fields, "audio"),
            application=_parse_audio(fields, "application"),
            both=_parse_audio(fields, "both"),
            events=_objects_in(fields, "events"),
            gaps=_objects_in(fields, "gaps"),
            warnings=_objects_in(fields, "warnings"),
            not_logged=count_in(fields, "not_logged"),
            not_logged_sha256=string_in(fields, "not_logged_sha256") or None,
            close=SidecarClose.parse(close) if close else None,
            completeness=_parse_completeness(fields),
            source=string_in(fields, "source") or None,
        )

    def serialize(self) -> bytes:
        optional = {"application": self.application, "both": self.both}
        fields = {
            "v": VERSION,
            "call": self.call,
            "call_sid": self.metadata.call_sid,
            "remote": self.remote,
            "target": self.target,
            "subprotocol": self.subprotocol,
            "started": timestamp(self.started),
            "ended": None if self.ended is None else timestamp(self.ended),
            "finished": self.ended is not None,
            "metadata": dict(self.metadata.fields),
            **_describe_metadata(self.metadata),
            "audio": None if self.audio is None else _describe_audio(self.audio),
            **{name: _describe_audio(audio) for name, audio in optional.items() if audio},
            "events": self.events,
            "gaps": self.gaps,
            "warnings": self.warnings,
            "not_logged": self.not_logged,
            **({} if self.not_logged_sha256 is None else {"not_logged_sha256": self.not_logged_sha256}),
            "close": None if self.close is None else self.close.serialize(),
            **self.completeness,
            **({} if self.source is None else {"source": self.source}),
        }
        return json_document(fields).encode()


def _describe_audio(audio: SidecarAudio) -> JsonObject:
    # Unlike ``dataclasses.asdict`` this copies nothing.
    return {name: value for name in SidecarAudio.__slots__ if (value := getattr(audio, name)) is not None}


def _describe_metadata(metadata: CallMetadata) -> JsonObject:
    if not metadata.raw:
        return {"metadata_valid": None, "metadata_raw": None}
    text = metadata.serialize()
    described: JsonObject = {"metadata_valid": metadata.valid, "metadata_raw": text}
    if text.encode() != metadata.raw:
        described["metadata_raw_base64"] = base64.b64encode(metadata.raw).decode()
    return described


def _parse_metadata(fields: Mapping[str, object]) -> CallMetadata:
    text = string_in(fields, "metadata_raw").encode(errors="replace")
    try:
        raw = binascii.a2b_base64(string_in(fields, "metadata_raw_base64")) or text
    except ValueError:
        raw = text
    return CallMetadata.parse(raw) if raw else CallMetadata.missing()


def _parse_audio(fields: Mapping[str, object], name: str) -> SidecarAudio | None:
    described = fields.get(name)
    return SidecarAudio.parse(described) if isinstance(described, dict) else None


def _parse_completeness(fields: Mapping[str, object]) -> Completeness:
    complete, drift = fields.get("complete"), fields.get("clock_drift_ppm")
    return Completeness(
        received_samples=count_in(fields, "received_samples"),
        lost_samples=count_in(fields, "lost_samples"),
        paused_samples=count_in(fields, "paused_samples"),
        unrecorded_samples=count_in(fields, "unrecorded_samples"),
        completeness=number_in(fields, "completeness"),
        complete=complete if isinstance(complete, bool) else None,
        clock_drift_ppm=drift if isinstance(drift, int) else None,
    )


def _objects_in(fields: Mapping[str, object], name: str) -> list[JsonObject]:
    return [item for item in list_in(fields, name) if isinstance(item, dict)]


def channel_meanings(metadata: CallMetadata, audio_format: AudioFormat, layout: ChannelLayout) -> list[str]:
    """Return what each channel of a recording holds, file by file (listenctl-protocol(7) 3.1)."""
    if metadata.mix_type == "mixed":
        return [MIXED]
    if audio_format.channels == 1:
        return [_RECEIVED]
    match layout:
        case ChannelLayout.LEFT:
            return [_RECEIVED]
        case ChannelLayout.RIGHT:
            return [_SENT]
        case ChannelLayout.MIX:
            return [MIXED]
    return [_RECEIVED, _SENT]


def tapped_party(metadata: CallMetadata) -> str:
    if metadata.parent_call_sid:
        return "caller, or callee where the listen has channel 2"
    return {"inbound": "caller", "outbound": "callee"}.get(metadata.direction or "", "unknown")


def position_fields(position: int, sample_rate: int) -> JsonObject:
    return {"position": position, "time": round(position / sample_rate, 3)}
