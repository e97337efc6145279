"""What is wrong with streams, marks and the commands about them, in calls that are made up."""

import struct

import pytest

from listenctl.inspection.settings import InspectionSettings
from listenctl.protocol.jambonz_model.profiles import OLD
from tests.helpers.inspected import METADATA, MadeUp, rules_in

STREAM = METADATA | {"streamRate": 8000}
LOUD = struct.pack("<160h", *([2000, -2000] * 80))
PAD = bytes(2 * 1280)
# What sticks in the pre-buffer is silence.
SECOND = LOUD * 42 + PAD


def streaming(settings: InspectionSettings | None = None) -> MadeUp:
    """Return a call that plays a stream at 8 kHz, and in which jambonz is silent."""
    return MadeUp(settings, metadata=STREAM)


def test_a_paced_stream_that_ends_in_silence_has_no_fault() -> None:
    call = streaming()
    call.pace(1.0, 3.0, LOUD)
    call.stream(3.0, PAD)

    report = call.close(5.0)

    assert rules_in(report) == []
    assert report.mode is not None
    assert (report.mode.stream_rate, report.mode.source) == (8000, "metadata")
    assert report.stream_seconds == 2.16


def test_the_end_of_an_utterance_that_stays_behind_is_told() -> None:
    call = streaming()
    # 160 ms go out at once, then 80 ms at a time; 60 ms are left.
    for index in range(11):
        call.stream(1.0 + index * 0.02, LOUD)

    report = call.close(5.0)

    assert rules_in(report) == ["stream-tail-held"]
    assert report.violations[0].at == pytest.approx(1.2)
    assert "480 samples" in report.violations[0].detail


def test_a_tail_that_is_heard_with_the_next_utterance_is_told_at_the_first() -> None:
    call = streaming()
    for index in range(11):
        call.stream(1.0 + index * 0.02, LOUD)
    call.stream(3.0, PAD)

    report = call.close(5.0)

    assert rules_in(report) == ["stream-tail-held"]
    assert report.violations[0].at == pytest.approx(1.2)
    assert "60 ms" in report.violations[0].detail
    assert "1.8 s late" in report.violations[0].detail


def test_a_tail_of_silence_is_no_fault() -> None:
    call = streaming()
    call.stream(1.0, SECOND)
    call.stream(2.0, bytes(320))

    assert rules_in(call.close(5.0)) == []


def test_audio_right_after_kill_audio_is_told() -> None:
    call = streaming()
    call.stream(1.0, SECOND)
    call.say(1.5, {"type": "killAudio"})
    call.stream(1.51, SECOND)

    report = call.close(4.0)

    (violation,) = [one for one in report.violations if one.rule == "audio-after-kill"]
    assert (violation.severity, violation.sender) == ("error", "application")
    assert "10 ms" in violation.detail


def test_audio_a_while_after_kill_audio_is_fine() -> None:
    call = streaming()
    call.stream(1.0, SECOND)
    call.say(1.5, {"type": "killAudio"})
    call.stream(1.55, SECOND + PAD)

    assert rules_in(call.close(4.0)) == []


def test_silence_right_after_kill_audio_is_the_cure_and_no_fault() -> None:
    call = streaming()
    call.stream(1.0, SECOND)
    call.say(1.5, {"type": "killAudio"})
    call.stream(1.5, bytes(640))

    assert "audio-after-kill" not in rules_in(call.close(4.0))


def test_marks_that_were_answered_are_listed_with_their_round_trip() -> None:
    call = streaming()
    call.stream(1.0, SECOND + PAD)
    call.mark(1.01, "m1")
    call.reach(2.18, "m1")

    report = call.close(4.0)

    (mark,) = report.marks
    assert (mark.name, mark.result) == ("m1", "playout")
    assert mark.round_trip == pytest.approx(1.17)
    assert rules_in(report) == []


def test_a_mark_that_is_never_answered_is_told() -> None:
    call = streaming()
    call.stream(1.0, SECOND)
    call.mark(1.01, "m1")

    report = call.close(6.0)

    assert rules_in(report) == ["mark-unanswered"]
    assert report.violations[0].sender == "jambonz"
    assert report.marks[0].result is None


def test_a_mark_that_isnt_due_before_the_end_is_no_fault() -> None:
    call = streaming()
    call.stream(1.0, SECOND * 3)
    call.mark(1.01, "m1")

    assert "mark-unanswered" not in rules_in(call.close(3.0))


def test_more_than_thirty_marks_are_told() -> None:
    call = streaming()
    call.stream(1.0, SECOND * 2)
    for number in range(32):
        call.mark(1.01, f"m{number}")
        call.stream(1.01, LOUD)

    report = call.close(3.0)

    assert rules_in(report).count("marks-too-many") == 2


def test_a_sample_of_minus_one_while_a_mark_is_outstanding_is_told() -> None:
    call = streaming()
    call.mark(1.0, "a")
    call.stream(1.0, LOUD * 20 + b"\xff\xff" + LOUD * 20)
    call.mark(1.1, "b")
    call.stream(1.1, SECOND + PAD)
    for at, name in ((1.02, "a"), (1.42, "b")):
        call.reach(at, name)

    report = call.close(5.0)

    assert "mark-early" in rules_in(report)
    assert report.marks[1].verdicts == ["sample-value"]


