"""Recordings of calls: where they go, in which form, and what a disk that fails costs."""

import asyncio
import json
import os
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from listenctl.events import Reporter
from listenctl.media.channel_layout import ChannelLayout
from listenctl.media.files.recording_names import RecordingDestination
from listenctl.media.files.wav_header import wav_header
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.gaps.gap_ledger import Gap, GapKind
from listenctl.server.recording.call_recorder import FileRecorder
from listenctl.server.recording.recording_writer import RecordSettings
from tests.helpers.capture import CAPTURES, Cut, client_bytes, odd_pieces, received_audio, replay, whole
from tests.helpers.frames import binary, close, text
from tests.helpers.server import (
    Event,
    Events,
    call_log,
    faster,
    mode_of,
    read_sidecar,
    recorded_audio,
    recorded_file,
    running,
    until,
)

pytestmark = pytest.mark.simulated_time

METADATA = '{"sampleRate":8000,"mixType":"mono","callSid":"CS-A","from":"+49","x":{"y":1}}'
STEREO = '{"sampleRate":8000,"mixType":"stereo","callSid":"CS-A"}'
AUDIO = struct.pack("<160h", *range(1000, 1160))


def to(destination: str, *, layout: ChannelLayout = ChannelLayout.AS_IS, fill: bool = False) -> RecordSettings:
    return RecordSettings(RecordingDestination.parse(destination), layout, fill=fill)


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def tone(seconds: float, rate: int = 8000, channels: int = 1) -> bytes:
    """Return a tone, on the right at half the level."""
    wave = 12_000 * np.sin(np.arange(int(seconds * rate)) * (2 * np.pi * 440 / rate))
    scaled = np.column_stack([wave / (channel + 1) for channel in range(channels)])
    return scaled.astype("<i2").tobytes()


async def record(settings: RecordSettings, metadata: str, audio: bytes) -> Event:
    async with running(record=settings) as run:
        await run.call(text(metadata), binary(audio), close())
        return await run.events.wait_for("recording-saved")


# Names.


@pytest.mark.parametrize(
    ("destination", "metadata", "name"),
    [
        ("out", METADATA, "out/CS-A.wav"),
        ("out/", METADATA, "out/CS-A.wav"),
        ("{from}/{callSid}.wav", METADATA, "+49/CS-A.wav"),
        ("one.wav", METADATA, "one.wav"),
        ("{nothing}.wav", METADATA, "unknown.wav"),
        ("out/", '{"callSid":"../../etc/passwd"}', "out/___.._etc_passwd.wav"),
        ("out/", '{"callSid":"a\\u0000b\\u001b[31m\\u202e"}', "out/a_b_[31m_.wav"),
        ("out/", '{"callSid":".hidden"}', "out/_hidden.wav"),
        ("out/", '{"callSid":"-rf"}', "out/_rf.wav"),
        ("{callSid}/x.wav", '{"callSid":".."}', "__/x.wav"),
    ],
)
async def test_a_recording_goes_where_the_template_says(
    destination: str, metadata: str, name: str, tmp_path: Path
) -> None:
    saved = await record(to(f"{tmp_path}/{destination}"), metadata, AUDIO)

    assert Path(saved["path"]).relative_to(tmp_path) == Path(name)
    assert Path(saved["sidecar"]) == (tmp_path / name).with_suffix(".json")


async def test_date_and_time_are_utc(tmp_path: Path) -> None:
    saved = await record(to(f"{tmp_path}/{{date}}/{{time}}.wav"), METADATA, AUDIO)

    started: str = read_sidecar(saved)["started"]
    date, _, time = started.partition("T")
    assert Path(saved["path"]).relative_to(tmp_path) == Path(date, f"{time[:8].replace(':', '')}.wav")


async def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "CS-A.wav").write_bytes(b"precious")
    (tmp_path / "CS-A-2.json").write_bytes(b"precious too")

    saved = await record(to(f"{tmp_path}/"), METADATA, AUDIO)

    assert Path(saved["path"]).name == "CS-A-3.wav"
    assert (tmp_path / "CS-A.wav").read_bytes() == b"precious"
    assert (tmp_path / "CS-A-2.json").read_bytes() == b"precious too"


