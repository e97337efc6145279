"""What jambonz sends, in calls that are made up: first texts, gaps, texts, and how fast it all comes."""

import numpy as np
import pytest

from listenctl.inspection.settings import InspectionSettings
from listenctl.protocol.frames.raw_frame_reader import RawFrame
from tests.helpers.frames import BINARY, CONTINUATION, PING, TEXT
from tests.helpers.inspected import APPLICATION, JAMBONZ, METADATA, MadeUp, new_session, rules_in

FRAME = bytes(320)
KILL = b'{"type":"killAudio"}'


@pytest.mark.parametrize(
    ("raw", "rules"),
    [
        (b'{"sampleRate":8000,"mixType":"mono","callSid":"c","agent":"OBrien"}\'', ["first-text-invalid"]),
        (b'{"sampleRate":8000,"mixType":"mono","callSid":"c","x":{"q":"say "hi""}}', ["first-text-invalid"]),
        (b'{"sampleRate":8000,"mixType":"mono","callSid":"c","x":"' + b"y" * 8138, ["first-text-cut"]),
        (b'{"sampleRate":"8000","mixType":"mono","callSid":"c"}', ["sample-rate-string"]),
        (b'{"sampleRate":11025,"mixType":"mono","callSid":"c"}', ["sample-rate-odd"]),
        (b'{"mixType":"mono","callSid":"c"}', ["sample-rate-missing"]),
        (b'{"sampleRate":8000,"mixType":"both","callSid":"c"}', ["mix-type-missing"]),
        (b'{"sampleRate":8000,"mixType":"mono"}', ["call-sid-missing"]),
        (b"{}", ["sample-rate-missing", "mix-type-missing", "call-sid-missing"]),
    ],
)
def test_what_is_wrong_with_the_first_text_is_named(raw: bytes, rules: list[str]) -> None:
    report = MadeUp(metadata=raw).close(1.0)

    assert rules_in(report) == rules
    assert {one.sender for one in report.violations} == {"jambonz"}


def test_audio_without_metadata_is_told_and_counted() -> None:
    call = MadeUp(metadata=None)
    call.listen(0.0, 1.0)

    report = call.close(1.01)

    assert rules_in(report) == ["first-text-missing"]
    assert report.completeness.received == 8000


def test_a_capture_that_begins_within_a_call_is_told_once_and_breaks_no_other_rule() -> None:
    call = MadeUp(session=new_session(request=None), metadata=None)
    call.listen(0.0, 2.0)
    call.reach(2.0, "sent before")

    report = call.close(2.01)

    assert rules_in(report) == ["capture-midway"]
    assert report.completeness.received == 16_000


def test_audio_that_jambonz_threw_away_is_an_error_with_its_place() -> None:
    call = MadeUp()
    call.listen(0.0, 3.0)
    call.frame(6.0, JAMBONZ, BINARY, bytes(16_000 - 16))
    call.listen(6.0, 16.0)

    report = call.close(16.01)

    (violation,) = [one for one in report.violations if one.rule == "audio-lost"]
    assert (violation.severity, violation.sender) == ("error", "application")
    assert violation.position == 24_000
    assert violation.at == pytest.approx(3.0, abs=0.1)
    assert report.completeness.lost == pytest.approx(16_000, abs=200)
    assert report.completeness.share == pytest.approx(112_000 / 128_000, abs=0.01)


def test_what_is_missing_in_the_capture_is_held_against_nobody() -> None:
    call = MadeUp()
    call.listen(0.0, 3.0)
    call.lose(3.01, JAMBONZ, 32_000)
    call.listen(5.0, 15.0)

    report = call.close(15.01)

    assert rules_in(report) == ["capture-hole"]
    assert report.violations[0].sender == "capture"
    assert report.completeness.uncaptured == pytest.approx(16_000, abs=200)
    assert (report.completeness.lost, report.completeness.paused) == (0, 0)
    assert report.to_json()["complete"] is False


def test_audio_that_comes_late_and_at_once_is_no_loss() -> None:
    call = MadeUp()
    call.listen(0.0, 3.0)
    for _ in range(50):
        call.frame(4.0, JAMBONZ, BINARY, FRAME)
    call.listen(4.0, 8.0)

    report = call.close(8.01)

    assert rules_in(report) == ["audio-late"]
    assert report.completeness.share == 1
    assert report.arrivals is not None
    assert report.arrivals.lateness.highest == pytest.approx(0.98, abs=0.03)


@pytest.mark.parametrize(
    ("metadata", "frame"),
    [
        (METADATA | {"sampleRate": 16000}, bytes(320)),
        (METADATA | {"sampleRate": 8000}, bytes(640)),
        (METADATA | {"mixType": "stereo"}, bytes(320)),
    ],
    ids=["half as fast", "twice as fast", "one channel for two"],
)
def test_audio_of_another_rate_than_it_says_is_an_error(metadata: dict[str, object], frame: bytes) -> None:
    call = MadeUp(metadata=metadata)
    call.listen(0.0, 8.0, frame=frame)

    report = call.close(8.01)

    assert "format-wrong" in rules_in(report)
    assert report.drift is None


def test_frames_of_60_ms_are_of_the_right_rate() -> None:
    call = MadeUp()
    call.listen(0.0, 9.0, frame=bytes(960), every=0.06)

    assert rules_in(call.close(9.01)) == []


