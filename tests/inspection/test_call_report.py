import re
from functools import cache
from pathlib import Path

import pytest

from listenctl.inspection.call_report import CallReport
from listenctl.protocol.gaps.gap import GapKind
from tests.helpers.capture import CAPTURES, received_audio
from tests.helpers.inspected import capture_events, inspect, rules_in

MAN_PAGE = (Path(__file__).parents[2] / "man" / "listenctl-inspect.5").read_text()
PLAIN = "a_mono8k_sip"
MARKS = "c2_bidir_stream8k_marks_nominus1"
CLIPS = "e_playaudio_featureserver"
PAUSE = "f_pause_graceful"
BACKLOG = "g_slow_handshake_backlog"


@cache
def report_of(name: str) -> CallReport:
    (report,) = inspect(capture_events(name))
    return report


@pytest.mark.parametrize("name", CAPTURES)
def test_a_real_call_is_complete_and_violates_no_other_rules_than_known(name: str) -> None:
    received, report = received_audio(name), report_of(name)

    assert report.audio_format.sample_rate == received.sample_rate
    assert report.audio_format.channels == received.channels
    assert report.completeness.received == len(received.data) // (2 * received.channels)
    assert (report.completeness.lost, report.completeness.uncaptured, report.completeness.share) == (0, 0, 1)
    assert [one for one in report.violations if one.severity == "error"] == []
    assert rules_in(report) == {
        "b_stereo16k_bridge": ["text-unknown"],
        MARKS: ["stream-tail-held"] * 3,
        PAUSE: ["audio-paused", "shutdown-announced"],
        BACKLOG: ["audio-backlog"],
    }.get(name, [])
    assert "amFtYm9uejpzZWNyZXQ" not in str(report.to_json())


@pytest.mark.parametrize("name", CAPTURES)
def test_real_frames_arrive_every_20_ms_without_drift(name: str) -> None:
    report = report_of(name)

    assert report.arrivals is not None
    assert report.arrivals.intervals.quantile(0.5) == pytest.approx(0.02, abs=0.0002)
    assert report.arrivals.lateness.quantile(0.5) < 0.005
    assert report.drift is None or abs(report.drift.ppm) < 10 + report.drift.uncertainty


def test_a_plain_call() -> None:
    report = report_of(PLAIN)

    assert report.seconds == pytest.approx(15.0, abs=0.1)
    assert (report.close["by"], report.close["code"], report.close["answered"]) == ("jambonz", 1000, True)
    assert report.metadata is not None
    assert report.metadata.caller == "+15551230001"
    assert report.mode is None


def test_marks_are_answered_when_simulated_playout_expects_it() -> None:
    report = report_of(MARKS)

    assert [mark.result for mark in report.marks] == ["playout"] * 9 + ["cleared"] * 5 + ["forgotten"]
    played = report.marks[:9]
    assert [mark.name for mark in played] == [
        *("greet-start", "greet-end", "burst-0", "burst-1", "burst-2", "burst-3", "burst-end", "kill-0", "kill-1"),
    ]
    assert [mark.answered for mark in played] == pytest.approx([mark.due for mark in played], abs=0.025)
    assert report.marks[3].round_trip == pytest.approx(0.56, abs=0.02)
    assert report.commands == {"mark": 15, "killAudio": 1, "clearMarks": 1}
    assert report.texts == {"mark": 14}


def test_a_stream_is_measured_by_its_pace() -> None:
    report = report_of(MARKS)

    assert report.mode is not None
    assert (report.mode.stream_rate, report.mode.source) == (8000, "pace")
    assert report.stream is not None
    assert (report.stream["messages"], report.stream["underruns"]) == (161, 0)
    # A burst of six clips of half a second.
    assert report.stream["ahead_max"] == pytest.approx(3.0, abs=0.1)
    # The last mark of the burst came 52 ms early: the rest of 2 s after blocks of 1280 and 640 samples.
    assert "52 ms" in report.violations[0].detail


def test_clips_end_when_simulated_playout_expects_it() -> None:
    report = report_of(CLIPS)

    assert [(clip.id, clip.seconds, clip.decoded_rate) for clip in report.clips] == [
        ("greeting", 2.0, 8000),
        ("monkeys", pytest.approx(2.681, abs=0.001), 8000),
        ("q0", 0.5, 16000),
        ("q1", 0.5, 16000),
        ("q2", 0.5, 16000),
        ("tobekilled", 6.0, 8000),
    ]
    *played, killed = report.clips
    assert [clip.done for clip in played] == pytest.approx([clip.due for clip in played], abs=0.025)
    assert killed.done is not None
    assert killed.verdicts == ["killed"]
    assert report.mode is not None
    assert (report.mode.streams, report.mode.source) == (False, "playDone")


def test_a_reported_digit_has_its_place() -> None:
    (key,) = report_of(CLIPS).keys

    assert (key.digit, key.duration_ms, key.channel, key.position) == ("5", 1600, None, 73_920)
    assert key.at == pytest.approx(9.226, abs=0.01)


def test_a_pause_has_its_place_and_makes_no_audio_late() -> None:
    report = report_of(PAUSE)

    (pause,) = [gap for gap in report.gaps if gap.kind is GapKind.PAUSE]
    assert pause.missing == report.completeness.paused == pytest.approx(24_000, abs=160)
    violation = report.violations[0]
    assert violation.at == pytest.approx(3.0, abs=0.05)
    assert violation.position == pause.position
    assert report.arrivals is not None
    assert report.arrivals.intervals.highest == pytest.approx(3.02, abs=0.01)
    assert report.arrivals.lateness.highest < 0.1
    # The application answers the shutdown.
    assert report.close["by"] == "application"


def test_the_backlog_of_a_slow_handshake() -> None:
    report = report_of(BACKLOG)

    (burst,) = report.gaps
    assert burst.kind is GapKind.BURST
    assert burst.length == pytest.approx(1.22, abs=0.02)
    assert report.audio.sizes == {19_520: 1, 320: 439}


@pytest.mark.parametrize("name", [MARKS, CLIPS])
def test_every_field_of_a_report_is_documented(name: str) -> None:
    documented = set(re.findall(r"\w+", " ".join(re.findall(r"^(?:\.It )?\.?Cm .*$", MAN_PAGE, re.MULTILINE))))
    report = report_of(name).to_json()

    fields = set(report)
    for part in ("audio", "handshake", "playout", "stream", "close", "arrival_ms"):
        value = report[part]
        fields |= set(value) if isinstance(value, dict) else set()
    for part in ("marks", "clips", "dtmf", "violations"):
        value = report[part]
        assert isinstance(value, list)
        fields |= {field for item in value for field in item}
    assert fields - documented == set()


def test_every_column_of_the_table_is_documented_in_order() -> None:
    section, _, _ = MAN_PAGE.partition("\n.Ss The table\n")[2].partition("\n.S")

    documented = [name for line in re.findall(r"^\.It Cm (.*)$", section, re.MULTILINE) for name in line.split(" , ")]

    assert list(report_of(PLAIN).table_row()) == documented
