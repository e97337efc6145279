import base64
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from listenctl.errors import ListenctlError
from listenctl.inspection import sample_times
from listenctl.inspection.extract_audio.audio_extractor import AudioExtractor, ExtractedCall
from listenctl.inspection.settings import InspectionSettings
from listenctl.media.files.recording_names import RecordingDestination
from listenctl.media.sources.sample_speech import sample_speech
from listenctl.protocol.audio import AudioFormat
from tests.helpers.capture import CAPTURES, received_audio
from tests.helpers.frames import BINARY
from tests.helpers.inspected import JAMBONZ, METADATA, SILENCE, MadeUp, capture_events, inspect

FRAME = struct.pack("<h", 1000) * 160
STEREO_FRAME = struct.pack("<hh", 500, 2000) * 160
STEREO = METADATA | {"mixType": "stereo"}


def destination(folder: Path, kind: str | None = None) -> RecordingDestination:
    return RecordingDestination.parse(f"{folder}/", kind=kind)


def extract(name: str, folder: Path, *, kind: str | None = None) -> ExtractedCall:
    extractor = AudioExtractor(destination(folder, kind))
    inspect(capture_events(name), observers=[extractor])
    [extracted] = extractor.made
    return extracted


def read(extracted: ExtractedCall, part: str) -> tuple[NDArray[np.int16], int]:
    [path] = [path for path in extracted.paths if f".{part}." in path.name]
    samples, rate = soundfile.read(path, dtype="int16", always_2d=True)
    return samples, int(rate)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def sidecar(extracted: ExtractedCall) -> dict[str, object]:
    described = json.loads(extracted.paths[-1].read_text())
    assert isinstance(described, dict)
    return described


class ExtractedMadeUp(MadeUp):
    """A call whose audio is extracted to a folder."""

    def __init__(self, folder: Path, metadata: dict[str, object] | None = METADATA, *, stream_rate: int = 8000) -> None:
        self.extractor = AudioExtractor(destination(folder))
        super().__init__(InspectionSettings(stream_rate=stream_rate), [self.extractor], metadata=metadata)

    def extracted(self, at: float) -> ExtractedCall:
        self.close(at)
        [extracted] = self.extractor.made
        return extracted


@pytest.mark.parametrize("name", CAPTURES)
def test_the_audio_from_jambonz_is_extracted_sample_for_sample(name: str, tmp_path: Path) -> None:
    expected = received_audio(name)

    extracted = extract(name, tmp_path)

    samples, rate = read(extracted, "jambonz")
    assert (rate, samples.shape[1]) == (expected.sample_rate, expected.channels)
    assert samples.astype("<i2").tobytes() == expected.data
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in extracted.paths)
    described = sidecar(extracted)
    audio = described["audio"]
    assert isinstance(audio, dict)
    assert audio["sample_rate"] == expected.sample_rate
    assert audio["samples"] == len(expected.data) // 2 // expected.channels == described["received_samples"]
    assert audio["files"] == [f"{described['call']}.jambonz.wav"]
    assert described["complete"] is described["finished"] is True
    assert len(audio["channel_meanings"]) == expected.channels


def test_a_stream_is_extracted_as_the_caller_heard_it(tmp_path: Path) -> None:
    both, rate = read(extract("c2_bidir_stream8k_marks_nominus1", tmp_path), "both")

    assert rate == 8000
    heard = np.abs(both[:, 1]) > 50
    # As the phone at the other end recorded it: speech from 1.15 s on, the last killed at 9.0 s, the rest until 11.1 s.
    begins = [bool(heard[int(at * rate) : int((at + 0.4) * rate)].any()) for at in (0.5, 1.2, 4.2, 5.1, 7.4, 8.1, 9.2)]
    assert begins == [False, True, False, True, False, True, False]
    assert not heard[int(11.2 * rate) :].any()


def test_both_sides_are_aligned(tmp_path: Path) -> None:
    call = ExtractedMadeUp(tmp_path)
    sound = sample_speech(AudioFormat(8000, 1))
    for number in range(150):
        piece = sound[number * 320 : number * 320 + 320]
        call.frame((number + 1) * 0.02, JAMBONZ, BINARY, piece)
        call.stream((number + 1) * 0.02 + 0.001, piece)
    call.listen(3.0, 4.0)

    both, _ = read(call.extracted(4.0), "both")
    left, right = (both[:, channel].astype(float) for channel in (0, 1))
    lag = int(np.correlate(right, left, "full").argmax()) - len(left) + 1
    # The application returns the audio, which is played when the first block of 160 ms is full
    # (listenctl-protocol(7) 6.2).
    assert 0.02 <= lag / 8000 <= 0.25


def test_gaps_are_silence_in_both_and_omitted_from_the_exact_audio(tmp_path: Path) -> None:
    call = ExtractedMadeUp(tmp_path)
    call.listen(0.0, 2.0, frame=FRAME)
    call.pace(2.5, 4.5, FRAME)
    call.listen(5.0, 9.0, frame=FRAME)
    extracted = call.extracted(9.0)

    exact, _ = read(extracted, "jambonz")
    both, _ = read(extracted, "both")
    assert len(exact) == 6 * 8000
    assert (exact == 1000).all()
    assert len(both) == pytest.approx(9 * 8000, abs=400)
    assert (both[2 * 8000 + 400 : 5 * 8000 - 400, 0] == 0).all()
    assert (both[5 * 8000 + 400 : 9 * 8000 - 400, 0] == 1000).all()


