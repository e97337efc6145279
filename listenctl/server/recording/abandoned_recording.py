"""Finish the recording of a call whose process was killed: the files stay as they are, and the sidecar says so."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from listenctl.errors import ListenctlError
from listenctl.events import GapEvent, RecordingSavedEvent
from listenctl.media.files.kept_names import replace_file
from listenctl.media.files.recording_names import ENCRYPTED_EXTENSION
from listenctl.media.files.sidecar import MAX_SIDECAR_BYTES, Sidecar, SidecarAudio, SidecarClose
from listenctl.media.files.wav_header import WavInfo, read_header


@dataclass(frozen=True, slots=True)
class AbandonedCall:
    """What is known of the call beside its files."""

    ended_at: float  # Unix time
    reason: str  # why it ended, in a few words
    gaps: Sequence[GapEvent]
    lost_samples: int
    paused_samples: int


def finish_abandoned_recording(sidecar_path: Path, files: Sequence[Path], call: AbandonedCall) -> RecordingSavedEvent:
    """
    Complete the sidecar of a recording that a killed process left, and return what is on disk.

    The audio is what the headers count: it was written completely. What follows is cut off. Raises ListenctlError, or
    OSError, if the recording can't be read.
    """
    if sidecar_path.name.endswith(ENCRYPTED_EXTENSION):
        raise ListenctlError(
            f"{sidecar_path}: only its recipients can complete it; `listenctl decrypt` gives the audio"
        )
    sidecar = Sidecar.parse(sidecar_path.read_bytes()[:MAX_SIDECAR_BYTES])
    if sidecar is None or sidecar.audio is None:
        raise ListenctlError(f"{sidecar_path}: is no sidecar; the audio may be good")
    if sidecar.ended is None:
        sidecar = _completed(sidecar, sidecar.audio, [_cut_to_header(file) for file in files], call)
        replace_file(sidecar_path, sidecar.serialize())
    audio = sidecar.audio
    assert audio is not None
    paths = [sidecar_path.with_name(name) for name in audio.files]
    return RecordingSavedEvent(
        path=str(paths[0]),
        paths=[str(path) for path in paths],
        sidecar=str(sidecar_path),
        format=audio.format,
        samples=audio.samples,
        seconds=audio.seconds,
        bytes=sum(path.stat().st_size for path in paths),
        lost_samples=sidecar.completeness["lost_samples"],
        unrecorded_samples=sidecar.completeness["unrecorded_samples"],
        complete=sidecar.completeness["complete"],
        warnings=audio.warnings,
    )


def _completed(sidecar: Sidecar, audio: SidecarAudio, infos: Sequence[WavInfo], call: AbandonedCall) -> Sidecar:
    output = infos[0].format
    samples = output.samples_in(infos[0].data_bytes or 0)
    known = sidecar.completeness
    received = max(known["received_samples"], 0 if audio.gaps_filled else samples)
    # Without inserted silence, positions in the file are those of the call.
    gaps = sidecar.gaps if audio.gaps_filled else [gap.serialize() for gap in call.gaps]
    return replace(
        sidecar,
        ended=call.ended_at,
        close=SidecarClose(None, call.reason, "nobody"),
        audio=replace(
            audio,
            sample_rate=output.sample_rate,
            channels=output.channels,
            samples=samples,
            seconds=round(output.duration_of(samples), 3),
            warnings=[*audio.warnings, f"{call.reason}; the last second of the audio may be missing"],
        ),
        gaps=gaps,
        completeness={
            **known,
            "received_samples": received,
            "lost_samples": max(known["lost_samples"], call.lost_samples),
            "paused_samples": max(known["paused_samples"], call.paused_samples),
            "complete": False,
        },
    )


def _cut_to_header(path: Path) -> WavInfo:
    with path.open("r+b") as file:
        info = read_header(file)
        if info.data_bytes is None:
            raise ListenctlError(f"{path}: has a header without a length; try `listenctl recover`")
        end = info.data_offset + info.data_bytes
        if file.seek(0, os.SEEK_END) > end:
            file.truncate(end)
    return info
