"""Make the sidecar of an extracted call, like that of a recording (`listenctl-recording(5)`)."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from listenctl.events import Completeness, GapEvent, message_event
from listenctl.inspection.call_report import CallReport
from listenctl.inspection.extract_audio.extracted_files import ExtractedPart
from listenctl.json_lines import JsonObject
from listenctl.media.channel_layout import ChannelLayout
from listenctl.media.files.convert_recording import Conversion
from listenctl.media.files.sidecar import (
    Sidecar,
    SidecarAudio,
    SidecarClose,
    channel_meanings,
    position_fields,
    tapped_party,
)
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.call_metadata import CallMetadata
from listenctl.protocol.frames.websocket_messages import ControlFrame
from listenctl.protocol.listen_session import MessageReceived, ProtocolViolation, SessionEvent

MAX_EVENTS = 10_000
_NO_CODE, _BROKEN = 1005, 1006
"""Codes for a Close frame without a code, and for no Close frame (RFC 6455 7.4.1)."""


@dataclass(slots=True)
class SidecarEvents:
    """Text messages of jambonz and protocol violations; ``omitted`` counts those beyond the limit."""

    listed: list[MessageReceived | ProtocolViolation] = field(default_factory=list)
    omitted: int = 0

    def take_event(self, event: SessionEvent | ControlFrame) -> None:
        if not isinstance(event, MessageReceived | ProtocolViolation):
            return
        if len(self.listed) < MAX_EVENTS:
            self.listed.append(event)
        else:
            self.omitted += 1

    def change_format(self, before: AudioFormat, after: AudioFormat) -> None:
        """Convert positions to another format, because the metadata came late."""
        ratio = before.frame_bytes / after.frame_bytes
        self.listed = [replace(event, position=int(event.position * ratio)) for event in self.listed]


def describe_extracted(
    report: CallReport, events: SidecarEvents, files: Mapping[ExtractedPart, SidecarAudio]
) -> Sidecar:
    session = report.session
    rate = report.audio_format.sample_rate
    missing = report.completeness
    return Sidecar(
        call=report.call,
        remote=session.client,
        target=session.target or "",
        subprotocol=session.subprotocol,
        started=session.began,
        ended=session.began + report.seconds,
        metadata=report.metadata or CallMetadata.missing(),
        audio=files.get(ExtractedPart.JAMBONZ),
        application=files.get(ExtractedPart.APPLICATION),
        both=files.get(ExtractedPart.BOTH),
        events=[_event(event, rate) for event in events.listed if isinstance(event, MessageReceived)],
        gaps=[GapEvent.of(gap, rate).serialize() for gap in report.gaps],
        warnings=[_warning(event, rate) for event in events.listed if isinstance(event, ProtocolViolation)],
        not_logged=events.omitted,
        close=_close(report),
        completeness=Completeness(
            received_samples=missing.received,
            lost_samples=missing.lost + missing.uncaptured,
            paused_samples=missing.paused,
            unrecorded_samples=0,
            completeness=None if missing.share is None else round(missing.share, 6),
            complete=missing.complete,
            clock_drift_ppm=round(report.drift.ppm) if report.drift else None,
        ),
        source=session.source,
    )


def describe_received(report: CallReport, file: SidecarAudio) -> SidecarAudio:
    """Describe the file with the audio from jambonz as the recorder describes its own."""
    metadata = report.metadata or CallMetadata.missing()
    return replace(
        file,
        layout=str(ChannelLayout.AS_IS),
        channel_meanings=channel_meanings(metadata, report.audio_format, ChannelLayout.AS_IS),
        tapped_party=tapped_party(metadata),
        gaps_filled=False,
    )


def describe_file(conversion: Conversion, audio_format: AudioFormat, samples: int, *, begins: float) -> SidecarAudio:
    """Describe a file; ``begins`` is in seconds since the handshake."""
    described = SidecarAudio(
        files=[conversion.path.name],
        format=conversion.path.suffix[1:],
        sample_rate=audio_format.sample_rate,
        channels=audio_format.channels,
        samples=samples,
        seconds=round(audio_format.duration_of(samples), 3),
        begins=round(begins, 4),
        warnings=conversion.warnings,
    )
    return described.resampled(conversion.resampled_to) if conversion.resampled_to else described


def _event(event: MessageReceived, rate: int) -> JsonObject:
    described = message_event(event.message)
    return {"event": described.event, **position_fields(event.position, rate), **described.serialize()}


def _warning(event: ProtocolViolation, rate: int) -> JsonObject:
    return {"rule": event.rule, "detail": event.detail, **position_fields(event.position, rate)}


def _close(report: CallReport) -> SidecarClose:
    close = report.close
    without_code = _BROKEN if close["time"] is None else _NO_CODE
    return SidecarClose(close["code"] or without_code, close["reason"] or "", close["by"] or "nobody")
