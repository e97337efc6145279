"""
The sidecar of a recorded call, written at its end, and before that in case of a crash.
Positions are positions in the file: less what could not be written, plus the silence that was inserted.
"""

from operator import attrgetter, itemgetter

from listenctl.events import GapEvent, message_event
from listenctl.json_lines import JsonObject
from listenctl.media.dtmf_detector import DtmfTone
from listenctl.media.files.sidecar import (
    Sidecar,
    SidecarAudio,
    SidecarClose,
    channel_meanings,
    position_fields,
    tapped_party,
)
from listenctl.media.files.wav_recording import Recording, UnrecordedAudio
from listenctl.protocol.listen_session import FlushRequested, GapFound, MessageReceived, ProtocolViolation
from listenctl.server.calls.live_call_log import EMPTY_MESSAGE, SHUTTING_DOWN, LiveCallLog, describe_completeness


def describe_recording(log: LiveCallLog, recording: Recording, most_unwritten: int = 0) -> Sidecar:
    """
    Return the sidecar of a call, whether it has ended or not.

    Args:
        most_unwritten: the most samples per channel that were in memory only, for which a crash had been the loss.
    """
    ending = log.ending
    return Sidecar(
        call=log.id,
        remote=log.remote,
        target=log.target,
        subprotocol=log.subprotocol,
        started=log.started_at,
        ended=log.ended_at,
        metadata=log.metadata,
        audio=_describe_audio(log, recording, most_unwritten),
        events=_describe_events(log, recording),
        gaps=_describe_gaps(log, recording),
        warnings=_describe_warnings(log, recording),
        not_logged=log.unlogged,
        not_logged_sha256=None if log.unlogged_digest is None else log.unlogged_digest.hexdigest(),
        close=SidecarClose(ending.code, ending.reason, ending.closed_by) if ending else None,
        completeness=describe_completeness(log, recording.lost_samples),
    )


def _describe_audio(log: LiveCallLog, recording: Recording, most_unwritten: int) -> SidecarAudio:
    output = recording.output_format
    return SidecarAudio(
        files=recording.plain_names,
        format="wav",
        sample_rate=output.sample_rate,
        channels=output.channels,
        layout=str(recording.layout),
        channel_meanings=channel_meanings(log.metadata, log.audio_format, recording.layout),
        tapped_party=tapped_party(log.metadata),
        samples=recording.samples,
        seconds=round(output.duration_of(recording.samples), 3),
        gaps_filled=recording.fill,
        max_unwritten_seconds=round(log.audio_format.duration_of(most_unwritten), 3),
        dtmf_masked=log.dtmf_masked or None,
        measured_sample_rate=_measured_rate(log, output.sample_rate),
        warnings=[recording.warning] if recording.warning else [],
    )


def _measured_rate(log: LiveCallLog, output_rate: int) -> int | None:
    measured = log.ledger.measured_rate
    return measured and round(output_rate * measured / log.audio_format.sample_rate)


def _describe_events(log: LiveCallLog, recording: Recording) -> list[JsonObject]:
    if not log.entries:
        return []
    # A detected tone is logged when it ends, but its position is where it began.
    entries = [entry for entry in log.entries if isinstance(entry, MessageReceived | DtmfTone)]
    return [_describe_event(entry, recording) for entry in sorted(entries, key=attrgetter("position"))]


def _describe_event(entry: MessageReceived | DtmfTone, recording: Recording) -> JsonObject:
    if isinstance(entry, DtmfTone):
        tone = {"digit": entry.digit, "channel": entry.channel, "duration_ms": entry.duration_ms}
        return {"event": "dtmf-tone", **_place(entry.position, recording), **tone}
    event = message_event(entry.message)
    return {"event": event.event, **_place(entry.position, recording), **event.serialize()}


def _describe_gaps(log: LiveCallLog, recording: Recording) -> list[JsonObject]:
    rate = log.audio_format.sample_rate
    gaps = []
    for gap in log.ledger.gaps:
        # The position of a filled gap is where its silence begins.
        filled = gap.missing if recording.fill and gap.leaves_out_audio else 0
        position = max(0, recording.file_position(gap.position) - filled)
        gaps.append(GapEvent.of(gap, rate).serialize() | position_fields(position, rate))
    gaps += [_describe_unrecorded(loss, rate, recording) for loss in recording.losses]
    return sorted(gaps, key=itemgetter("position"))


def _describe_unrecorded(loss: UnrecordedAudio, rate: int, recording: Recording) -> JsonObject:
    """Describe audio that could not be written as a gap, of a kind that only recordings have."""
    # The shift that a loss causes begins after it, so the sample before the loss says where it is.
    position = recording.file_position(loss.position - 1) + 1 if loss.position else 0
    return {
        "kind": "unrecorded",
        **position_fields(position, rate),
        "length": round(loss.samples / rate, 3),
        "missing": loss.samples,
        "resolution": 0,
        "position_uncertainty": 0,
        "at_least": False,
    }


def _describe_warnings(log: LiveCallLog, recording: Recording) -> list[JsonObject]:
    warnings: list[JsonObject] = []
    for entry in log.entries:
        match entry:
            case ProtocolViolation(position, rule, detail):
                warnings.append({"rule": rule, "detail": detail, **_place(position, recording)})
            case FlushRequested(position):
                warnings.append({"rule": EMPTY_MESSAGE, "detail": SHUTTING_DOWN, **_place(position, recording)})
            case GapFound() | MessageReceived() | DtmfTone():
                pass
    return warnings


def _place(position: int, recording: Recording) -> JsonObject:
    return position_fields(recording.file_position(position), recording.audio_format.sample_rate)
