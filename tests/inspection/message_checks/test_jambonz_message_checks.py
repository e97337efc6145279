from dataclasses import replace

import numpy as np
import pytest

from listenctl.capture.packets.tcp_events import StreamEnding
from listenctl.inspection.settings import InspectionSettings
from listenctl.protocol.listen_session import Sender
from tests.helpers.frames import BINARY, TEXT
from tests.helpers.inspected import APPLICATION, JAMBONZ, METADATA, SILENCE, MadeUp, new_session, rules_in

WIRE_FRAME = 328


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
        (b'{"room":"r","memberId":1,"callSid":"c","sampleRate":8000}', []),
        (b"{}", ["sample-rate-missing", "mix-type-missing", "call-sid-missing"]),
    ],
)
def test_rules_of_the_first_text(raw: bytes, rules: list[str]) -> None:
    report = MadeUp(metadata=raw).close(1.0)

    assert rules_in(report) == rules
    assert {one.sender for one in report.violations} <= {"jambonz"}


def test_audio_without_metadata_is_a_violation_and_counted() -> None:
    call = MadeUp(metadata=None)
    call.listen(0.0, 1.0)

    report = call.close(1.01)

    assert rules_in(report) == ["first-text-missing"]
    assert report.completeness.received == 8000


def test_a_first_text_that_is_far_too_long_is_kept_in_part() -> None:
    raw = b'{"sampleRate":8000,"mixType":"mono","callSid":"c","x":"' + b"y" * 2_000_000 + b'"}'

    report = MadeUp(metadata=raw).close(1.0)

    assert report.call == "c"
    assert report.metadata is not None
    assert len(report.metadata.raw) < 100_000


def test_dropped_audio_is_an_error_at_its_place() -> None:
    call = MadeUp()
    call.listen(0.0, 3.0)
    call.frame(6.0, JAMBONZ, BINARY, bytes(16_000 - 16))
    call.listen(6.0, 16.0)

    report = call.close(16.01)

    (violation,) = [one for one in report.violations if one.rule == "audio-lost"]
    assert (violation.severity, violation.sender, violation.position) == ("error", "application", 24_000)
    assert violation.at == pytest.approx(3.0, abs=0.1)
    assert report.completeness.lost == pytest.approx(16_000, abs=200)
    assert report.completeness.share == pytest.approx(112_000 / 128_000, abs=0.01)


def test_late_audio_that_comes_all_at_once_is_not_lost() -> None:
    call = MadeUp()
    call.listen(0.0, 3.0)
    for _ in range(50):
        call.frame(4.0, JAMBONZ, BINARY, SILENCE)
    call.listen(4.0, 8.0)

    report = call.close(8.01)

    assert rules_in(report) == ["audio-late"]
    # Jambonz, the network, the server or the capturing machine may have delayed it.
    assert report.violations[0].sender == "unknown"
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
def test_audio_at_another_pace_than_declared_is_an_error(metadata: dict[str, object], frame: bytes) -> None:
    call = MadeUp(metadata=metadata)
    call.listen(0.0, 8.0, frame=frame)

    report = call.close(8.01)

    assert "format-wrong" in rules_in(report)
    assert report.drift is None


def test_frames_of_60_ms_have_the_declared_pace() -> None:
    call = MadeUp()
    call.listen(0.0, 9.0, frame=bytes(960), every=0.06)

    assert rules_in(call.close(9.01)) == []


@pytest.mark.parametrize(("ppm", "rules"), [(0, []), (40, []), (400, ["clock-drift"]), (-400, ["clock-drift"])])
def test_clock_drift_is_measured_and_reported_if_it_is_large(ppm: float, rules: list[str]) -> None:
    call = MadeUp()
    call.listen(0.0, 40.0, every=0.02 * (1 + ppm * 1e-6))

    report = call.close(40.05)

    assert report.drift is not None
    assert report.drift.ppm == pytest.approx(ppm, abs=report.drift.uncertainty + 5)
    assert rules_in(report) == rules


@pytest.mark.parametrize(
    ("opcode", "payload", "rule"),
    [
        (TEXT, b'{"type":"playDone","data":{"id":"say "hi""}}', "text-broken"),
        (BINARY, bytes(321), "half-sample"),
    ],
)
def test_a_broken_message_is_a_violation(opcode: int, payload: bytes, rule: str) -> None:
    call = MadeUp()
    call.frame(0.02, JAMBONZ, opcode, payload)

    assert rules_in(call.close(0.1)) == [rule]