def test_a_stream_is_added_to_the_right_channel_of_jambonz(tmp_path: Path) -> None:
    call = ExtractedMadeUp(tmp_path, STEREO)
    for number in range(200):
        call.frame((number + 1) * 0.02, JAMBONZ, BINARY, STEREO_FRAME)
        if 50 <= number < 150:
            call.stream((number + 1) * 0.02, FRAME)

    both, _ = read(call.extracted(4.0), "both")
    assert (both[2000:30_000, 0] == 500).all()
    assert (both[1000:7000, 1] == 2000).all()
    assert (both[12_000:20_000, 1] == 3000).all()


def test_clips_that_are_in_the_right_channel_are_not_added(tmp_path: Path) -> None:
    call = ExtractedMadeUp(tmp_path, STEREO, stream_rate=0)
    data = base64.b64encode(FRAME * 50).decode()
    clip = {"audioContent": data, "audioContentType": "raw", "sampleRate": 8000, "id": "a"}
    call.say(0.5, {"type": "playAudio", "data": clip})
    call.listen(0.0, 2.0, frame=STEREO_FRAME)
    extracted = call.extracted(2.0)

    both, _ = read(extracted, "both")
    alone, _ = read(extracted, "application")
    assert set(both[800:15_000, 1].tolist()) == {2000}
    assert alone.max() == 1000


def test_different_sample_rates_are_mixed_at_the_higher_one(tmp_path: Path) -> None:
    call = ExtractedMadeUp(tmp_path, METADATA | {"sampleRate": 16_000})
    call.listen(0.0, 3.0, frame=SILENCE * 2)
    call.pace(3.0, 4.0, FRAME)
    extracted = call.extracted(4.5)

    both, rate = read(extracted, "both")
    assert rate == 16_000
    assert read(extracted, "application")[1] == 8000
    assert both[:, 1].max() == pytest.approx(1000, abs=200)


def test_a_side_without_audio_has_no_files(tmp_path: Path) -> None:
    call = ExtractedMadeUp(tmp_path)
    call.mark(1.0, "a")
    call.close(2.0)
    assert call.extractor.made == []
    assert files(tmp_path) == []

    call = ExtractedMadeUp(tmp_path)
    call.pace(1.0, 3.0, FRAME)

    assert sidecar(call.extracted(4.0))["audio"] is None
    assert files(tmp_path) == ["CS-A.application.wav", "CS-A.both.wav", "CS-A.json"]


def test_no_file_is_overwritten_and_the_files_of_a_call_share_a_number(tmp_path: Path) -> None:
    (tmp_path / "CS-A.both.wav").write_bytes(b"mine")
    names = []
    for _ in range(2):
        call = ExtractedMadeUp(tmp_path)
        call.listen(0.0, 1.0)
        names += [path.name for path in call.extracted(1.0).paths]

    assert (tmp_path / "CS-A.both.wav").read_bytes() == b"mine"
    assert names == ["CS-A-2.jambonz.wav", "CS-A-2.json", "CS-A-3.jambonz.wav", "CS-A-3.json"]


def test_a_hostile_call_sid_stays_in_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "er"
    call = ExtractedMadeUp(folder, METADATA | {"callSid": "../../../../etc/\x1b[2J\n.pwned"})
    call.listen(0.0, 1.0)
    paths = call.extracted(1.0).paths

    assert {path.parent for path in paths} == {folder}
    assert all(path.name.isprintable() for path in paths)


@pytest.mark.parametrize("kind", ["flac", "raw", "ogg", "mp3"])
def test_all_files_are_converted_and_described(kind: str, tmp_path: Path) -> None:
    extracted = extract("e_playaudio_featureserver", tmp_path, kind=kind)

    described = sidecar(extracted)
    assert [path.suffix for path in extracted.paths] == [f".{kind}"] * 3 + [".json"]
    assert len(files(tmp_path)) == 4
    for name in ("audio", "application", "both"):
        part = described[name]
        assert isinstance(part, dict)
        assert part["format"] == kind
    events = described["events"]
    assert isinstance(events, list)
    assert {event["event"] for event in events} == {"dtmf", "play-done"}
    assert described["close"] == {"code": 1000, "reason": "", "by": "jambonz"}
    if kind == "flac":
        samples, _ = read(extracted, "jambonz")
        assert samples.astype("<i2").tobytes() == received_audio("e_playaudio_featureserver").data


def test_late_metadata_changes_the_format_of_the_file(tmp_path: Path) -> None:
    call = ExtractedMadeUp(tmp_path, None)
    call.listen(0.0, 1.2, frame=FRAME * 4)
    call.answer(1.3, '{"type":"playDone"}')
    call.answer(1.4, json.dumps(METADATA | {"sampleRate": 16_000, "mixType": "stereo"}))
    call.frame(1.5, JAMBONZ, BINARY, FRAME * 4)

    samples, rate = read(call.extracted(2.0), "jambonz")
    assert (rate, samples.shape) == (16_000, (61 * 320, 2))


def test_open_files_play_after_the_inspection_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ListenctlError, match="can't be written: Not a directory"):
        ExtractedMadeUp(tmp_path / "file" / "in").listen(0.0, 1.0)
    call = ExtractedMadeUp(tmp_path)
    call.listen(0.0, 1.0, frame=FRAME)

    call.extractor.abandon()

    assert soundfile.info(tmp_path / "CS-A.jambonz.wav").frames == 8000


def test_silence_that_is_left_out_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_times, "MAX_SILENCE", 10.0)
    extractor = AudioExtractor(destination(tmp_path))
    call = MadeUp(InspectionSettings(stream_rate=8000), [extractor])
    call.listen(0, 4)
    call.stream(2, bytes(3200))
    call.listen(40, 42)
    call.stream(41, bytes(3200))
    call.close(43)

    (extracted,) = extractor.made
    assert extracted.warnings == ("CS-A: silence of more than 6 hours is left out of the files",)
