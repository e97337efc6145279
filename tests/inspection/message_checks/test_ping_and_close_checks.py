from dataclasses import replace
from typing import Any

import pytest

from listenctl.capture.capture_events import CapturedSession
from listenctl.capture.packets.tcp_events import StreamEnding
from listenctl.protocol.listen_session import Sender
from tests.helpers.frames import BINARY, CLOSE, PING, PONG
from tests.helpers.inspected import APPLICATION, JAMBONZ, MadeUp, new_session, rules_in

NORMAL = b"\x03\xe8"

Frame = tuple[float, Sender, int, bytes]


def call_of(*frames: Frame, session: CapturedSession | None = None) -> MadeUp:
    call = MadeUp(session=session)
    for at, sender, opcode, payload in frames:
        call.frame(at, sender, opcode, payload)
    return call


def test_a_normal_close_is_no_violation() -> None:
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
def test_rules_of_close_codes(data: bytes, rule: str, severity: str) -> None:
    report = MadeUp().close(1.0, by=APPLICATION, data=data)

    assert [(one.rule, one.severity, one.sender) for one in report.violations] == [(rule, severity, "application")]


@pytest.mark.parametrize(
    ("how", "sender", "culprit"),
    [
        (StreamEnding.FIN, APPLICATION, "application"),
        (StreamEnding.RST, JAMBONZ, "jambonz"),
        (StreamEnding.FIN, None, "unknown"),
    ],
)
def test_a_connection_that_ends_without_a_close_frame_is_a_violation(
    how: StreamEnding, sender: Sender | None, culprit: str
) -> None:
    report = MadeUp().end(1.0, how=how, sender=sender)

    assert [(one.rule, one.sender) for one in report.violations] == [("close-missing", culprit)]
    assert report.close["by"] == (None if culprit == "unknown" else culprit)


def test_a_capture_that_ends_first_is_no_violation_of_a_peer() -> None:
    ended = MadeUp().end(1.0, how=StreamEnding.CAPTURE)
    stopped = MadeUp()
    stopped.listen(0.0, 1.0)
    report = stopped.inspector.finish_call()

    for one in (ended, report):
        assert [(violation.rule, violation.sender) for violation in one.violations] == [("capture-ends", "capture")]
    assert report.seconds == pytest.approx(1.0)


def test_an_unanswered_close_is_a_violation_of_the_other_side() -> None:
    report = call_of((1.0, JAMBONZ, CLOSE, NORMAL)).end(1.1)

    assert [(one.rule, one.sender) for one in report.violations] == [("close-unanswered", "application")]


@pytest.mark.parametrize(
    "session",
    [replace(new_session(), request=None, response=None), replace(new_session(), without_application=True)],
    ids=["no handshake", "no application"],
)
def test_an_answer_that_cannot_be_captured_is_not_missed(session: CapturedSession) -> None:
    report = call_of((1.0, JAMBONZ, CLOSE, NORMAL), session=session).end(1.1)

    assert rules_in(report) == []
    assert report.close["answered"] is None


@pytest.mark.parametrize("fields", [{"without_control": True}, {"unreadable": "no secrets"}], ids=str)
def test_control_frames_that_cannot_be_captured_are_not_missed(fields: dict[str, Any]) -> None:
    call = call_of((1.0, APPLICATION, PING, b"1"), session=replace(new_session(), **fields))
    call.listen(1.0, 8.0)

    report = call.end(8.1, how="end of the recording")

    assert [rule for rule in rules_in(report) if rule != "audio-late-start"] == []
    assert report.close["answered"] is None


def test_frames_that_are_missing_from_the_capture_may_be_what_is_missed() -> None:
    closed = MadeUp()
    closed.listen(0.0, 1.0)
    closed.lose(1.01, JAMBONZ, 40)
    unanswered = call_of((0.5, APPLICATION, PING, b"1"))
    unanswered.lose(0.6, JAMBONZ, 40)
    unanswered.listen(0.6, 8.0)
    unanswered.frame(8.0, JAMBONZ, CLOSE, NORMAL)
    unanswered.lose(8.05, APPLICATION, 4)

    assert rules_in(closed.end(1.1)) == ["capture-hole"]
    assert set(rules_in(unanswered.end(8.1))) <= {"capture-hole", "audio-late-start"}


def test_only_a_pong_may_follow_a_close_frame() -> None:
    call = call_of(
        (0.9, JAMBONZ, PING, b""),
        (1.0, APPLICATION, CLOSE, NORMAL),
        (1.01, JAMBONZ, BINARY, bytes(320)),
        (1.05, APPLICATION, PONG, b""),
        (1.1, APPLICATION, BINARY, bytes(320)),
        (1.2, JAMBONZ, CLOSE, NORMAL),
    )

    (violation,) = [one for one in call.end(1.3).violations if one.rule == "frame-after-close"]

    assert violation.sender == "application"
    assert violation.at == pytest.approx(1.1)


def test_pings_are_counted_with_the_delay_of_their_pongs() -> None:
    pings: list[Frame] = [(at, APPLICATION, PING, str(at).encode()) for at in (1.0, 2.0, 3.0)]
    pongs: list[Frame] = [(at + 0.05, JAMBONZ, PONG, payload) for at, _, _, payload in pings]

    report = call_of(*sorted([*pings, *pongs])).close(4.0)

    assert rules_in(report) == []
    delay = {"p50": 50.0, "p95": 50.0, "p99": 50.0, "max": 50.0}
    assert report.pings["application"] == {"sent": 3, "answered": 3, "delay_ms": delay}


@pytest.mark.parametrize(
    ("frames", "end", "violations"),
    [
        pytest.param(
            [(1.0, APPLICATION, PING, b"a"), (3.5, JAMBONZ, PONG, b"a"), (4.0, APPLICATION, PING, b"b")],
            10.0,
            [("pong-late", "jambonz"), ("pong-missing", "jambonz")],
            id="late and missing pongs",
        ),
        pytest.param([(1.0, APPLICATION, PING, b"a")], 2.0, [], id="a ping shortly before the end"),
        pytest.param(
            [(1.0, JAMBONZ, PING, b"a"), (1.0, APPLICATION, PONG, b"a")],
            2.0,
            [("ping-from-jambonz", "jambonz")],
            id="a ping of jambonz",
        ),
    ],
)
def test_rules_of_pings(frames: list[Frame], end: float, violations: list[tuple[str, str]]) -> None:
    report = call_of(*frames).close(end)

    assert [(one.rule, str(one.sender)) for one in report.violations] == violations


@pytest.mark.parametrize(("closed", "rules"), [(4.0, []), (30.0, ["shutdown-not-closed"])])
def test_the_application_must_close_after_a_shutdown(closed: float, rules: list[str]) -> None:
    call = MadeUp()
    call.listen(0.0, 1.0)
    call.frame(1.0, JAMBONZ, BINARY, b"")

    report = call.close(closed, by=APPLICATION)

    assert rules_in(report) == ["shutdown-announced", *rules]
