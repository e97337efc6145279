"""What the inspector says of real calls, held against what is known of them."""

import pytest

from listenctl.inspection.call_report import CallReport
from listenctl.protocol.gaps.gap_ledger import GapKind
from tests.helpers.capture import CAPTURES, received_audio
from tests.helpers.inspected import capture_events, inspect, rules_in

MARKS = "c2_bidir_stream8k_marks_nominus1"
CLIPS = "e_playaudio_featureserver"
PAUSE = "f_pause_graceful"
BACKLOG = "g_slow_handshake_backlog"


def report_of(name: str) -> CallReport:
    (report,) = inspect(capture_events(name))
    return report


@pytest.mark.parametrize("name", CAPTURES)
def test_every_sample_is_counted_and_none_is_missed(name: str) -> None:
    received = received_audio(name)

    report = report_of(name)

    assert report.audio_format.sample_rate == received.sample_rate
    assert report.audio_format.channels == received.channels
    assert report.completeness.received == len(received.data) // (2 * received.channels)
    assert (report.completeness.lost, report.completeness.uncaptured) == (0, 0)
    assert report.completeness.share == 1


@pytest.mark.parametrize("name", CAPTURES)
def test_a_real_jambonz_breaks_no_rule_that_is_an_error(name: str) -> None:
    report = report_of(name)

    assert [one for one in report.violations if one.severity == "error"] == []
    assert {one.rule for one in report.violations if one.sender == "jambonz"} <= {
        "audio-paused",
        "shutdown-announced",
        "text-unknown",
    }


@pytest.mark.parametrize("name", CAPTURES)
def test_frames_come_every_20_ms_by_a_clock_that_is_right(name: str) -> None:
    report = report_of(name)

    assert report.arrivals is not None
    assert report.arrivals.intervals.quantile(0.5) == pytest.approx(0.02, abs=0.0002)
    assert report.arrivals.lateness.quantile(0.5) < 0.005
    assert report.drift is None or abs(report.drift.ppm) < 10 + report.drift.uncertainty


def test_a_plain_call_has_nothing_to_be_said_of() -> None:
    report = report_of("a_mono8k_sip")

    assert rules_in(report) == []
    assert report.seconds == pytest.approx(15.0, abs=0.1)
    assert report.close["by"] == "jambonz"
    assert report.close["code"] == 1000
    assert report.close["answered"] is True
    assert report.metadata is not None
    assert report.metadata.caller == "+15551230001"
    assert report.mode is None


def test_marks_are_answered_when_the_model_of_jambonz_says_so() -> None:
    report = report_of(MARKS)

    played = [mark for mark in report.marks if mark.result == "playout"]
    assert [mark.name for mark in played] == [
        *("greet-start", "greet-end", "burst-0", "burst-1", "burst-2", "burst-3", "burst-end", "kill-0", "kill-1"),
    ]
    assert all(
        mark.answered is not None and mark.due is not None and abs(mark.answered - mark.due) < 0.025 for mark in played
    )


def test_what_became_of_each_mark_is_told() -> None:
    report = report_of(MARKS)

    results = [mark.result for mark in report.marks]
    assert results == ["playout"] * 9 + ["cleared"] * 5 + ["forgotten"]
    assert report.marks[3].round_trip == pytest.approx(0.56, abs=0.02)
    assert report.commands == {"mark": 15, "killAudio": 1, "clearMarks": 1}
    assert report.texts == {"mark": 14}


def test_the_rate_of_a_stream_is_found_by_its_pace() -> None:
    report = report_of(MARKS)

    assert report.mode is not None
    assert (report.mode.stream_rate, report.mode.source) == (8000, "pace")
    assert report.stream is not None
    assert report.stream["messages"] == 161
    assert report.stream["underruns"] == 0
    # Six clips of half a second at once, in a burst.
    assert report.stream["ahead_max"] == pytest.approx(3.0, abs=0.1)


def test_tails_that_stuck_in_the_prebuffer_are_told() -> None:
    report = report_of(MARKS)

    # The burst's last mark came 52 ms early: what is left of 2 s after portions of 1280 and 640 samples.
    assert rules_in(report) == ["stream-tail-held"] * 3
    assert "52 ms" in report.violations[0].detail


def test_clips_are_told_with_what_they_were_and_when_they_had_played() -> None:
    report = report_of(CLIPS)

    assert [(clip.id, clip.seconds, clip.decoded_rate) for clip in report.clips] == [
        ("greeting", 2.0, 8000),
        ("monkeys", pytest.approx(2.681, abs=0.001), 8000),
        ("q0", 0.5, 16000),
        ("q1", 0.5, 16000),
        ("q2", 0.5, 16000),
        ("tobekilled", 6.0, 8000),
    ]
    assert all(clip.done is not None for clip in report.clips)
    assert report.clips[-1].verdicts == ["killed"]
    assert report.mode is not None
    assert (report.mode.streams, report.mode.source) == (False, "playDone")


def test_clips_end_when_the_model_of_jambonz_says_so() -> None:
    *played, _killed = report_of(CLIPS).clips

    assert all(clip.done is not None and clip.due is not None and abs(clip.done - clip.due) < 0.025 for clip in played)


def test_a_digit_is_told_with_its_place() -> None:
    (key,) = report_of(CLIPS).keys

    assert (key.digit, key.duration_ms, key.channel) == ("5", 1600, None)
    assert key.at == pytest.approx(9.226, abs=0.01)
    assert key.position == 73_920


def test_a_pause_is_found_where_it_was() -> None:
    report = report_of(PAUSE)

    (pause,) = [gap for gap in report.gaps if gap.kind is GapKind.PAUSE]
    assert pause.missing == pytest.approx(24_000, abs=160)
    assert report.completeness.paused == pause.missing
    violation = next(one for one in report.violations if one.rule == "audio-paused")
    assert violation.at == pytest.approx(3.0, abs=0.05)
    assert violation.position == pause.position


def test_a_pause_makes_nothing_late() -> None:
    report = report_of(PAUSE)

    assert report.arrivals is not None
    assert report.arrivals.intervals.highest == pytest.approx(3.02, abs=0.01)
    assert report.arrivals.lateness.highest < 0.1


def test_a_shutdown_that_the_application_answered_is_no_fault() -> None:
    report = report_of(PAUSE)

    assert "shutdown-announced" in rules_in(report)
    assert "shutdown-not-closed" not in rules_in(report)
    assert report.close["by"] == "application"


def test_the_backlog_of_a_slow_handshake_is_found() -> None:
    report = report_of(BACKLOG)

    (burst,) = report.gaps
    assert burst.kind is GapKind.BURST
    assert burst.length == pytest.approx(1.22, abs=0.02)
    assert rules_in(report) == ["audio-backlog"]
    assert report.audio.sizes == {19_520: 1, 320: 439}


def test_a_text_that_nobody_knows_is_told_and_costs_nothing() -> None:
    report = report_of("b_stereo16k_bridge")

    assert rules_in(report) == ["text-unknown"]
    assert "final" in report.violations[0].detail


def test_credentials_stay_out_of_the_report() -> None:
    report = report_of("d_wss_mono16k_decrypted").to_json()

    assert report["handshake"]["authorization"] == "Basic"  # type: ignore[index]
    assert "amFtYm9uejpzZWNyZXQ" not in str(report)
