"""
The sidecar: `NAME.json` beside `NAME.wav`, all that is known of a recording (`listenctl-recording(5)`).

It is written when the call ends, and before that once the call has lasted a while, so that a crash leaves the metadata
beside the audio.
Positions in it are positions in the file: less what couldn't be written, more where silence was put in.
"""

import errno
import json
import os
from operator import attrgetter, itemgetter

from listenctl.events import (
    VERSION,
    Report,
    describe_gap,
    describe_message,
    timestamp,
)
from listenctl.media.dtmf_detector import DtmfTone
from listenctl.media.files.new_files import NewFile
from listenctl.media.files.sidecar import channel_meanings, raw_metadata, tapped_party
from listenctl.media.files.wav_recording import Recording, UnrecordedAudio
from listenctl.protocol.gaps.gap_ledger import GapKind
from listenctl.protocol.listen_session import FlushRequested, GapFound, MessageReceived, ProtocolViolation
from listenctl.server.calls.live_call_log import (
    EMPTY_MESSAGE,
    SHUTTING_DOWN,
    LiveCallLog,
    describe_completeness,
    describe_key,
)

MAX_SIDECAR = 64 * 1024 * 1024


def describe(log: LiveCallLog, recording: Recording) -> Report:
    """Return the sidecar of a call, finished or not."""
    return {
        "v": VERSION,
        "call": log.id,
        "call_sid": log.metadata.call_sid,
        "remote": log.remote,
        "target": log.target,
        "subprotocol": log.subprotocol,
        "started": timestamp(log.started_at),
        "ended": None if log.ended_at is None else timestamp(log.ended_at),
        "finished": log.ended_at is not None,
        "metadata": dict(log.metadata.fields),
        **raw_metadata(log.metadata),
        "audio": describe_audio(log, recording),
        "events": _describe_events(log, recording),
        "gaps": _describe_gaps(log, recording),
        "warnings": _describe_warnings(log, recording),
        "not_logged": log.unlogged,
        "close": _describe_close(log),
        **describe_completeness(log, recording.lost_samples),
    }


def write(sidecar: NewFile, description: Report) -> None:
    """
    Write a sidecar over what its file holds, in one go; a new file each time would cost more than all else.

    Raises:
        OSError: it can't be written; what the file held stays.
    """
    data = json.dumps(description, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"
    before = os.pread(sidecar.fd, MAX_SIDECAR, 0)
    if os.pwrite(sidecar.fd, data, 0) < len(data):
        os.pwrite(sidecar.fd, before, 0)
        os.ftruncate(sidecar.fd, len(before))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(sidecar.path))
    if len(before) > len(data):
        os.ftruncate(sidecar.fd, len(data))


def describe_audio(log: LiveCallLog, recording: Recording) -> Report:
    """Return what the files of a recording hold."""
    output = recording.output_format
    return {
        "files": [path.name for path in recording.paths],
        "format": "wav",
        "sample_rate": output.sample_rate,
        "channels": output.channels,
        "layout": str(recording.layout),
        "channel_meanings": channel_meanings(log.metadata, log.audio_format, recording.layout),
        "tapped_party": tapped_party(log.metadata),
        "samples": recording.samples,
        "seconds": round(output.duration(recording.samples), 3),
        "gaps_filled": recording.fill,
        "warnings": [recording.warning] if recording.warning else [],
    }


def _describe_events(log: LiveCallLog, recording: Recording) -> list[Report]:
    # A key is heard when it is over, and stands where it began.
    entries = [entry for entry in log.entries if isinstance(entry, MessageReceived | DtmfTone)]
    return [_describe_event(entry, recording) for entry in sorted(entries, key=attrgetter("position"))]


def _describe_event(entry: MessageReceived | DtmfTone, recording: Recording) -> Report:
    if isinstance(entry, DtmfTone):
        return {"event": "dtmf-tone", **_place(entry.position, recording), **describe_key(entry)}
    kind, fields = describe_message(entry.message)
    return {"event": kind, **_place(entry.position, recording), **fields}


def _describe_gaps(log: LiveCallLog, recording: Recording) -> list[Report]:
    rate = log.audio_format.sample_rate
    gaps = []
    for gap in log.ledger.gaps:
        # Of a gap that was filled, the place is where its silence begins.
        filled = gap.missing if recording.fill and gap.kind in (GapKind.HOLE, GapKind.PAUSE) else 0
        position = max(0, recording.file_position(gap.position) - filled)
        gaps.append(describe_gap(gap, rate) | {"position": position, "time": round(position / rate, 3)})
    gaps += [_describe_loss(loss, rate, recording) for loss in recording.losses]
    return sorted(gaps, key=itemgetter("position"))


def _describe_loss(loss: UnrecordedAudio, rate: int, recording: Recording) -> Report:
    """Describe what couldn't be written as a gap, of a kind that only recordings have."""
    # The shift of a loss begins behind it; what comes before it tells where it is.
    position = recording.file_position(loss.position - 1) + 1 if loss.position else 0
    return {
        "kind": "unrecorded",
        "position": position,
        "time": round(position / rate, 3),
        "length": round(loss.samples / rate, 3),
        "missing": loss.samples,
        "resolution": 0,
        "position_uncertainty": 0,
        "at_least": False,
    }


def _describe_warnings(log: LiveCallLog, recording: Recording) -> list[Report]:
    warnings: list[Report] = []
    for entry in log.entries:
        match entry:
            case ProtocolViolation(position, rule, detail):
                warnings.append({"rule": rule, "detail": detail, **_place(position, recording)})
            case FlushRequested(position):
                warnings.append({"rule": EMPTY_MESSAGE, "detail": SHUTTING_DOWN, **_place(position, recording)})
            case GapFound() | MessageReceived() | DtmfTone():
                pass
    return warnings


def _describe_close(log: LiveCallLog) -> Report | None:
    ending = log.ending
    return None if ending is None else {"code": ending.code, "reason": ending.reason, "by": ending.closed_by}


def _place(position: int, recording: Recording) -> Report:
    in_file = recording.file_position(position)
    return {"position": in_file, "time": round(in_file / recording.audio_format.sample_rate, 3)}
