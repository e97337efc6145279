"""Recordings whose process was killed."""

import json
import struct
from pathlib import Path

import pytest
from pyrage import x25519

from listenctl.errors import ListenctlError
from listenctl.events import GapEvent
from listenctl.media.encryption.age_keys import read_recipients
from listenctl.media.files.wav_header import HEADER_BYTES
from listenctl.media.files.wav_recording import Recording
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.gaps.gap import Gap, GapKind
from listenctl.server.recording.abandoned_recording import AbandonedCall, finish_abandoned_recording
from listenctl.server.recording.describe_recording import describe_recording
from tests.helpers.server import STARTED_AT, call_log

METADATA = '{"callSid": "a", "sampleRate": 8000, "mixType": "mono"}'
AUDIO = struct.pack("<8000h", *range(8000))
HOLE = GapEvent.of(Gap(GapKind.HOLE, 4000, 0.5, 0.02, missing=4000), 8000)
CALL = AbandonedCall(STARTED_AT + 5, "the process died", gaps=[HOLE], lost_samples=4000, paused_samples=80)


def abandon(folder: Path, *, fill: bool = False) -> Recording:
    """Return a recording of a second of audio as a killed process leaves it: the sidecar is that of the beginning."""
    recording = Recording(folder / "a.wav", AudioFormat(8000, 1), fill=fill)
    recording.sidecar_path.write_bytes(describe_recording(call_log(METADATA), recording).serialize())
    recording.write_audio(0, AUDIO)
    return recording


def test_the_audio_stays_and_the_sidecar_says_how_the_call_ended(tmp_path: Path) -> None:
    recording = abandon(tmp_path)
    saved = finish_abandoned_recording(recording.sidecar_path, recording.paths, CALL)
    sidecar = json.loads((tmp_path / "a.json").read_text())

    assert (tmp_path / "a.wav").read_bytes()[HEADER_BYTES:] == AUDIO
    assert (saved.path, saved.samples, saved.seconds, saved.lost_samples) == (str(tmp_path / "a.wav"), 8000, 1.0, 4000)
    assert (saved.complete, saved.bytes) == (False, HEADER_BYTES + len(AUDIO))
    assert saved.warnings == ["the process died; the last second of the audio may be missing"]
    assert (sidecar["finished"], sidecar["complete"]) == (True, False)
    assert sidecar["ended"] == "2026-11-18T11:06:45.500Z"
    assert sidecar["close"] == {"code": None, "reason": "the process died", "by": "nobody"}
    assert (sidecar["received_samples"], sidecar["lost_samples"], sidecar["paused_samples"]) == (8000, 4000, 80)
    assert [(gap["kind"], gap["position"], gap["missing"]) for gap in sidecar["gaps"]] == [("hole", 4000, 4000)]
    assert sidecar["metadata"]["callSid"] == "a"


def test_an_encrypted_recording_is_left_as_it_is(tmp_path: Path) -> None:
    recipients = read_recipients([str(x25519.Identity.generate().to_public())])
    recording = Recording(tmp_path / "a.wav", AudioFormat(8000, 1), recipients=recipients)
    recording.write_audio(0, AUDIO)
    recording.sidecar_path.write_bytes(recipients.encrypt(b"{}"))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    with pytest.raises(ListenctlError, match=r"a\.json\.age: only its recipients can complete it; `listenctl decrypt`"):
        finish_abandoned_recording(recording.sidecar_path, recording.paths, CALL)

    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_the_header_does_not_count_is_cut_off(tmp_path: Path) -> None:
    recording = abandon(tmp_path)
    with (tmp_path / "a.wav").open("ab") as file:
        file.write(b"half a write")

    saved = finish_abandoned_recording(recording.sidecar_path, recording.paths, CALL)

    assert saved.samples == 8000
    assert (tmp_path / "a.wav").read_bytes()[HEADER_BYTES:] == AUDIO


def test_inserted_silence_is_not_taken_for_received_audio(tmp_path: Path) -> None:
    recording = abandon(tmp_path, fill=True)
    recording.insert_silence(8000, 4000)

    saved = finish_abandoned_recording(recording.sidecar_path, recording.paths, CALL)
    sidecar = json.loads((tmp_path / "a.json").read_text())

    assert saved.samples == 12_000
    assert sidecar["received_samples"] == 0  # All that is certain when the sidecar was written.
    assert sidecar["gaps"] == []


def test_a_recording_that_was_complete_is_reported_as_it_is(tmp_path: Path) -> None:
    recording = abandon(tmp_path)
    log = call_log(METADATA)
    log.samples, log.ended_at = 8000, STARTED_AT + 1
    recording.sidecar_path.write_bytes(describe_recording(log, recording).serialize())
    before = (tmp_path / "a.json").read_bytes()

    saved = finish_abandoned_recording(recording.sidecar_path, recording.paths, CALL)

    assert (saved.samples, saved.complete, saved.warnings) == (8000, True, [])
    assert (tmp_path / "a.json").read_bytes() == before


@pytest.mark.parametrize("sidecar", [b"", b"{}", None])
def test_without_its_sidecar_a_recording_is_not_touched(tmp_path: Path, sidecar: bytes | None) -> None:
    recording = abandon(tmp_path)
    if sidecar is None:
        recording.sidecar_path.unlink()
    else:
        recording.sidecar_path.write_bytes(sidecar)

    with pytest.raises((ListenctlError, OSError)):
        finish_abandoned_recording(recording.sidecar_path, recording.paths, CALL)

    assert (tmp_path / "a.wav").read_bytes()[HEADER_BYTES:] == AUDIO
