"""What is written down about a recording."""

import json
from pathlib import Path

from listenctl.media.files.sidecar import SidecarClose
from listenctl.media.files.wav_recording import Recording
from listenctl.protocol.gaps.gap import Gap, GapKind
from listenctl.protocol.jambonz_messages import Dtmf
from listenctl.protocol.listen_session import FlushRequested, MessageReceived, ProtocolViolation
from listenctl.server.calls.live_call_log import MAX_LOGGED, LiveCallEnd
from listenctl.server.recording.describe_recording import describe_recording
from tests.helpers.server import STARTED_AT, call_log

INBOUND = (
    '{"sampleRate":8000,"mixType":"stereo","callSid":"CS-A","direction":"inbound","customerData":{"k":"v"},"foo":"bar"}'
)


def test_a_call_that_lasts_is_described_already(tmp_path: Path) -> None:
    log = call_log(INBOUND)
    recording = Recording(tmp_path / "a.wav", log.audio_format)

    sidecar = describe_recording(log, recording)

    recording.close()
    assert (sidecar.ended, sidecar.close) == (None, None)
    assert (sidecar.started, sidecar.metadata) == (STARTED_AT, log.metadata)
    assert json.loads(sidecar.serialize())["finished"] is False


def test_positions_are_those_in_the_file(tmp_path: Path) -> None:
    log = call_log('{"sampleRate":8000,"mixType":"mono","callSid":"c"}')
    recording = Recording(tmp_path / "a.wav", log.audio_format, fill=True)
    recording.write_audio(0, bytes(320))
    recording.write_audio(160, bytes(320))
    gap = Gap(GapKind.PAUSE, 160, 0.1, 0.02, missing=800)
    log.ledger.gaps.append(gap)
    recording.insert_silence(gap.position, gap.missing)
    log.add_entry(MessageReceived(100, Dtmf("1", "1600")))
    log.add_entry(MessageReceived(200, Dtmf("2", "1600")))
    log.add_entry(ProtocolViolation(320, "half-sample", "odd"))
    log.add_entry(FlushRequested(320))
    log.samples, log.ended_at, log.ending = 320, STARTED_AT + 2, LiveCallEnd("jambonz", 1000, "")

    sidecar = describe_recording(log, recording)

    recording.close()
    assert [(event["digit"], event["position"], event["time"]) for event in sidecar.events] == [
        ("1", 100, 0.013),
        ("2", 1000, 0.125),
    ]
    assert [(gap["position"], gap["time"], gap["missing"]) for gap in sidecar.gaps] == [(160, 0.02, 800)]
    assert [(warning["rule"], warning["position"]) for warning in sidecar.warnings] == [
        ("half-sample", 1120),
        ("empty-message", 1120),
    ]
    assert sidecar.ended == STARTED_AT + 2
    assert sidecar.close == SidecarClose(1000, "", "jambonz")


def test_what_was_not_recorded_is_a_hole_of_the_file_only(tmp_path: Path) -> None:
    log = call_log('{"sampleRate":8000,"mixType":"mono","callSid":"c"}')
    recording = Recording(tmp_path / "a.wav", log.audio_format)
    recording.write_audio(0, bytes(320))
    recording.write_audio(960, bytes(320))
    log.samples = 1120
    log.ended_at = log.started_at + 0.14
    log.add_entry(MessageReceived(1000, Dtmf("1", "1600")))

    sidecar = describe_recording(log, recording)

    recording.close()
    assert sidecar.completeness["received_samples"] == 1120
    assert sidecar.completeness["unrecorded_samples"] == 800
    assert sidecar.completeness["completeness"] == round(320 / 1120, 6)
    assert sidecar.completeness["complete"] is False
    assert [(gap["kind"], gap["position"], gap["missing"], gap["length"]) for gap in sidecar.gaps] == [
        ("unrecorded", 160, 800, 0.1)
    ]
    assert [event["position"] for event in sidecar.events] == [200]


def test_more_events_than_are_kept_are_counted(tmp_path: Path) -> None:
    log = call_log()
    recording = Recording(tmp_path / "a.wav", log.audio_format)

    for _ in range(MAX_LOGGED + 3):
        log.add_entry(MessageReceived(0, Dtmf("1")))
    sidecar = describe_recording(log, recording)

    recording.close()
    assert sidecar.not_logged == 3
    assert len(sidecar.events) == MAX_LOGGED
