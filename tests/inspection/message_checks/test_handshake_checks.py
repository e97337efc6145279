from dataclasses import replace

import pytest

from listenctl.capture.capture_events import SessionClosed
from listenctl.capture.packets.tcp_events import StreamEnding
from listenctl.capture.websocket.http_heads import HttpHead
from listenctl.inspection.message_checks.handshake_checks import check_handshake, describe_handshake
from listenctl.protocol.listen_session import Sender
from tests.helpers.inspected import APPLICATION, BEGAN, JAMBONZ, REQUEST, RESPONSE, MadeUp, new_session, rules_in

CREDENTIALS = b"authorization: Basic bGlzdGVuOnMzY3JldA==\r\n\r\n"


def rules_of(request: bytes | None, response: bytes | None) -> list[str]:
    return [rule for rule, _, _ in check_handshake(new_session(request=request, response=response))]


@pytest.mark.parametrize(
    ("old", "new", "rules"),
    [
        (b"HTTP", b"HTTP", []),
        (b"101 Switching Protocols", b"401 Unauthorized", ["handshake-refused"]),
        (b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", b"AAAAAAAAAAAAAAAAAAAAAAAAAAA=", ["accept-wrong"]),
        (b"audio.jambonz.org", b"audio.drachtio.org", ["subprotocol-other"]),
        (b"audio.jambonz.org", b"audio.jambonz.org, x", ["subprotocol-other"]),
        (b"Sec-WebSocket-Protocol: audio.jambonz.org\r\n", b"", ["subprotocol-missing"]),
        (
            b"Sec-WebSocket-Protocol",
            b"Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Protocol",
            ["extension-unasked"],
        ),
    ],
)
def test_rules_of_the_response(old: bytes, new: bytes, rules: list[str]) -> None:
    assert rules_of(REQUEST, RESPONSE.replace(old, new)) == rules


@pytest.mark.parametrize(
    ("request_", "response", "rules"),
    [
        # The capture starts later.
        (None, RESPONSE, []),
        # The client may not be jambonz.
        (*(head.replace(b"audio.jambonz.org", b"chat") for head in (REQUEST, RESPONSE)), ["subprotocol-unknown"]),
        (REQUEST[:-2] + b"Authorization: Bearer x\r\n\r\n", RESPONSE, ["authorization-malformed"]),
    ],
    ids=["no request", "another subprotocol", "another scheme of authorization"],
)
def test_rules_of_both_heads(request_: bytes | None, response: bytes | None, rules: list[str]) -> None:
    assert rules_of(request_, response) == rules


@pytest.mark.parametrize(
    ("waited", "ends", "found"),
    [
        # The capture stops while the server may still answer.
        (0.017, [(None, StreamEnding.CAPTURE)], None),
        (9.0, [(JAMBONZ, StreamEnding.CAPTURE), (None, StreamEnding.CAPTURE)], None),
        (0.5, [(JAMBONZ, StreamEnding.RESET_BY_RECEIVER), (None, StreamEnding.CAPTURE)], None),
        (10.4, [(JAMBONZ, StreamEnding.FIN)], ("error", "application")),
        (12.0, [(None, StreamEnding.CAPTURE)], ("error", "application")),
        (0.1, [(APPLICATION, StreamEnding.RST)], ("error", "application")),
        # A caller who hangs up at once ends the connection, too.
        (0.1, [(JAMBONZ, StreamEnding.FIN)], ("info", "jambonz")),
    ],
)
def test_a_missing_answer_is_the_fault_of_who_could_have_answered(
    waited: float, ends: list[tuple[Sender | None, StreamEnding]], found: tuple[str, str] | None
) -> None:
    call = MadeUp(session=new_session(response=None), metadata=None)
    *earlier, (sender, how) = ends
    for other, before in earlier:
        call.inspector.feed_event(SessionClosed(BEGAN + waited, call.session, other, before))

    report = call.end(waited, how=how, sender=sender)

    violations = [one for one in report.violations if one.rule == "handshake-unanswered"]
    assert [(one.severity, one.sender) for one in violations] == ([found] if found else [])


def test_a_call_whose_answer_is_missing_from_the_capture_was_answered() -> None:
    call = MadeUp(session=new_session(response=None))
    call.listen(0.0, 1.0)

    assert "handshake-unanswered" not in rules_in(call.close(12.0))


@pytest.mark.parametrize(
    ("server", "encrypted", "rules"),
    [
        ("192.0.2.1:80", False, ["authorization-in-clear"]),
        ("[2001:db8::1]:80", False, ["authorization-in-clear"]),
        ("rec.example.com:80", False, ["authorization-in-clear"]),
        ("192.0.2.1:443", True, []),
        ("127.0.0.1:80", False, []),
        ("[::1]:80", False, []),
        ("localhost:80", False, []),
        ("", False, []),
    ],
)
def test_credentials_without_tls_are_a_violation_outside_of_this_machine(
    server: str, encrypted: bool, rules: list[str]
) -> None:
    session = new_session(request=REQUEST[:-2] + CREDENTIALS, server=server)

    assert [rule for rule, _, _ in check_handshake(replace(session, encrypted=encrypted))] == rules


def test_a_report_has_the_scheme_and_not_the_credentials() -> None:
    described = describe_handshake(new_session(request=REQUEST[:-2] + CREDENTIALS))

    assert described == {
        "status": 101,
        "subprotocol_offered": "audio.jambonz.org",
        "subprotocol": "audio.jambonz.org",
        "extensions": None,
        "host": "h",
        "user_agent": None,
        "authorization": "Basic",
    }


def test_a_refused_call_is_reported() -> None:
    session = new_session(response=b"HTTP/1.1 403 Forbidden\r\n\r\n")

    report = MadeUp(session=session, metadata=None).end(0.1, sender=JAMBONZ)

    assert describe_handshake(session)["status"] == 403
    assert "handshake-refused" in rules_in(report)
    assert report.metadata is None


def test_headers_that_a_har_omits_are_not_missed() -> None:
    request, response = HttpHead("GET /x HTTP/1.1", (), b""), HttpHead("HTTP/1.1 101 OK", (), b"")

    assert list(check_handshake(replace(new_session(), request=request, response=response))) == []