async def test_recordings_are_for_their_owner_only(tmp_path: Path) -> None:
    saved = await record(to(f"{tmp_path}/a/b/"), METADATA, AUDIO)

    assert mode_of(saved["path"]) == 0o600
    assert mode_of(saved["sidecar"]) == 0o600
    assert mode_of(tmp_path / "a") == 0o700
    assert mode_of(tmp_path / "a" / "b") == 0o700


# Forms.


@pytest.mark.parametrize(
    ("layout", "files"),
    [
        (ChannelLayout.AS_IS, {"CS-A.wav": [[1, -2], [3, -4]]}),
        (ChannelLayout.SPLIT, {"CS-A-left.wav": [[1], [3]], "CS-A-right.wav": [[-2], [-4]]}),
        (ChannelLayout.LEFT, {"CS-A.wav": [[1], [3]]}),
        (ChannelLayout.RIGHT, {"CS-A.wav": [[-2], [-4]]}),
        (ChannelLayout.MIX, {"CS-A.wav": [[-1], [-1]]}),
    ],
    ids=str,
)
async def test_channels_are_laid_out_as_asked(
    layout: ChannelLayout, files: dict[str, list[list[int]]], tmp_path: Path
) -> None:
    saved = await record(to(f"{tmp_path}/", layout=layout), STEREO, struct.pack("<4h", 1, -2, 3, -4))

    found = {Path(p).name: soundfile.read(p, dtype="int16", always_2d=True)[0].tolist() for p in saved["paths"]}
    audio = read_sidecar(saved)["audio"]
    assert found == files
    assert audio["files"] == list(files)
    assert audio["layout"] == layout
    assert len(audio["channel_meanings"]) == len(next(iter(files.values()))[0]) * len(files)


async def test_a_layout_that_a_mono_call_can_not_have_is_a_warning(tmp_path: Path) -> None:
    saved = await record(to(f"{tmp_path}/", layout=ChannelLayout.SPLIT), METADATA, AUDIO)

    assert [Path(path).name for path in saved["paths"]] == ["CS-A.wav"]
    assert saved["warnings"] == ["--channels split needs two channels; the audio of this call has 1"]


@pytest.mark.parametrize("extension", ["flac", "ogg", "opus", "mp3", "raw"])
async def test_other_formats_replace_the_wav(extension: str, tmp_path: Path) -> None:
    audio = tone(1.0)

    saved = await record(to(f"{tmp_path}/{{callSid}}.{extension}"), METADATA, audio)

    assert names_in(tmp_path) == {"CS-A.json", f"CS-A.{extension}"}
    sidecar = read_sidecar(saved)
    assert saved["format"] == sidecar["audio"]["format"] == {"opus": "ogg"}.get(extension, extension)
    assert sidecar["audio"]["files"] == [f"CS-A.{extension}"]
    assert mode_of(saved["path"]) == 0o600
    if extension == "raw":
        assert recorded_file(saved) == audio
    elif extension == "flac":
        assert soundfile.read(saved["path"], dtype="int16")[0].astype("<i2").tobytes() == audio
    else:
        assert soundfile.info(saved["path"]).duration == pytest.approx(1.0, abs=0.2)


async def test_two_files_are_both_converted(tmp_path: Path) -> None:
    settings = to(f"{tmp_path}/{{callSid}}.flac", layout=ChannelLayout.SPLIT)

    saved = await record(settings, STEREO, struct.pack("<4h", 1, -2, 3, -4))

    assert names_in(tmp_path) == {"CS-A-left.flac", "CS-A-right.flac", "CS-A.json"}
    assert soundfile.read(saved["paths"][1], dtype="int16")[0].tolist() == [-2, -4]


async def test_a_rate_that_a_format_can_not_hold_is_resampled_and_told(tmp_path: Path) -> None:
    metadata = '{"sampleRate":64000,"mixType":"mono","callSid":"CS-A"}'

    saved = await record(to(f"{tmp_path}/{{callSid}}.ogg"), metadata, tone(0.5, 64000))

    assert soundfile.info(saved["path"]).samplerate == 48000
    assert "can't hold 64000 Hz, resampled to 48000 Hz" in saved["warnings"][0]
    assert read_sidecar(saved)["audio"]["warnings"] == saved["warnings"]


