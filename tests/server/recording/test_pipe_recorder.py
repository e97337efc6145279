"""One call's audio on a pipe."""

import asyncio
import os
import struct
from collections.abc import Iterator
from typing import TypedDict, Unpack

import pytest

from listenctl.events import Reporter
from listenctl.media.channel_layout import ChannelLayout
from listenctl.media.files.recording_names import RecordingDestination
from listenctl.media.files.wav_header import stream_header
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.gaps.gap import Gap, GapKind
from listenctl.server.recording.pipe_recorder import PipeRecorder
from listenctl.server.recording.recording_writer import RecordSettings
from tests.helpers.server import LIMIT, Events, call_log

METADATA = '{"sampleRate":8000,"mixType":"mono","callSid":"CS-A"}'
STEREO = '{"sampleRate":8000,"mixType":"stereo","callSid":"CS-A"}'
AUDIO = struct.pack("<160h", *range(1000, 1160))


@pytest.fixture
def pipe() -> Iterator[list[int]]:
    """The two ends of a pipe; those still in the list are closed at the end."""
    ends = list(os.pipe())
    yield ends
    for end in ends:
        os.close(end)


class Options(TypedDict, total=False):
    fill: bool
    layout: ChannelLayout


def settings(kind: str, **options: Unpack[Options]) -> RecordSettings:
    return RecordSettings(RecordingDestination.parse("-", kind=kind), **options)


@pytest.mark.parametrize(
    ("kind", "options", "metadata", "expected"),
    [
        ("wav", {}, METADATA, stream_header(AudioFormat(8000, 1)) + AUDIO * 2),
        ("raw", {}, METADATA, AUDIO * 2),
        ("raw", {"fill": True}, METADATA, AUDIO + bytes(200) + AUDIO),
        ("raw", {"layout": ChannelLayout.RIGHT}, STEREO, struct.pack("<80h", *range(1001, 1160, 2)) * 2),
    ],
    ids=["wav", "raw", "filled", "one channel"],
)
async def test_audio_comes_out_in_the_form_that_was_asked_for(
    kind: str, options: Options, metadata: str, expected: bytes, pipe: list[int]
) -> None:
    recorder = PipeRecorder(settings(kind, **options), Reporter(), pipe[1])
    recording = recorder.start_recording(call_log(metadata))
    samples = 80 if metadata == STEREO else 160

    recording.write_audio(0, AUDIO)
    recording.note_gap(Gap(GapKind.PAUSE, samples, 0.0125, 0.02, missing=100))
    recording.write_audio(samples, AUDIO)
    recording.end_call()
    async with asyncio.timeout(LIMIT):
        await recorder.finish_recordings()
        os.close(pipe.pop())
        with os.fdopen(pipe.pop(), "rb") as reader:
            written = await asyncio.to_thread(reader.read)

    assert written == expected
    assert not recorder.lost_audio


@pytest.mark.parametrize("kind", ["raw", "wav"])
async def test_a_reader_that_leaves_is_told_once_and_what_it_missed(kind: str, pipe: list[int]) -> None:
    events = Events()
    recorder = PipeRecorder(settings(kind), Reporter(events), pipe[1])
    broken = asyncio.Event()
    recorder.on_broken = broken.set
    log = call_log(METADATA)
    recording = recorder.start_recording(log)
    os.close(pipe.pop(0))

    async with asyncio.timeout(LIMIT):
        recording.write_audio(0, AUDIO)
        await broken.wait()
        recording.write_audio(160, AUDIO)
        log.samples = 320
        recording.end_call()
        await recorder.finish_recordings()

    (failed,) = events.of("recording-failed")
    assert (failed["path"], failed["reason"], failed["call"]) == ("-", "its reader is gone", "CS-A")
    (saved,) = events.of("recording-saved")
    assert (saved["samples"], saved["unrecorded_samples"], saved["complete"]) == (0, 320, False)
    assert recorder.lost_audio


async def test_what_a_slow_reader_leaves_is_lost_and_told(pipe: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("listenctl.server.recording.pipe_recorder.MAX_WAITING_BYTES", 1000)
    events = Events()
    recorder = PipeRecorder(settings("raw", layout=ChannelLayout.LEFT), Reporter(events), pipe[1])
    log = call_log(STEREO)
    recording = recorder.start_recording(log)

    # More than a pipe holds.
    for number in range(1000):
        recording.write_audio(number * 80, AUDIO)
    log.samples = 80_000
    recording.end_call()
    reader = asyncio.create_task(asyncio.to_thread(lambda: b"".join(iter(lambda: os.read(pipe[0], 1 << 20), b""))))
    await recorder.finish_recordings()
    os.close(pipe.pop())
    read = await reader

    (saved,) = events.of("recording-saved")
    assert recorder.lost_audio
    assert len(events.of("recording-failed")) == 1
    # The output has one of the two channels, two bytes for each sample.
    assert (saved["samples"], saved["bytes"]) == (len(read) // 2, len(read))
    assert saved["unrecorded_samples"] == recording.unrecorded_samples == 80_000 - len(read) // 2 > 0
    assert not saved["complete"]
