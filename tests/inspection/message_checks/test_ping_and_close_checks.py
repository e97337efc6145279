"""Pings, and how calls end, in calls that are made up."""

import pytest

from listenctl.capture.capture_events import CapturedSession
from listenctl.capture.packets.tcp_events import StreamEnding
from listenctl.protocol.listen_session import Sender
from tests.helpers.frames import BINARY, CLOSE, PING, PONG
from tests.helpers.inspected import APPLICATION, JAMBONZ, MadeUp, new_session, rules_in

NORMAL = b"\x03\xe8"


def test_a_normal_close_has_no_fault() -> None:
    report = MadeUp().close(1.0, by=APPLICATION, data=NORMAL + b"bye")

    assert rules_in(report) == []
    assert report.close == {
        "by": "application",
        "time": 1.0,
        "code": 1000,
        "reason": "bye",
        "answered": True,
        "answer_delay": 0.001,
        "connection": "fin",
    }


@pytest.mark.parametrize(
    ("data", "rule", "severity"),
    [
        (b"", "close-no-code", "info"),
        (b"\x03", "close-code-invalid", "error"),
        (b"\x03\xe9", "close-going-away", "info"),
        (b"\x03\xea", "close-error", "error"),
        (b"\x03\xf3", "close-error", "error"),
        (b"\x03\xee", "close-code-invalid", "error"),
        (b"\x03\xe7", "close-code-invalid", "error"),
        (b"\x0f\xa0", "close-error", "error"),
    ],
)
def test_a_close_that_says_something_else_is_told(data: bytes, rule: str, severity: str) -> None:
    report = MadeUp().close(1.0, by=APPLICATION, data=data)

    assert [(one.rule, one.severity, one.sender) for one in report.violations] == [(rule, severity, "application")]


@pytest.mark.parametrize(
    ("how", "sender", "culprit"),
    [
        (StreamEnding.FIN, APPLICATION, "application"),
        (StreamEnding.RST, JAMBONZ, "jambonz"),
        (StreamEnding.FIN, None, "network"),
    ],
)
def test_a_connection_that_ends_without_a_close_frame_is_a_violation(
    how: StreamEnding, sender: Sender | None, culprit: str
) -> None:
    report = MadeUp().end(1.0, how=how, sender=sender)

    assert rules_in(report) == ["close-missing"]
    assert report.violations[0].sender == culprit
    assert report.close["by"] == (None if culprit == "network" else culprit)


def test_a_capture_that_ends_first_is_held_against_nobody_else() -> None:
    report = MadeUp().end(1.0, how=StreamEnding.CAPTURE)

    assert rules_in(report) == ["capture-ends"]
    assert report.violations[0].sender == "capture"


def test_a_capture_that_just_stops_ends_first_too() -> None:
    call = MadeUp()
    call.listen(0.0, 1.0)

    report = call.inspector.finish_call()

    assert rules_in(report) == ["capture-ends"]
    assert report.seconds == pytest.approx(1.0)


def test_a_close_without_an_answer_is_told_of_the_other_side() -> None:
    call = MadeUp()
    call.frame(1.0, JAMBONZ, CLOSE, NORMAL)

    report = call.end(1.1)

    assert rules_in(report) == ["close-unanswered"]
    assert report.violations[0].sender == "application"


def test_a_recording_cant_show_whether_a_close_was_answered() -> None:
    session = new_session()
    session.request = session.response = None
    call = MadeUp(session=session)
    call.frame(1.0, JAMBONZ, CLOSE, NORMAL)

    report = call.end(1.1)

    assert rules_in(report) == []
    assert report.close["answered"] is None


def test_a_pong_after_a_close_is_allowed() -> None:
    call = MadeUp()
    call.frame(0.9, JAMBONZ, PING, b"")
    call.frame(1.0, APPLICATION, CLOSE, NORMAL)
    call.frame(1.1, APPLICATION, PONG, b"")
    call.frame(1.2, JAMBONZ, CLOSE, NORMAL)

    assert rules_in(call.end(1.3)) == ["ping-from-jambonz"]


