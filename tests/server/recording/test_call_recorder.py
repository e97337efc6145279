"""Recordings of calls: where they go, in which form, and what a disk that fails costs."""

import asyncio
import errno
import json
import os
import shutil
import struct
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from listenctl.background_writer import BackgroundWriter, Job
from listenctl.events import Reporter
from listenctl.media.channel_layout import ChannelLayout
from listenctl.media.files.recording_names import RecordingDestination
from listenctl.media.files.wav_header import wav_header
from listenctl.media.files.wav_recording import Recording
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.gaps.gap import Gap, GapKind
from listenctl.server.operations.metric_families import Durations, Gauge, LabelledTotal
from listenctl.server.recording.call_recorder import FileRecorder, FileRecording
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
    send_until,
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


def read_file(path: str) -> bytes:
    return Path(path).read_bytes()


def fill_up(folder: Path) -> None:
    """Leave no room on a small file system until its `ballast` is removed."""
    with pytest.raises(OSError, match="No space left"):
        (folder / "ballast").write_bytes(bytes(300_000))


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
        ("{from}/{callSid}.wav", METADATA, "+49/CS-A.wav"),
        ("out/", '{"callSid":"../../etc/passwd"}', "out/___.._etc_passwd.wav"),
    ],
)
async def test_a_recording_goes_where_the_template_says(
    destination: str, metadata: str, name: str, tmp_path: Path
) -> None:
    saved = await record(to(f"{tmp_path}/{destination}"), metadata, AUDIO)

    assert Path(saved["path"]).relative_to(tmp_path) == Path(name)
    assert Path(saved["sidecar"]) == (tmp_path / name).with_suffix(".json")
    # For their owner only.
    assert mode_of(saved["path"]) == mode_of(saved["sidecar"]) == 0o600


# Forms.


@pytest.mark.parametrize(
    ("layout", "kind", "files"),
    [
        (ChannelLayout.AS_IS, "wav", {"CS-A.wav": [[1, -2], [3, -4]]}),
        (ChannelLayout.SPLIT, "flac", {"CS-A-left.flac": [[1], [3]], "CS-A-right.flac": [[-2], [-4]]}),
        (ChannelLayout.MIX, "wav", {"CS-A.wav": [[-1], [-1]]}),
    ],
    ids=str,
)
async def test_channels_are_laid_out_as_asked(
    layout: ChannelLayout, kind: str, files: dict[str, list[list[int]]], tmp_path: Path
) -> None:
    settings = to(f"{tmp_path}/{{callSid}}.{kind}", layout=layout)
    saved = await record(settings, STEREO, struct.pack("<4h", 1, -2, 3, -4))

    assert names_in(tmp_path) == {"CS-A.json", *files}
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


@pytest.mark.parametrize("extension", ["flac", "opus"])
async def test_other_formats_replace_the_wav(extension: str, tmp_path: Path) -> None:
    saved = await record(to(f"{tmp_path}/{{callSid}}.{extension}"), METADATA, tone(1.0))

    assert names_in(tmp_path) == {"CS-A.json", f"CS-A.{extension}"}
    sidecar = read_sidecar(saved)
    assert saved["format"] == sidecar["audio"]["format"] == {"opus": "ogg"}.get(extension, extension)
    assert sidecar["audio"]["files"] == [f"CS-A.{extension}"]
    assert mode_of(saved["path"]) == 0o600
    assert soundfile.info(saved["path"]).duration == pytest.approx(1.0, abs=0.2)


async def test_the_sidecar_of_resampled_audio_has_both_rates(tmp_path: Path) -> None:
    metadata = '{"sampleRate":11025,"mixType":"mono","callSid":"CS-A"}'
    async with running(record=to(f"{tmp_path}/{{callSid}}.opus")) as run:
        await run.call(text(metadata), binary(tone(1.0)), text('{"event":"dtmf","dtmf":"1"}'), close())
        saved = await run.events.wait_for("recording-saved")

    sidecar = read_sidecar(saved)
    audio = sidecar["audio"]
    assert (audio["sample_rate"], audio["resampled_from"]) == (12_000, 11_025)
    assert audio["samples"] == round(saved["samples"] * 12_000 / 11_025)
    assert audio["seconds"] == round(saved["samples"] / 11_025, 3)
    assert soundfile.info(saved["path"]).samplerate == 12_000
    (digit,) = sidecar["events"]
    assert (digit["position"], digit["time"]) == (saved["samples"], audio["seconds"])


