"""The sidecar of an extracted call, of the form that the recorder's has (`listenctl-recording(5)`)."""

from dataclasses import dataclass, field, replace
from functools import partial

from listenctl.events import VERSION, Report, describe_gap, describe_message, timestamp
from listenctl.inspection.call_report import CallReport
from listenctl.media.channel_layout import ChannelLayout
from listenctl.media.files.convert_recording import Conversion
from listenctl.media.files.sidecar import channel_meanings, raw_metadata, tapped_party
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.call_metadata import CallMetadata
from listenctl.protocol.listen_session import MessageReceived, ProtocolViolation, Sender
from listenctl.protocol.timeline import TimelineEntry

MAX_KEPT = 10_000
_NO_CODE, _BROKEN = 1005, 1006
"""What stands for a Close without a code, and for none (RFC 6455 7.4.1)."""


@dataclass(slots=True)
class Happenings:
    """What jambonz said in a call, and what was wrong with it; ``left_out`` is how much more there was."""

    kept: list[MessageReceived | ProtocolViolation] = field(default_factory=list)
    left_out: int = 0

    def add(self, entry: TimelineEntry) -> None:
        """Take anything; what matters is kept."""
        if not isinstance(entry.event, MessageReceived | ProtocolViolation):
            return
        if len(self.kept) < MAX_KEPT:
            self.kept.append(entry.event)
        else:
            self.left_out += 1

    def change_format(self, before: AudioFormat, after: AudioFormat) -> None:
        """Count positions in another format."""
        scaled = partial(_scaled, ratio=before.frame_bytes / after.frame_bytes)
        self.kept = [replace(event, position=scaled(event.position)) for event in self.kept]


def describe_call(report: CallReport, happenings: Happenings, sound: Report) -> Report:
    """Return the sidecar; ``sound`` describes each file: ``audio`` that of jambonz, None where it sent none."""
    session, metadata = report.session, report.metadata or CallMetadata.missing()
    rate = report.audio_format.sample_rate
    missing = report.completeness
    return {
        "v": VERSION,
        "call": report.call,
        "call_sid": metadata.call_sid,
        "remote": session.client,
        "target": session.target or "",
        "subprotocol": session.subprotocol,
        "started": timestamp(session.began),
        "ended": timestamp(session.began + report.seconds),
        "finished": True,
        "metadata": dict(metadata.fields),
        **raw_metadata(metadata),
        **sound,
        "events": [_event(event, rate) for event in happenings.kept if isinstance(event, MessageReceived)],
        "gaps": [describe_gap(gap, rate) for gap in report.gaps],
        "warnings": [_warning(event, rate) for event in happenings.kept if isinstance(event, ProtocolViolation)],
        "not_logged": happenings.left_out,
        "close": _close(report),
        "received_samples": missing.received,
        "lost_samples": missing.lost + missing.uncaptured,
        "paused_samples": missing.paused,
        "unrecorded_samples": 0,
        "completeness": None if missing.share is None else round(missing.share, 6),
        "complete": missing.complete,
        "clock_drift_ppm": round(report.drift.ppm) if report.drift else None,
        "source": session.source,
    }


def describe_received(report: CallReport, file: Report) -> Report:
    """Return what the recorder says of its file, for ``file`` with the audio from jambonz."""
    metadata, audio_format = report.metadata or CallMetadata.missing(), report.audio_format
    return file | {
        "layout": str(ChannelLayout.AS_IS),
        "channel_meanings": channel_meanings(metadata, audio_format, ChannelLayout.AS_IS),
        "tapped_party": tapped_party(metadata),
        "gaps_filled": False,
    }


def describe_file(conversion: Conversion, audio_format: AudioFormat, samples: int, *, begins: float) -> Report:
    """Return what a file holds; ``begins`` is in seconds since the handshake."""
    return {
        "files": [conversion.path.name],
        "format": conversion.path.suffix[1:],
        "sample_rate": audio_format.sample_rate,
        "channels": audio_format.channels,
        "samples": samples,
        "seconds": round(audio_format.duration(samples), 3),
        "begins": round(begins, 4),
        "warnings": list(conversion.warnings),
    }


def _scaled(position: int, *, ratio: float) -> int:
    return int(position * ratio)


def _event(event: MessageReceived, rate: int) -> Report:
    kind, fields = describe_message(event.message)
    return {"event": kind, **_place(event.position, rate), **fields}


def _warning(event: ProtocolViolation, rate: int) -> Report:
    return {"rule": event.rule, "detail": event.detail, **_place(event.position, rate)}


def _place(position: int, rate: int) -> Report:
    return {"position": position, "time": round(position / rate, 3)}


def _close(report: CallReport) -> Report:
    close = report.close
    closed = close.get("time") is not None
    by = close.get("by")
    return {
        "code": close.get("code") or (_NO_CODE if closed else _BROKEN),
        "reason": close.get("reason") or "",
        "by": by if by in tuple(Sender) else "nobody",
    }
