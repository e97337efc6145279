"""What is written down about a recording."""

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from listenctl.media.files.new_files import NewFile, create_numbered
from listenctl.media.files.wav_recording import Recording
from listenctl.protocol.gaps.gap_ledger import Gap, GapKind
from listenctl.protocol.jambonz_messages import Dtmf
from listenctl.protocol.listen_session import FlushRequested, MessageReceived, ProtocolViolation
from listenctl.server.calls.live_call_log import MAX_LOGGED, LiveCallEnd
from listenctl.server.recording import recorded_sidecar as sidecar
from tests.helpers.calls import STARTED_AT, call_log

INBOUND = (
    '{"sampleRate":8000,"mixType":"stereo","callSid":"CS-A","direction":"inbound","customerData":{"k":"v"},"foo":"bar"}'
)


def test_a_call_that_lasts_is_described_already(tmp_path: Path) -> None:
    log = call_log(INBOUND)
    recording = Recording(tmp_path / "a.wav", log.audio_format)

    description = sidecar.describe(log, recording)

    recording.close()
    assert not description["finished"]
    assert description["ended"] is description["close"] is None
    assert description["started"] == "2026-11-18T11:06:40.500Z"
    assert description["metadata"] == json.loads(INBOUND)
    assert description["metadata_raw"] == INBOUND
    assert "metadata_raw_base64" not in description
    assert description["v"] == 1
    assert json.loads(json.dumps(description)) == description


def test_raw_metadata_that_is_no_text_is_kept_byte_for_byte(tmp_path: Path) -> None:
    raw = b'{"callSid":"c","x":"\xff'
    log = call_log(raw)
    recording = Recording(tmp_path / "a.wav", log.audio_format)

    description = sidecar.describe(log, recording)

    recording.close()
    assert not description["metadata_valid"]
    assert base64.b64decode(str(description["metadata_raw_base64"])) == raw


def test_positions_are_those_in_the_file(tmp_path: Path) -> None:
    log = call_log('{"sampleRate":8000,"mixType":"mono","callSid":"c"}')
    recording = Recording(tmp_path / "a.wav", log.audio_format, fill=True)
    recording.write_audio(0, bytes(320))
    recording.write_audio(160, bytes(320))
    gap = Gap(GapKind.PAUSE, 160, 0.1, 0.02, missing=800)
    log.ledger.gaps.append(gap)
    recording.insert_silence(gap.position, gap.missing)
    log.add(MessageReceived(100, Dtmf("1", "1600")))
    log.add(MessageReceived(200, Dtmf("2", "1600")))
    log.add(ProtocolViolation(320, "half-sample", "odd"))
    log.add(FlushRequested(320))
    log.samples, log.ended_at, log.ending = 320, STARTED_AT + 2, LiveCallEnd("jambonz", 1000, "")

    description = sidecar.describe(log, recording)

    recording.close()
    events, gaps, warnings = (description[name] for name in ("events", "gaps", "warnings"))
    assert isinstance(events, list)
    assert isinstance(gaps, list)
    assert isinstance(warnings, list)
    assert [(event["digit"], event["position"], event["time"]) for event in events] == [
        ("1", 100, 0.013),
        ("2", 1000, 0.125),
    ]
    assert (gaps[0]["position"], gaps[0]["time"], gaps[0]["missing"]) == (160, 0.02, 800)
    assert [(warning["rule"], warning["position"]) for warning in warnings] == [
        ("half-sample", 1120),
        ("empty-message", 1120),
    ]
    assert description["ended"] == "2026-11-18T11:06:42.500Z"
    assert description["close"] == {"code": 1000, "reason": "", "by": "jambonz"}


def test_what_was_not_recorded_is_a_hole_of_the_file_only(tmp_path: Path) -> None:
    log = call_log('{"sampleRate":8000,"mixType":"mono","callSid":"c"}')
    recording = Recording(tmp_path / "a.wav", log.audio_format)
    recording.write_audio(0, bytes(320))
    recording.write_audio(960, bytes(320))
    log.samples = 1120
    log.ended_at = log.started_at + 0.14
    log.add(MessageReceived(1000, Dtmf("1", "1600")))

    description = sidecar.describe(log, recording)

    recording.close()
    assert description["received_samples"] == 1120
    assert description["unrecorded_samples"] == 800
    assert description["completeness"] == round(320 / 1120, 6)
    assert description["complete"] is False
    assert isinstance(description["gaps"], list)
    [gap] = description["gaps"]
    assert [gap["kind"], gap["position"], gap["missing"], gap["length"]] == ["unrecorded", 160, 800, 0.1]
    assert isinstance(description["events"], list)
    assert description["events"][0]["position"] == 200


def test_more_events_than_are_kept_are_counted(tmp_path: Path) -> None:
    log = call_log()
    recording = Recording(tmp_path / "a.wav", log.audio_format)

    for _ in range(MAX_LOGGED + 3):
        log.add(MessageReceived(0, Dtmf("1")))
    description = sidecar.describe(log, recording)

    recording.close()
    assert description["not_logged"] == 3
    assert isinstance(description["events"], list)
    assert len(description["events"]) == MAX_LOGGED


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[NewFile]:
    claimed = create_numbered(tmp_path / "a.json")
    yield claimed
    os.close(claimed.fd)


def test_a_shorter_sidecar_leaves_nothing_of_a_longer_one(empty: NewFile) -> None:
    sidecar.write(empty, {"x": "y" * 1000})
    sidecar.write(empty, {"x": "ü\ud800"})

    assert json.loads(empty.path.read_text()) == {"x": "ü\ud800"}
    assert empty.path.stat().st_mode & 0o777 == 0o600


def test_a_sidecar_that_does_not_fit_leaves_the_one_before(empty: NewFile, monkeypatch: pytest.MonkeyPatch) -> None:
    sidecar.write(empty, {"x": 1})
    write = os.pwrite

    def short(fd: int, data: bytes, offset: int) -> int:
        return write(fd, data[:10], offset) if len(data) > 100 else write(fd, data, offset)

    monkeypatch.setattr(os, "pwrite", short)
    with pytest.raises(OSError, match="No space left"):
        sidecar.write(empty, {"x": "y" * 1000})

    assert json.loads(empty.path.read_text()) == {"x": 1}