@pytest.mark.parametrize("threads", [0, 1])
async def test_recordings_are_finished_without_threads_for_it(
    threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = RecorderAlone(to(f"{tmp_path}/{{callSid}}.flac"))
    start, started = threading.Thread.start, list[threading.Thread]()

    def start_few(thread: threading.Thread) -> None:
        if thread.name.startswith("finisher"):
            if len(started) == threads:
                raise RuntimeError("can't start new thread")
            started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_few)
    # One finisher is busy, so that the executor wants another.
    released = threading.Event()
    if threads:
        alone.recorder._finishers.submit(released.wait, 60)
    alone.recording.write_audio(0, AUDIO)
    asyncio.get_running_loop().call_soon(released.set)

    saved = await alone.save(160)

    assert saved["format"] == "flac"
    assert names_in(tmp_path) == {"CS-A.json", "CS-A.flac"}


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


class RecorderAlone:
    """A recorder of one call, without a server."""

    def __init__(self, settings: RecordSettings, metadata: str = METADATA) -> None:
        self.events = Events()
        self.recorder = FileRecorder(settings, Reporter(self.events))
        self.log = call_log(metadata)
        self.recording = self.recorder.start_recording(self.log)

    async def save(self, samples: int) -> Event:
        """End the call, in which ``samples`` came, and return the event about its recording."""
        self.log.samples = samples
        self.recording.end_call()
        self.recorder.flush(0.0)
        await self.recorder.finish_recordings()
        (saved,) = self.events.of("recording-saved")
        return saved


@pytest.mark.parametrize(("fill", "silence"), [(False, 0), (True, 1000)])
async def test_a_pause_is_filled_or_cut(fill: bool, silence: int, tmp_path: Path) -> None:
    alone = RecorderAlone(to(f"{tmp_path}/", fill=fill))
    pause = Gap(GapKind.PAUSE, 160, 0.125, 0.02, missing=1000)

    alone.recording.write_audio(0, AUDIO)
    alone.recording.note_gap(Gap(GapKind.BURST, 0, 1.0, 0.02))
    alone.recording.write_audio(160, AUDIO)
    alone.log.ledger.gaps.append(pause)
    alone.recording.note_gap(pause)
    saved = await alone.save(320)

    (described,) = read_sidecar(saved)["gaps"]
    assert recorded_audio(saved) == AUDIO + bytes(2 * silence) + AUDIO
    assert saved["samples"] == 320 + silence
    assert (described["kind"], described["position"], described["missing"]) == ("pause", 160, 1000)


# A disk that fails.


async def test_a_full_disk_costs_what_it_did_not_take_and_not_the_call(tiny: Path) -> None:
    block = struct.pack("<8000h", *range(8000))
    async with running(record=to(f"{tiny}/")) as run:
        peer = await run.call(text(METADATA), binary(block))
        (ballast := tiny / "ballast").write_bytes(bytes(100_000))
        sent = 8000 * (1 + await send_until(peer, block, run.events.wait_for("recording-failed")))
        # What is on the disk while the call still lasts, as a crash would leave it.
        samples, rate = soundfile.read(tiny / "CS-A.wav", dtype="int16")
        ballast.unlink()
        sent += 160 * await send_until(peer, AUDIO, run.events.wait_for_warning("recording-resumed"))
        await peer.send(close())
        ended = await run.events.wait_for("call-ended")
        saved = await run.events.wait_for("recording-saved")

    blocks = len(samples) // 8000
    assert (rate, blocks > 0) == (8000, True)
    assert samples[: blocks * 8000].reshape(-1, 8000).tolist() == [list(range(8000))] * blocks
    lost = saved["unrecorded_samples"]
    (failed,) = run.events.of("recording-failed")
    assert "No space left on device" in failed["reason"]
    assert ended["received_samples"] == sent
    assert (ended["unrecorded_samples"], ended["complete"]) == (lost, False)
    assert ended["closed_by"] == "jambonz"
    assert 0 < lost < sent
    assert saved["samples"] == sent - lost
    assert not saved["complete"]
    assert run.server.recorder is not None
    assert run.server.recorder.lost_audio