@pytest.mark.parametrize(("ppm", "told"), [(0, False), (40, False), (400, True), (-400, True)])
def test_a_clock_that_drifts_is_measured_and_told_if_it_is_much(ppm: float, told: bool) -> None:
    call = MadeUp()
    call.listen(0.0, 40.0, every=0.02 * (1 + ppm * 1e-6))

    report = call.close(40.05)

    assert report.drift is not None
    assert report.drift.ppm == pytest.approx(ppm, abs=report.drift.uncertainty + 5)
    assert rules_in(report) == (["clock-drift"] if told else [])


def test_a_text_that_is_no_json_is_told() -> None:
    call = MadeUp()
    call.answer(1.0, '{"type":"playDone","data":{"id":"say "hi""}}')

    assert rules_in(call.close(2.0)) == ["text-broken"]


def test_texts_that_are_glued_are_told_and_all_of_them_counted() -> None:
    call = MadeUp()
    call.answer(1.0, '{"event":"dtmf","dtmf":"1","duration":"1600"}{"event":"dtmf","dtmf":"2","duration":"800"}')

    report = call.close(2.0)

    assert rules_in(report) == ["texts-glued"]
    assert [(key.digit, key.duration_ms) for key in report.keys] == [("1", 200), ("2", 100)]
    assert report.texts == {"dtmf": 2}


def test_fragments_from_jambonz_are_told_once() -> None:
    call = MadeUp()
    for at in (0.1, 0.12):
        call.frame(at, JAMBONZ, BINARY, bytes(160), fin=False)
        call.frame(at, JAMBONZ, CONTINUATION, bytes(160))

    report = call.close(0.13)

    assert rules_in(report) == ["jambonz-fragmented"]
    assert report.completeness.received == 320


def test_half_a_sample_at_the_end_is_told() -> None:
    call = MadeUp()
    call.frame(0.02, JAMBONZ, BINARY, bytes(321))

    assert rules_in(call.close(0.1)) == ["half-sample"]


@pytest.mark.parametrize(
    ("frame", "rule"),
    [
        (RawFrame(True, 0, TEXT, True, KILL), "frame-masking"),
        (RawFrame(True, 4, TEXT, False, KILL), "frame-reserved-bits"),
        (RawFrame(True, 0, 3, False, KILL), "frame-opcode"),
        (RawFrame(True, 0, PING, False, bytes(126)), "frame-control"),
        (RawFrame(True, 0, CONTINUATION, False, KILL), "frame-order"),
    ],
)
def test_a_frame_against_the_rfc_is_told_of_its_sender(frame: RawFrame, rule: str) -> None:
    call = MadeUp()
    call.frame(1.0, APPLICATION, frame.opcode, frame.payload, rsv=frame.rsv, masked=frame.masked)

    report = call.close(1.5)

    assert rules_in(report) == [rule]
    assert report.violations[0].sender == "application"


def test_keys_in_the_audio_are_found_if_asked_for() -> None:
    at = np.arange(8000) / 8000
    tone = 8000 * (np.sin(2 * np.pi * 770 * at) + np.sin(2 * np.pi * 1336 * at))
    tone[:2400] = tone[3200:] = 0
    audio = tone.astype("<i2").tobytes()
    reports = []
    for detect in (False, True):
        call = MadeUp(InspectionSettings(detect_dtmf=detect))
        for index in range(50):
            call.frame(0.02 * (index + 1), JAMBONZ, BINARY, audio[index * 320 : (index + 1) * 320])
        reports.append(call.close(1.01))

    assert reports[0].keys == []
    (key,) = reports[1].keys
    assert (key.digit, key.channel, key.to_json()["source"]) == ("5", 1, "tone")
    assert key.position == pytest.approx(2400, abs=80)
    assert key.at == pytest.approx(0.3, abs=0.03)


def test_a_first_text_that_is_far_too_long_is_kept_in_part() -> None:
    raw = b'{"sampleRate":8000,"mixType":"mono","callSid":"c","x":"' + b"y" * 2_000_000 + b'"}'

    report = MadeUp(metadata=raw).close(1.0)

    assert report.call == "c"
    assert report.metadata is not None
    assert len(report.metadata.raw) < 100_000


def test_what_is_missing_in_the_capture_may_be_too_little_to_be_told() -> None:
    call = MadeUp()
    call.listen(0.0, 1.0)
    call.lose(1.0, JAMBONZ, 40)
    call.listen(1.0, 3.0)

    report = call.close(3.01).to_json()

    assert report["complete"] is None
    assert report["complete_unknown"] == "the data missing from the capture is too short to be measured"


def test_what_is_missing_of_the_application_leaves_audio_complete() -> None:
    call = MadeUp()
    call.listen(0.0, 1.0)
    call.lose(1.0, APPLICATION, 40)

    report = call.close(1.01).to_json()

    assert (report["complete"], report["complete_unknown"]) == (True, None)


def test_a_time_beyond_the_calendar_can_be_reported() -> None:
    session = new_session()
    session.began = 1e13

    report = MadeUp(session=session, metadata=None).end(1e13).to_json()

    assert (report["started"], report["ended"]) == ("9999-12-31T23:59:59.000Z", "9999-12-31T23:59:59.000Z")
