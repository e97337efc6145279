import math
from pathlib import Path

import numpy as np
import pytest
import soundfile

from listenctl.media.files.convert_recording import convert_wav
from listenctl.media.files.recording_tags import recording_tags
from listenctl.protocol.call_metadata import CallMetadata

STARTED = 1_767_196_800.5  # 2025-12-31T16:00:00Z
CALL = CallMetadata.from_fields({"from": "+15083084809", "to": "+15084901000", "callSid": "7f1c-a"})
TAGS = {
    "title": "Call from +15083084809 to +15084901000",
    "artist": "+15083084809",
    "date": "2025-12-31T16:00:00Z",
    "comment": "caller=+15083084809; callee=+15084901000; date=2025-12-31T16:00:00Z; callSid=7f1c-a",
}


def test_a_recording_is_tagged_with_caller_callee_date_and_call_sid() -> None:
    assert recording_tags(CALL, STARTED) == TAGS


def test_what_is_unknown_is_left_out_and_hostile_values_are_made_harmless() -> None:
    hostile = CallMetadata.from_fields({"from": "a\r\n\0\x1b]0;" + "x" * 1000, "to": 5})

    assert recording_tags(CallMetadata.missing(), math.inf) == {"title": "Call"}
    assert recording_tags(hostile, STARTED)["artist"] == "a\ufffd\ufffd\ufffd\ufffd]0;" + "x" * 92
    assert "callee" not in recording_tags(hostile, STARTED)["comment"]


@pytest.mark.parametrize(("kind", "extension"), [("flac", ".flac"), ("ogg", ".ogg"), ("mp3", ".mp3"), ("raw", ".raw")])
def test_other_programs_read_the_tags(tmp_path: Path, kind: str, extension: str) -> None:
    wav = tmp_path / "call.wav"
    soundfile.write(wav, np.sin(np.arange(16000) / 5) * 0.3, 16000, subtype="PCM_16")

    made = convert_wav(wav, tmp_path / f"call{extension}", kind, recording_tags(CALL, STARTED))

    if kind == "raw":
        assert made.path.stat().st_size == 32000
        return
    with soundfile.SoundFile(made.path) as file:
        assert {name: value for name, value in file.copy_metadata().items() if name in TAGS} == TAGS
