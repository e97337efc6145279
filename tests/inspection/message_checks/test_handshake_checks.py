"""Handshakes, and what a report contains of them."""

import pytest

from listenctl.capture.websocket.http_heads import HttpHead
from listenctl.inspection.message_checks.handshake_checks import check_handshake, describe_handshake
from tests.helpers.inspected import JAMBONZ, REQUEST, RESPONSE, MadeUp, new_session, rules_in

CREDENTIALS = b"authorization: Basic bGlzdGVuOnMzY3JldA==\r\n\r\n"


def rules_of(
    request: bytes | None = REQUEST, response: bytes | None = RESPONSE, server: str = "127.0.0.1:3000"
) -> list[str]:
    return [rule for rule, _, _ in check_handshake(new_session(request=request, response=response, server=server))]


@pytest.mark.parametrize(
    ("old", "new", "rules"),
    [
        (b"", b"", []),
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
    assert rules_of(response=RESPONSE.replace(old, new) if old else RESPONSE) == rules


def test_a_missing_response_is_a_violation_unless_the_capture_starts_later() -> None:
    assert rules_of(response=None) == ["handshake-unanswered"]
    assert rules_of(request=None) == []


def test_a_client_with_another_subprotocol_may_not_be_jambonz() -> None:
    request, response = (head.replace(b"audio.jambonz.org", b"chat") for head in (REQUEST, RESPONSE))

    assert rules_of(request, response) == ["subprotocol-unknown"]


@pytest.mark.parametrize(
    ("server", "rules"),
    [
        ("192.0.2.1:80", ["authorization-in-clear"]),
        ("[2001:db8::1]:80", ["authorization-in-clear"]),
        ("rec.example.com:80", ["authorization-in-clear"]),
        ("127.0.0.1:80", []),
        ("[::1]:80", []),
        ("localhost:80", []),
        ("", []),
    ],
)
def test_credentials_without_tls_are_a_violation_outside_of_this_machine(server: str, rules: list[str]) -> None:
    assert rules_of(REQUEST[:-2] + CREDENTIALS, server=server) == rules


def test_credentials_under_tls_are_no_violation() -> None:
    session = new_session(request=REQUEST[:-2] + CREDENTIALS, server="192.0.2.1:443")
    session.encrypted = True

    assert list(check_handshake(session)) == []


def test_another_authorization_scheme_is_a_violation() -> None:
    assert rules_of(REQUEST[:-2] + b"Authorization: Bearer x\r\n\r\n") == ["authorization-malformed"]


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
    session = new_session()
    session.request, session.response = HttpHead("GET /x HTTP/1.1", (), b""), HttpHead("HTTP/1.1 101 OK", (), b"")

    assert list(check_handshake(session)) == []