@pytest.mark.parametrize(
    ("layout", "samples"),
    [(ChannelLayout.AS_IS, range(1000, 1250)), (ChannelLayout.SPLIT, range(1000, 1250, 2))],
    ids=["one file", "two files"],
)
async def test_a_recording_that_is_large_enough_ends_and_its_call_goes_on(
    layout: ChannelLayout, samples: range, tmp_path: Path
) -> None:
    audio = struct.pack("<320h", *range(1000, 1320))
    async with running(faster(max_recording=500), record=to(f"{tmp_path}/", layout=layout)) as run:
        peer = await run.call(text(STEREO), binary(audio[:320]))
        await run.events.wait_for("call-started")
        await asyncio.sleep(1.0)
        await peer.send(binary(audio[320:]))
        warning = await run.events.wait_for_warning("max-recording")
        await peer.send(binary(bytes(4)), close())
        ended = await run.events.wait_for("call-ended")
        saved = await run.events.wait_for("recording-saved")

    # 500 bytes are 125 samples of both channels; 161 came.
    assert recorded_audio(saved) == struct.pack(f"<{len(samples)}h", *samples)
    assert (saved["samples"], saved["unrecorded_samples"], saved["complete"]) == (125, 36, False)
    assert warning["position"] == 125
    assert (ended["closed_by"], ended["received_samples"], ended["unrecorded_samples"]) == ("jambonz", 161, 36)
    assert run.events.of("recording-failed") == []


@pytest.mark.parametrize("later", [True, False])
async def test_a_folder_that_can_not_be_made_is_told_once_and_recorded_to_later(later: bool, tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"a file is in the way")
    async with running(record=to(f"{tmp_path}/out/")) as run:
        peer = await run.call(text(METADATA), binary(AUDIO))
        await run.events.wait_for("recording-failed")
        if later:
            (tmp_path / "out").unlink()
        await peer.send(binary(AUDIO), close())
        await run.events.wait_for("call-ended")

    assert [failed["path"] for failed in run.events.of("recording-failed")] == [f"{tmp_path}/out/CS-A.wav"]
    saved = run.events.of("recording-saved")
    assert [event["unrecorded_samples"] in (160, 320) for event in saved] == [True] * later
    assert [soundfile.info(event["path"]).frames + event["unrecorded_samples"] for event in saved] == [320] * later


@pytest.mark.parametrize("limit", ["MAX_WAITING_BYTES", "MAX_WAITING_OF_CALL"])
async def test_audio_that_the_disk_is_too_slow_for_is_lost_and_told(
    limit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"listenctl.server.recording.call_recorder.{limit}", 1000)
    alone = RecorderAlone(to(f"{tmp_path}/"))

    for position in range(0, 160 * 10, 160):
        alone.recording.write_audio(position, AUDIO)
    saved = await alone.save(1600)

    assert alone.recorder.lost_audio
    assert saved["unrecorded_samples"] == 1600 - saved["samples"] > 0
    assert len(alone.events.of("recording-failed")) == 1


async def test_a_fast_call_is_read_no_faster_than_the_disk_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    behind = [True]
    monkeypatch.setattr(FileRecording, "is_behind", property(lambda _: behind[0]))
    async with running(record=to(f"{tmp_path}/")) as run:
        peer = await run.call(text(METADATA))
        await run.events.wait_for("call-started")
        (call,) = run.server.live
        # As much as in real time, or after a stall, is read in any case.
        await peer.send(binary(AUDIO) * 500)
        await asyncio.sleep(1)
        assert call.session.position == 160 * 500
        await peer.send(binary(AUDIO) * 5000, close())
        await asyncio.sleep(3)
        assert call.session.position < 160 * 5500
        behind[0] = False
        saved = await run.events.wait_for("recording-saved")

    assert (saved["samples"], saved["complete"]) == (160 * 5500, True)
    assert run.events.of("call-ended")[0]["closed_by"] == "jambonz"


