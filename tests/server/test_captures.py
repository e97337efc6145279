"""Real calls, put onto a real socket: what is recorded is what was sent, sample for sample."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile

from listenctl.media.files.wav_header import wav_header
from listenctl.protocol.audio import AudioFormat
from tests.helpers.capture import CAPTURES, client_bytes, received_audio
from tests.helpers.replay import Cut, odd_pieces, replay, whole
from tests.helpers.server import Event, faster, read_sidecar, recorded_audio, recorded_file, running

CUTS = [whole, odd_pieces(seed=1), odd_pieces(seed=2)]
SETTINGS = faster(drain_timeout=0.2)


async def record(name: str, cut: Cut, folder: Path) -> tuple[Event, list[Event]]:
    """Record a capture; return what is said of its recording, and all events."""
    async with running(SETTINGS, record=folder) as run:
        await replay("127.0.0.1", run.port, client_bytes(name), cut=cut)
        saved = await run.events.wait_for("recording-saved")
    return saved, run.events.all


@pytest.mark.parametrize("name", CAPTURES)
@pytest.mark.parametrize("cut", CUTS, ids=["whole", "odd pieces", "other pieces"])
async def test_a_recording_holds_what_was_received_sample_for_sample(name: str, cut: Cut, tmp_path: Path) -> None:
    expected = received_audio(name)

    saved, _ = await record(name, cut, tmp_path)

    header = wav_header(AudioFormat(expected.sample_rate, expected.channels), len(expected.data))
    assert recorded_file(saved) == header + expected.data
    assert saved["unrecorded_samples"] == saved["lost_samples"] == 0
    assert soundfile.info(saved["path"]).frames == saved["samples"]


@pytest.mark.parametrize("name", CAPTURES)
async def test_the_sidecar_describes_the_call(name: str, tmp_path: Path) -> None:
    expected = received_audio(name)

    saved, events = await record(name, whole, tmp_path)

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
    saved, events = await record("e_playaudio_featureserver", whole, tmp_path)

    kinds = [event["event"] for event in events]
    assert kinds.count("dtmf") >= 1
    assert kinds.count("play-done") >= 1
    described = read_sidecar(saved)["events"]
    reported = [event for event in events if event["event"] in ("dtmf", "play-done")]
    assert [entry["position"] for entry in described] == [event["position"] for event in reported]
    assert [entry["event"] for entry in described] == [event["event"] for event in reported]


async def test_the_empty_messages_of_a_media_server_that_shuts_down_are_told(tmp_path: Path) -> None:
    saved, _ = await record("f_pause_graceful", whole, tmp_path)

    rules = [warning["rule"] for warning in read_sidecar(saved)["warnings"]]
    assert "empty-message" in rules


async def test_the_last_text_before_close_is_reported(tmp_path: Path) -> None:
    _, events = await record("b_stereo16k_bridge", whole, tmp_path)

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