async def test_a_wav_that_can_not_be_converted_is_kept_and_described(tmp_path: Path) -> None:
    async with running(record=to(f"{tmp_path}/{{callSid}}.flac")) as run:
        peer = await run.call(text(METADATA), binary(tone(0.5)))
        await run.events.wait_for("call-started")
        await until((tmp_path / "CS-A.wav").exists)
        # Someone else takes the name meanwhile.
        (tmp_path / "CS-A.flac").write_bytes(b"precious")
        await peer.send(close())
        failed = await run.events.wait_for("recording-failed")

    sidecar = json.loads((tmp_path / "CS-A.json").read_text())
    assert "the WAV is kept" in failed["reason"]
    assert run.server.recorder is not None
    assert run.server.recorder.lost_audio
    assert soundfile.info(tmp_path / "CS-A.wav").frames == 4000
    assert (tmp_path / "CS-A.flac").read_bytes() == b"precious"
    assert sidecar["finished"]
    assert sidecar["audio"]["files"] == ["CS-A.wav"]
    assert sidecar["close"]["code"] == 1000


# Pauses, on the recorder alone: time passes in the ledger only.


async def settle(recorder: FileRecorder) -> None:
    recorder.flush(0.0)
    await recorder.finish_recordings()


@pytest.mark.parametrize(("fill", "samples"), [(False, 320), (True, 1320)])
async def test_a_pause_is_filled_or_cut(fill: bool, samples: int, tmp_path: Path) -> None:
    events = Events()
    recorder = FileRecorder(to(f"{tmp_path}/", fill=fill), Reporter(events))
    log = call_log(METADATA)
    recording = recorder.start_recording(log)
    gap = Gap(GapKind.PAUSE, 160, 0.125, 0.02, missing=1000)

    recording.write_audio(0, AUDIO)
    recording.write_audio(160, AUDIO)
    log.ledger.gaps.append(gap)
    recording.note_gap(gap)
    log.samples = 320
    recording.end_call()
    await settle(recorder)

    (saved,) = events.of("recording-saved")
    data = recorded_audio(saved)
    (described,) = read_sidecar(saved)["gaps"]
    assert data == AUDIO + bytes(2000 if fill else 0) + AUDIO
    assert saved["samples"] == samples
    assert (described["kind"], described["position"], described["missing"]) == ("pause", 160, 1000)


async def test_a_burst_is_not_filled(tmp_path: Path) -> None:
    events = Events()
    recorder = FileRecorder(to(f"{tmp_path}/", fill=True), Reporter(events))
    log = call_log(METADATA)
    recording = recorder.start_recording(log)

    recording.write_audio(0, AUDIO)
    recording.note_gap(Gap(GapKind.BURST, 0, 1.0, 0.02))
    log.samples = 160
    recording.end_call()
    await settle(recorder)

    assert events.of("recording-saved")[0]["samples"] == 160


# A disk that fails.


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system of 200 KB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", folder], check=True, capture_output=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


PACE = 0.02  # seconds between messages, while it is waited for what they cause


@pytest.mark.simulated_time(False)
async def test_a_full_disk_costs_what_it_did_not_take_and_not_the_call(tiny: Path) -> None:
    block = struct.pack("<8000h", *range(8000))
    async with running(record=to(f"{tiny}/")) as run:
        peer = await run.call(text(METADATA), binary(block))
        (ballast := tiny / "ballast").write_bytes(bytes(100_000))
        failed = asyncio.create_task(run.events.wait_for("recording-failed"))
        sent = 1
        while not failed.done():
            await peer.send(binary(block))
            sent += 1
            await asyncio.wait({failed}, timeout=PACE)
        ballast.unlink()
        resumed = asyncio.create_task(run.events.wait_for_warning("recording-resumed"))
        while not resumed.done():
            await peer.send(binary(block))
            sent += 1
            await asyncio.wait({resumed}, timeout=PACE)
        await peer.send(close())
        ended = await run.events.wait_for("call-ended")
        saved = await run.events.wait_for("recording-saved")

    lost = saved["unrecorded_samples"]
    assert "No space left on device" in failed.result()["reason"]
    assert len(run.events.of("recording-failed")) == 1
    assert ended["received_samples"] == sent * 8000
    assert ended["closed_by"] == "jambonz"
    assert 0 < lost < sent * 8000
    assert saved["samples"] == sent * 8000 - lost
    assert not saved["complete"]
    assert run.server.recorder is not None
    assert run.server.recorder.lost_audio