def test_all_documents_of_a_text_are_counted() -> None:
    call = MadeUp()
    call.answer(1.0, '{"event":"dtmf","dtmf":"1","duration":"1600"}{"event":"dtmf","dtmf":"2","duration":"800"}')

    report = call.close(2.0)

    assert rules_in(report) == ["texts-glued"]
    assert [(key.digit, key.duration_ms) for key in report.keys] == [("1", 200), ("2", 100)]
    assert report.texts == {"dtmf": 2}


def test_tones_in_the_audio_are_detected_on_request() -> None:
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


@pytest.mark.parametrize("size", [WIRE_FRAME, None], ids=["known", "unknown"])
@pytest.mark.parametrize("frames", [1, 3, 100])
def test_audio_that_was_not_captured_is_counted_and_blamed_on_the_capture(frames: int, size: int | None) -> None:
    call = MadeUp()
    call.listen(0.0, 4.0)
    call.lose(4.01, JAMBONZ, size and size * frames)
    call.listen(4.0 + 0.02 * frames, 16.0)

    report = call.close(16.01)

    assert [(one.rule, one.sender) for one in report.violations] == [("capture-hole", "capture")]
    missing = report.completeness
    assert (missing.uncaptured, missing.lost, missing.paused) == (160 * frames, 0, 0)
    assert (missing.complete, missing.to_json()["complete_unknown"]) == (False, None)
    assert [gap.kind for gap in report.gaps] == ["uncaptured"]
    assert report.arrivals is not None
    assert report.arrivals.lateness.highest < 0.001
    assert report.drift is not None
    assert abs(report.drift.ppm) < 1


@pytest.mark.parametrize(
    ("sender", "complete", "unknown"),
    [(JAMBONZ, None, "the data missing from the capture is too short to be measured"), (APPLICATION, True, None)],
)
def test_little_missing_data_makes_completeness_unknown(
    sender: Sender, complete: bool | None, unknown: str | None
) -> None:
    call = MadeUp()
    call.listen(0.0, 1.0)
    call.lose(1.0, sender, 40)
    call.listen(1.0, 3.0)

    report = call.close(3.01).to_json()

    assert (report["complete"], report["complete_unknown"]) == (complete, unknown)


def test_a_pause_before_missing_frames_is_still_counted() -> None:
    call = MadeUp()
    call.listen(0.0, 3.0)
    call.listen(6.0, 7.2)
    call.lose(7.21, JAMBONZ, WIRE_FRAME)
    call.listen(7.22, 10.0)

    missing = call.close(10.01).completeness

    assert missing.uncaptured == 160
    assert missing.paused == pytest.approx(24_000, abs=160)


def test_a_call_that_is_captured_midway_starts_with_its_first_audio() -> None:
    call = MadeUp(session=new_session(request=None), metadata=None)
    call.listen(0.0, 3.0)
    call.reach(3.0, "sent before")
    call.answer(3.01, '{"event":"dtmf","dtmf":"1","duration":"100"}')
    call.listen(3.02, 4.0)

    report = call.close(4.01)

    assert report.arrivals is not None
    assert report.arrivals.first == pytest.approx(0.02)
    assert report.completeness.received == 160 * 199
    assert rules_in(report) == ["capture-midway"]


@pytest.mark.parametrize("how", [StreamEnding.CAPTURE, StreamEnding.FIN])
def test_what_the_end_of_a_capture_cuts_off_is_not_checked(how: StreamEnding) -> None:
    call = MadeUp()
    call.listen(0.0, 1.0)
    call.pace(1.0, 1.5, b"\x00\x10" * 160)
    call.stream(1.5, b"\x00\x10" * 100)
    call.listen(1.5, 4.0)

    report = call.end(4.01, how=how)

    assert ("stream-tail-held" in rules_in(report)) is (how is StreamEnding.FIN)


def test_a_session_that_cannot_be_decrypted_has_neither_format_nor_completeness() -> None:
    session = replace(new_session(), encrypted=True, unreadable="no secrets")

    report = MadeUp(session=session, metadata=None).end(5.0).to_json()

    assert (report["completeness"], report["complete"]) == (None, None)
    assert report["audio"]["sample_rate"] is None  # type: ignore[index]


def test_a_time_beyond_the_calendar_can_be_reported() -> None:
    report = MadeUp(session=replace(new_session(), began=1e13), metadata=None).end(1e13).to_json()

    assert (report["started"], report["ended"]) == ("9999-12-31T23:59:59.000Z", "9999-12-31T23:59:59.000Z")
