"""One call's audio on a pipe."""

import asyncio
import os
import struct
from collections.abc import Iterator

import pytest

from listenctl.events import Reporter
from listenctl.media.channel_layout import ChannelLayout
from listenctl.media.files.recording_names import RecordingDestination
from listenctl.media.files.wav_header import stream_header
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.gaps.gap_ledger import Gap, GapKind
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


def settings(kind: str, *, fill: bool = False, layout: ChannelLayout = ChannelLayout.AS_IS) -> RecordSettings:
    return RecordSettings(RecordingDestination.parse("-", kind=kind), layout, fill=fill)


async def finish(recorder: PipeRecorder, pipe: list[int]) -> bytes:
    """Finish and return all that came out of the pipe."""
    async with asyncio.timeout(LIMIT):
        await recorder.finish_recordings()
        os.close(pipe.pop())
        with os.fdopen(pipe.pop(), "rb") as reader:
            return await asyncio.to_thread(reader.read)


@pytest.mark.parametrize(("kind", "header"), [("wav", stream_header(AudioFormat(8000, 1))), ("raw", b"")])
async def test_audio_comes_out_as_it_came(kind: str, header: bytes, pipe: list[int]) -> None:
    recorder = PipeRecorder(settings(kind), Reporter(), pipe[1])
    recording = recorder.start_recording(call_log(METADATA))

    recording.write_audio(0, AUDIO)
    recording.write_audio(160, AUDIO)
    recording.end_call()

    assert await finish(recorder, pipe) == header + AUDIO * 2
    assert not recorder.lost_audio


async def test_channels_are_laid_out_as_asked(pipe: list[int]) -> None:
    recorder = PipeRecorder(settings("raw", layout=ChannelLayout.RIGHT), Reporter(), pipe[1])
    recording = recorder.start_recording(call_log(STEREO))

    recording.write_audio(0, struct.pack("<4h", 1, -2, 3, -4))
    recording.end_call()

    assert await finish(recorder, pipe) == struct.pack("<2h", -2, -4)


@pytest.mark.parametrize(("fill", "silence"), [(True, 200), (False, 0)])
async def test_a_pause_is_filled_or_cut(fill: bool, silence: int, pipe: list[int]) -> None:
    recorder = PipeRecorder(settings("raw", fill=fill), Reporter(), pipe[1])
    recording = recorder.start_recording(call_log(METADATA))

    recording.write_audio(0, AUDIO)
    recording.note_gap(Gap(GapKind.PAUSE, 160, 0.0125, 0.02, missing=100))
    recording.write_audio(160, AUDIO)
    recording.end_call()

    assert await finish(recorder, pipe) == AUDIO + bytes(silence) + AUDIO


async def test_a_reader_that_leaves_is_told_once(pipe: list[int]) -> None:
    events = Events()
    recorder = PipeRecorder(settings("raw"), Reporter(events), pipe[1])
    broken = asyncio.Event()
    recorder.on_broken = broken.set
    recording = recorder.start_recording(call_log(METADATA))
    os.close(pipe.pop(0))

    async with asyncio.timeout(LIMIT):
        recording.write_audio(0, AUDIO)
        await broken.wait()
        recording.write_audio(160, AUDIO)
        recording.end_call()
        await recorder.finish_recordings()

    (failed,) = events.of("recording-failed")
    assert (failed["path"], failed["reason"], failed["call"]) == ("-", "Broken pipe", "CS-A")
    assert recorder.lost_audio


async def test_what_a_slow_reader_leaves_is_lost_and_told(pipe: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("listenctl.server.recording.pipe_recorder.MAX_WAITING_BYTES", 1000)
    events = Events()
    recorder = PipeRecorder(settings("raw"), Reporter(events), pipe[1])
    recording = recorder.start_recording(call_log(METADATA))

    # More than a pipe holds.
    for number in range(1000):
        recording.write_audio(number * 160, AUDIO)
    recording.end_call()
    reading = asyncio.to_thread(os.read, pipe[0], 1_000_000)
    await reading
    reader = asyncio.create_task(asyncio.to_thread(lambda: b"".join(iter(lambda: os.read(pipe[0], 1 << 20), b""))))
    await recorder.finish_recordings()
    os.close(pipe.pop())
    await reader

    assert recorder.lost_audio
    assert len(events.of("recording-failed")) == 1