def test_a_frame_after_a_close_is_told() -> None:
    call = MadeUp()
    call.frame(1.0, APPLICATION, CLOSE, NORMAL)
    call.frame(1.01, JAMBONZ, BINARY, bytes(320))
    call.frame(1.1, APPLICATION, BINARY, bytes(320))
    call.frame(1.2, JAMBONZ, CLOSE, NORMAL)

    report = call.end(1.3)

    (violation,) = [one for one in report.violations if one.rule == "frame-after-close"]
    assert violation.sender == "application"
    assert violation.at == pytest.approx(1.1)


def test_pings_are_counted_with_the_delay_of_their_pongs() -> None:
    call = MadeUp()
    for at in (1.0, 2.0, 3.0):
        call.frame(at, APPLICATION, PING, str(at).encode())
        call.frame(at + 0.05, JAMBONZ, PONG, str(at).encode())

    report = call.close(4.0)

    assert rules_in(report) == []
    assert report.pings["application"] == {
        "sent": 3,
        "answered": 3,
        "delay_ms": {"p50": 50.0, "p95": 50.0, "p99": 50.0, "max": 50.0},
    }


def test_a_late_pong_and_a_missing_one_are_told_of_the_side_that_owed_them() -> None:
    call = MadeUp()
    call.frame(1.0, APPLICATION, PING, b"a")
    call.frame(3.5, JAMBONZ, PONG, b"a")
    call.frame(4.0, APPLICATION, PING, b"b")

    report = call.close(10.0)

    assert [(one.rule, one.sender) for one in report.violations] == [
        ("pong-late", "jambonz"),
        ("pong-missing", "jambonz"),
    ]


def test_a_ping_shortly_before_the_end_needs_no_pong() -> None:
    call = MadeUp()
    call.frame(1.0, APPLICATION, PING, b"a")

    assert rules_in(call.close(2.0)) == []


def test_a_ping_of_jambonz_is_remarkable() -> None:
    call = MadeUp()
    call.frame(1.0, JAMBONZ, PING, b"a")
    call.frame(1.0, APPLICATION, PONG, b"a")

    assert rules_in(call.close(2.0)) == ["ping-from-jambonz"]


@pytest.mark.parametrize(("closed", "rules"), [(4.0, []), (30.0, ["shutdown-not-closed"])])
def test_a_shutdown_has_to_be_answered_by_a_close(closed: float, rules: list[str]) -> None:
    call = MadeUp()
    call.listen(0.0, 1.0)
    call.frame(1.0, JAMBONZ, BINARY, b"")

    report = call.close(closed, by=APPLICATION)

    assert rules_in(report) == ["shutdown-announced", *rules]


def without(*, control: bool = False, application: bool = False, unreadable: str = "") -> CapturedSession:
    session = new_session()
    session.without_control, session.without_application, session.unreadable = control, application, unreadable
    return session


@pytest.mark.parametrize("session", [without(control=True), without(unreadable="no secrets")], ids=["HAR", "TLS"])
def test_no_close_is_missed_where_none_can_be_seen(session: CapturedSession) -> None:
    call = MadeUp(session=session)
    call.frame(1.0, APPLICATION, PING, b"1")
    call.listen(1.0, 8.0)

    report = call.end(8.1, how="end of the recording")

    assert [rule for rule in rules_in(report) if rule != "audio-late-start"] == []
    assert report.close["answered"] is None


def test_no_answer_to_a_close_is_missed_where_the_application_cant_be_heard() -> None:
    call = MadeUp(session=without(application=True))
    call.frame(1.0, JAMBONZ, CLOSE, NORMAL)

    report = call.end(1.1)

    assert rules_in(report) == []


def test_a_close_that_may_be_what_is_missing_in_the_capture_is_not_missed() -> None:
    call = MadeUp()
    call.listen(0.0, 1.0)
    call.lose(1.01, JAMBONZ, 40)

    assert rules_in(call.end(1.1)) == ["capture-hole"]


def test_answers_that_may_be_missing_in_the_capture_are_not_missed() -> None:
    call = MadeUp()
    call.frame(0.5, APPLICATION, PING, b"1")
    call.lose(0.6, JAMBONZ, 40)
    call.listen(0.6, 8.0)
    call.frame(8.0, JAMBONZ, CLOSE, NORMAL)
    call.lose(8.05, APPLICATION, 4)

    report = call.end(8.1)

    assert set(rules_in(report)) <= {"capture-hole", "audio-late-start"}