def test_marks_after_those_that_were_cleared_are_told_to_be_shifted() -> None:
    call = streaming()
    for name in ("a", "b"):
        call.mark(1.0, name)
        call.stream(1.0, SECOND)
    call.say(1.3, {"type": "killAudio"})
    call.reach(1.32, "b", "cleared")
    for name in ("c", "d"):
        call.mark(2.0, name)
        call.stream(2.0, SECOND + PAD)

    report = call.close(7.0)

    assert "mark-shifted" in rules_in(report)


def test_a_name_that_cant_be_echoed_is_told() -> None:
    call = streaming()
    call.mark(1.0, 'say "hi"')

    report = call.close(5.0)

    assert rules_in(report) == ["mark-name-unsafe"]


def test_resampling_is_only_held_against_marks_where_the_rate_of_the_call_is_known() -> None:
    reports = []
    for call_rate in (None, 8000):
        call = MadeUp(InspectionSettings(stream_rate=16000, call_rate=call_rate))
        call.mark(1.0, "a")
        call.stream(1.0, SECOND * 2 + PAD * 2)
        if call_rate is None:
            call.reach(1.02, "a")
        reports.append(call.close(6.0))

    assert [rules_in(report) for report in reports] == [[], ["mark-resampled", "mark-unanswered"]]


def test_a_stream_that_runs_dry_in_the_middle_is_told_once() -> None:
    call = streaming()
    for index in range(4):
        for _ in range(16):
            call.stream(1.0 + index * 0.4, LOUD)
    call.stream(2.6, PAD)

    report = call.close(5.0)

    assert rules_in(report) == ["stream-underrun"]
    assert "4 times" in report.violations[0].detail
    assert report.stream is not None
    assert report.stream["underruns"] == 4


def test_killing_a_stream_and_going_on_is_no_underrun() -> None:
    call = streaming()
    call.stream(1.0, SECOND)
    call.say(1.5, {"type": "killAudio"})
    call.stream(1.7, SECOND + PAD)

    assert rules_in(call.close(5.0)) == []


def test_what_the_end_of_the_call_cuts_off_is_told() -> None:
    call = streaming()
    call.stream(1.0, SECOND * 4)

    report = call.close(2.0)

    assert rules_in(report) == ["stream-cut-off"]


def test_a_little_that_is_cut_off_is_not_worth_telling() -> None:
    call = streaming()
    call.pace(1.0, 2.0, LOUD)

    assert rules_in(call.close(2.0)) == []


def test_a_stream_that_nothing_shows_to_be_played_is_told() -> None:
    call = MadeUp()
    call.pace(1.0, 2.0, LOUD)
    call.stream(2.0, PAD)

    report = call.close(4.0)

    assert rules_in(report) == ["stream-unproven"]
    assert "8000 Hz" in report.violations[0].detail


def test_a_mark_that_is_answered_shows_that_the_stream_is_played() -> None:
    call = MadeUp()
    call.mark(1.0, "a")
    call.pace(1.0, 2.0, LOUD)
    call.reach(1.02, "a")
    call.stream(2.0, PAD)

    assert rules_in(call.close(4.0)) == []


def test_odd_bytes_are_told_and_kept() -> None:
    call = streaming()
    call.stream(1.0, SECOND + b"\0")
    call.stream(1.0, b"\0" + PAD)

    report = call.close(4.0)

    assert rules_in(report) == ["stream-odd-bytes", "stream-odd-bytes"]
    assert report.violations[0].severity == "info"


def test_binary_audio_in_a_call_that_plays_clips_is_an_error() -> None:
    call = MadeUp(metadata=METADATA | {"streamRate": 0})
    call.stream(1.0, SECOND)
    call.mark(1.0, "a")

    report = call.close(4.0)

    assert rules_in(report) == ["stream-not-played"] * 2
    assert report.worst == "error"


def test_an_old_media_server_plays_no_stream() -> None:
    call = MadeUp(InspectionSettings(profile=OLD, stream_rate=8000))
    call.stream(1.0, SECOND)

    assert rules_in(call.close(4.0)) == ["stream-not-played"]


def test_a_clip_in_a_stream_is_a_warning_while_the_mode_is_a_guess() -> None:
    call = MadeUp()
    call.pace(1.0, 2.0, LOUD)
    call.stream(2.0, PAD)
    call.say(2.0, {"type": "playAudio", "data": {"audioContent": "AADoAw==", "audioContentType": "raw"}})

    report = call.close(4.0)

    assert [(one.rule, one.severity) for one in report.violations] == [
        ("stream-unproven", "info"),
        ("clip-while-streaming", "warning"),
    ]


def test_a_mark_whose_answer_may_be_missing_in_the_capture_is_no_fault() -> None:
    call = streaming()
    call.stream(1.0, SECOND)
    call.mark(1.01, "m1")
    call.lose(2.2, size=80)

    assert "mark-unanswered" not in rules_in(call.close(6.0))