async def test_a_recording_on_a_full_disk_is_a_valid_file_with_whole_blocks(tiny: Path) -> None:
    block = struct.pack("<8000h", *range(8000))
    async with running(record=to(f"{tiny}/")) as run:
        peer = await run.call(text(METADATA))
        failed = asyncio.create_task(run.events.wait_for("recording-failed"))
        while not failed.done():
            await peer.send(binary(block))
            await asyncio.wait({failed}, timeout=PACE)
        # What is on the disk while the call still lasts, as a crash would leave it.
        samples, rate = soundfile.read(tiny / "CS-A.wav", dtype="int16")
        await peer.send(close())
        await run.events.wait_for("call-ended")

    assert rate == 8000
    assert len(samples) > 0
    assert samples[: len(samples) // 8000 * 8000].reshape(-1, 8000).tolist() == (
        [list(range(8000))] * (len(samples) // 8000)
    )


async def test_a_folder_that_can_not_be_made_is_told_and_recorded_to_later(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"a file is in the way")
    async with running(record=to(f"{tmp_path}/out/")) as run:
        peer = await run.call(text(METADATA), binary(AUDIO))
        failed = await run.events.wait_for("recording-failed")
        (tmp_path / "out").unlink()
        await peer.send(binary(AUDIO), close())
        saved = await run.events.wait_for("recording-saved")

    assert failed["path"] == f"{tmp_path}/out/CS-A.wav"
    assert saved["unrecorded_samples"] in (160, 320)
    assert soundfile.info(saved["path"]).frames == 320 - saved["unrecorded_samples"]


async def test_a_recording_that_could_never_begin_says_so_once(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"a file is in the way")
    async with running(record=to(f"{tmp_path}/out/")) as run:
        await run.call(text(METADATA), binary(AUDIO), close())
        await run.events.wait_for("recording-failed")
        await run.events.wait_for("call-ended")

    assert len(run.events.of("recording-failed")) == 1
    assert run.events.of("recording-saved") == []


async def test_audio_that_the_disk_is_too_slow_for_is_lost_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("listenctl.server.recording.call_recorder.MAX_WAITING_BYTES", 1000)
    events = Events()
    recorder = FileRecorder(to(f"{tmp_path}/"), Reporter(events))
    log = call_log(METADATA)
    recording = recorder.start_recording(log)

    for position in range(0, 160 * 10, 160):
        recording.write_audio(position, AUDIO)
    log.samples = 1600
    recording.end_call()
    await settle(recorder)

    (saved,) = events.of("recording-saved")
    assert recorder.lost_audio
    assert saved["unrecorded_samples"] == 1600 - saved["samples"] > 0
    assert len(events.of("recording-failed")) == 1


# Syncs.


@pytest.mark.parametrize(("sync", "calls"), [("never", 0), ("end", 1)])
async def test_recordings_are_synced_as_asked(
    sync: str, calls: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)

    await record(RecordSettings(RecordingDestination.parse(f"{tmp_path}/"), sync=sync), METADATA, AUDIO)

    assert len(synced) == calls


async def test_late_metadata_changes_what_a_filled_recording_holds(tmp_path: Path) -> None:
    events = Events()
    recorder = FileRecorder(to(f"{tmp_path}/"), Reporter(events))
    log = call_log("{}")
    recording = recorder.start_recording(log)

    recording.write_audio(0, AUDIO)
    recording.change_format(AudioFormat(16000, 2))
    log.audio_format = AudioFormat(16000, 2)
    recording.write_audio(80, AUDIO)
    log.samples = 160
    recording.end_call()
    await settle(recorder)

    (saved,) = events.of("recording-saved")
    info = soundfile.info(saved["path"])
    assert (info.samplerate, info.channels, info.frames) == (16000, 2, 160)
    assert saved["unrecorded_samples"] == 0


# Real calls.


CUTS = [whole, odd_pieces(seed=1), odd_pieces(seed=2)]
SETTINGS = faster(drain_timeout=0.2)


async def record_capture(name: str, cut: Cut, folder: Path) -> tuple[Event, list[Event]]:
    """Record a capture; return what is said of its recording, and all events."""
    async with running(SETTINGS, record=folder) as run:
        await replay("127.0.0.1", run.port, client_bytes(name), cut=cut)
        saved = await run.events.wait_for("recording-saved")
    return saved, run.events.all


@pytest.mark.parametrize("name", CAPTURES)
@pytest.mark.parametrize("cut", CUTS, ids=["whole", "odd pieces", "other pieces"])
async def test_a_recording_holds_what_was_received_sample_for_sample(name: str, cut: Cut, tmp_path: Path) -> None:
    expected = received_audio(name)

    saved, _ = await record_capture(name, cut, tmp_path)

    header = wav_header(AudioFormat(expected.sample_rate, expected.channels), len(expected.data))
    assert recorded_file(saved) == header + expected.data
    assert saved["unrecorded_samples"] == saved["lost_samples"] == 0
    assert soundfile.info(saved["path"]).frames == saved["samples"]


@pytest.mark.parametrize("name", CAPTURES)
async def test_the_sidecar_describes_the_call(name: str, tmp_path: Path) -> None:
    expected = received_audio(name)

    saved, events = await record_capture(name, whole, tmp_path)

    sidecar = read_sidecar(saved)
    started = next(event for event in events if event["event"] == "call-started")
    assert sidecar["metadata"] == started["metadata"]
    assert sidecar["target"] == "/media?call=1"
    assert sidecar["subprotocol"] == "audio.jambonz.org"
    assert sidecar["finished"]
    assert sidecar["audio"]["sample_rate"] == expected.sample_rate
    assert sidecar["audio"]["channels"] == expected.channels
    assert sidecar["audio"]["samples"] * expected.channels * 2 == len(expected.data)
    assert sidecar["audio"]["files"] == [Path(saved["path"]).name]
    assert sidecar["completeness"] == 1.0


async def test_keys_and_clips_of_a_capture_are_reported_with_their_place(tmp_path: Path) -> None:
    saved, events = await record_capture("e_playaudio_featureserver", whole, tmp_path)

    kinds = [event["event"] for event in events]
    assert kinds.count("dtmf") >= 1
    assert kinds.count("play-done") >= 1
    described = read_sidecar(saved)["events"]
    reported = [event for event in events if event["event"] in ("dtmf", "play-done")]
    assert [entry["position"] for entry in described] == [event["position"] for event in reported]
    assert [entry["event"] for entry in described] == [event["event"] for event in reported]


async def test_the_empty_messages_of_a_media_server_that_shuts_down_are_told(tmp_path: Path) -> None:
    saved, _ = await record_capture("f_pause_graceful", whole, tmp_path)

    rules = [warning["rule"] for warning in read_sidecar(saved)["warnings"]]
    assert "empty-message" in rules


async def test_the_last_text_before_close_is_reported(tmp_path: Path) -> None:
    _, events = await record_capture("b_stereo16k_bridge", whole, tmp_path)

    messages = [event for event in events if event["event"] == "message"]
    assert len(messages) == 1
    assert messages[0]["position"] == 223_680


async def test_many_calls_at_once_are_recorded_apart(tmp_path: Path) -> None:
    names = CAPTURES * 3
    async with running(replace(SETTINGS, read_interval=0.1), record=tmp_path) as run:
        streams = [replay("127.0.0.1", run.port, client_bytes(name), cut=whole) for name in names]
        await asyncio.gather(*streams)
        await run.events.wait_for("recording-saved", len(names))

    recorded = [recorded_audio(event) for event in run.events.of("recording-saved")]
    assert sorted(map(len, recorded)) == sorted(len(received_audio(name).data) for name in names)
    assert set(recorded) == {received_audio(name).data for name in CAPTURES}