@pytest.mark.parametrize("kind", ["wav", "flac"])
async def test_a_sidecar_that_finds_no_room_is_written_when_there_is_some(kind: str, tiny: Path) -> None:
    metadata = json.dumps({"sampleRate": 8000, "callSid": "CS-A", "long": "x" * 5000})
    async with running(record=to(f"{tiny}/{{callSid}}.{kind}")) as run:
        peer = await run.call(text(metadata), binary(AUDIO))
        await until((tiny / "CS-A.json").exists)
        begun = json.loads((tiny / "CS-A.json").read_text())
        fill_up(tiny)
        await peer.send(close())
        await run.events.wait_for_warning("recording-delayed")
        during = json.loads((tiny / "CS-A.json").read_text())
        (tiny / "ballast").unlink()
        saved = await run.events.wait_for("recording-saved")

    sidecar = read_sidecar(saved)
    assert begun["metadata"] == during["metadata"] == sidecar["metadata"]
    assert (begun["finished"], during["finished"], sidecar["finished"]) == (False, False, True)
    assert names_in(tiny) == {"CS-A.json", f"CS-A.{kind}"}
    assert run.events.of("recording-failed") == []


async def test_a_sidecar_that_never_finds_room_is_told_when_the_server_ends(tiny: Path) -> None:
    metadata = json.dumps({"sampleRate": 8000, "callSid": "CS-A", "long": "x" * 5000})
    async with running(record=to(f"{tiny}/")) as run:
        peer = await run.call(text(metadata), binary(AUDIO))
        await until((tiny / "CS-A.json").exists)
        fill_up(tiny)
        await peer.send(close())
        await run.events.wait_for_warning("recording-delayed")

    assert run.server.recorder is not None
    assert run.server.recorder.lost_audio
    assert [event["reason"] for event in run.events.of("recording-failed")] == ["No space left on device"]
    assert run.events.of("recording-saved") == []
    assert names_in(tiny) == {"CS-A.json", "CS-A.wav", "ballast"}


async def test_a_recording_that_can_not_be_finished_at_once_needs_no_other_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone, finish, tries = RecorderAlone(to(f"{tmp_path}/")), Recording.finish_files, list[str]()

    def fail_once(recording: Recording, *, names_kept: bool) -> list[Path]:
        tries.append(threading.current_thread().name)
        if len(tries) == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return finish(recording, names_kept=names_kept)

    monkeypatch.setattr(Recording, "finish_files", fail_once)
    alone.recording.write_audio(0, AUDIO)
    saved = await alone.save(160)

    assert tries == ["writer", "writer"]
    assert (saved["samples"], saved["unrecorded_samples"]) == (160, 0)
    assert alone.events.of("warning")[-1]["rule"] == "recording-delayed"


async def test_a_recording_that_fails_unexpectedly_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = RecorderAlone(to(f"{tmp_path}/"))

    def fail(recording: Recording, *, names_kept: bool) -> list[Path]:
        raise ValueError("bad luck")

    monkeypatch.setattr(Recording, "finish_files", fail)
    alone.recording.end_call()
    assert alone.recorder.finishing == 1
    alone.recorder.flush(0.0)
    await alone.recorder.finish_recordings()

    (failed,) = alone.events.of("recording-failed")
    assert failed["reason"] == "it could not be finished: ValueError: bad luck"
    assert alone.recorder.lost_audio
    assert alone.recorder.finishing == 0
    assert alone.events.of("recording-saved") == []


# A name that is lost.


@pytest.mark.parametrize("kind", ["wav", "flac"])
async def test_a_folder_that_is_deleted_during_a_call_is_restored(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    async with running(record=to(f"{folder}/{{callSid}}.{kind}")) as run:
        peer = await run.call(text(METADATA), binary(AUDIO))
        await until((folder / "CS-A.json").exists)
        shutil.rmtree(folder)
        await peer.send(binary(AUDIO), close())
        saved = await run.events.wait_for("recording-saved")

    samples, _ = soundfile.read(saved["path"], dtype="int16")
    assert samples.tobytes() == AUDIO * 2
    assert names_in(folder) == {"CS-A.json", f"CS-A.{kind}"}
    assert (saved["complete"], saved["unrecorded_samples"]) == (True, 0)
    (warning,) = run.events.of("warning")
    assert (warning["rule"], warning["call"]) == ("recording-restored", "CS-A")


async def test_a_recording_that_can_not_be_restored_is_not_saved(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    async with running(record=to(f"{folder}/")) as run:
        peer = await run.call(text(METADATA), binary(AUDIO))
        await until((folder / "CS-A.json").exists)
        shutil.rmtree(folder)
        folder.write_bytes(b"a file is in the way")
        await peer.send(close())
        await run.events.wait_for_warning("recording-delayed")

    assert run.server.recorder is not None
    assert run.server.recorder.lost_audio
    assert run.events.of("recording-saved") == []
    assert [event["reason"] for event in run.events.of("recording-failed")] == ["Not a directory"]


async def test_the_audio_of_all_calls_is_written_by_one_job_and_a_fault_in_one_costs_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone, jobs = RecorderAlone(to(f"{tmp_path}/")), list[int]()
    logs = [call_log(json.dumps({"callSid": sid, "sampleRate": 8000})) for sid in ("CS-B", "CS-C")]
    others = [alone.recorder.start_recording(log) for log in logs]
    add_jobs = BackgroundWriter.add_jobs

    def count_jobs(writer: BackgroundWriter, *added: Job) -> None:
        jobs.append(len(added))
        add_jobs(writer, *added)

    def fail() -> None:
        raise RuntimeError("a bug")

    alone.recorder.flush(0.0)
    await until(lambda: all(recording.path for recording in (alone.recording, *others)))
    monkeypatch.setattr(BackgroundWriter, "add_jobs", count_jobs)
    monkeypatch.setattr(alone.recording.queue, "write_items", fail)
    for log, recording in zip((alone.log, *logs), (alone.recording, *others), strict=True):
        log.samples = 160 * 50
        recording.write_audio(0, AUDIO * 50)
    alone.recorder.flush(1.0)

    await until(lambda: all(one.unwritten_samples == 0 for one in others))
    assert jobs == [1]
    monkeypatch.undo()
    for recording in others:
        recording.end_call()
    alone.recorder.flush(2.0)
    await until(lambda: len(alone.events.of("recording-saved")) == 2)
    assert all(recorded_audio(saved) == AUDIO * 50 for saved in alone.events.of("recording-saved"))


# A disk that is slow.


async def test_a_slow_disk_is_told_and_gets_the_audio_of_a_call_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone, begun, released = RecorderAlone(to(f"{tmp_path}/")), threading.Event(), threading.Event()
    writes, write = list[int](), os.pwrite

    def count_and_write(fd: int, data: bytes, at: int) -> int:
        writes.append(len(data))
        return write(fd, data, at)

    monkeypatch.setattr(os, "pwrite", count_and_write)
    now = asyncio.get_running_loop().time()

    alone.recorder.flush(now)
    await until((tmp_path / "CS-A.json").exists)
    writes.clear()

    def hold_up() -> None:
        begun.set()
        released.wait(60)

    alone.recording.add_job(hold_up)
    alone.recorder.flush(now)
    await until(begun.is_set)
    for number in range(100):
        alone.recording.write_audio(160 * number, AUDIO)
        alone.log.samples += 160
        alone.recorder.flush(now + 0.02 * number)
    unwritten = alone.recording.unwritten_samples
    released.set()
    saved = await alone.save(16_000)

    assert unwritten == 16_000
    # The audio, the header and the sidecar.
    assert writes[:2] == [32_000, 80]
    assert len(writes) == 3
    assert recorded_audio(saved) == AUDIO * 100
    slow = alone.events.of("warning")[0]
    assert slow["rule"] == "slow-disk"
    assert "a crash would lose" in slow["detail"]
    assert read_sidecar(saved)["audio"]["max_unwritten_seconds"] == 2.0


async def test_the_disk_and_the_conversions_are_measured(tmp_path: Path) -> None:
    async with running(record=to(f"{tmp_path}/{{callSid}}.flac")) as run:
        recorder = run.server.recorder
        assert recorder is not None
        await run.call(text(METADATA), binary(AUDIO), close())
        await run.events.wait_for("recording-saved")
    metrics = {metric.name: metric for metric in recorder.describe_metrics()}
    waits, results = metrics["recording_wait_seconds"], metrics["conversions"]

    assert isinstance(waits, Durations)
    assert waits.counts.count > 0
    assert isinstance(results, LabelledTotal)
    assert results.values == {"done": 1, "failed": 0, "stopped": 0}
    for name in ("recording_queue_seconds", "conversions_waiting", "conversions_running"):
        gauge = metrics[name]
        assert isinstance(gauge, Gauge)
        assert gauge.value == 0


async def test_the_size_of_a_recording_is_that_of_its_files(tmp_path: Path) -> None:
    for destination in ("{callSid}.wav", "{callSid}.flac"):
        saved = await record(to(f"{tmp_path}/{destination}"), METADATA, tone(1.0))

        assert saved["bytes"] == len(read_file(saved["path"]))


# Syncs.


@pytest.mark.parametrize(("sync", "calls"), [("never", 0), ("end", 1)])
async def test_recordings_are_synced_as_asked(
    sync: str, calls: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)

    await record(RecordSettings(RecordingDestination.parse(f"{tmp_path}/"), sync=sync), METADATA, AUDIO)

    assert len(synced) == calls


# Real calls.


SETTINGS = faster(drain_timeout=0.2)


@pytest.mark.parametrize("name", CAPTURES)
@pytest.mark.parametrize("cut", [whole, odd_pieces(seed=1)], ids=["whole", "odd pieces"])
async def test_a_recording_holds_what_was_received_sample_for_sample(name: str, cut: Cut, tmp_path: Path) -> None:
    expected = received_audio(name)

    async with running(SETTINGS, record=tmp_path) as run:
        await replay("127.0.0.1", run.port, client_bytes(name), cut=cut)
        saved = await run.events.wait_for("recording-saved")

    header = wav_header(AudioFormat(expected.sample_rate, expected.channels), len(expected.data))
    assert recorded_file(saved) == header + expected.data
    assert saved["unrecorded_samples"] == saved["lost_samples"] == 0
    sidecar = read_sidecar(saved)
    assert sidecar["metadata"] == run.events.of("call-started")[0]["metadata"]
    assert (sidecar["target"], sidecar["subprotocol"]) == ("/media?call=1", "audio.jambonz.org")
    assert (sidecar["finished"], sidecar["completeness"]) == (True, 1.0)
    audio = sidecar["audio"]
    assert (audio["sample_rate"], audio["channels"]) == (expected.sample_rate, expected.channels)
    assert audio["samples"] * expected.channels * 2 == len(expected.data)
    assert audio["files"] == [Path(saved["path"]).name]
    kinds = ("dtmf", "mark", "play-done", "message")
    reported = [event for event in run.events.all if event["event"] in kinds]
    assert [(entry["event"], entry["position"]) for entry in sidecar["events"]] == [
        (event["event"], event["position"]) for event in reported
    ]


async def test_many_calls_at_once_are_recorded_apart(tmp_path: Path) -> None:
    names = CAPTURES * 2
    async with running(replace(SETTINGS, read_interval=0.1), record=tmp_path) as run:
        streams = [replay("127.0.0.1", run.port, client_bytes(name), cut=whole) for name in names]
        await asyncio.gather(*streams)
        await run.events.wait_for("recording-saved", len(names))

    recorded = [recorded_audio(event) for event in run.events.of("recording-saved")]
    assert sorted(map(len, recorded)) == sorted(len(received_audio(name).data) for name in names)
    assert set(recorded) == {received_audio(name).data for name in CAPTURES}
