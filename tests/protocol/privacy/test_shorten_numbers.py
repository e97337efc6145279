"""Phone numbers in what is logged, and other digits, which stay."""

import pytest

from listenctl.protocol.privacy.shorten_numbers import shorten_number, shorten_numbers


@pytest.mark.parametrize(
    ("number", "shortened"),
    [
        ("+15083084809", "+xxxxxxxx809"),
        ("491711234567", "xxxxxxxx4567"),
        ("+1 (508) 308-4809", "+x (xxx) xxx-x809"),
        ("1001", "xxx1"),
        ("112", "xx2"),
        ("15083084809@10.0.0.7", "xxxxxxxx809@10.0.0.7"),
        ("Alice, room 12", "Alice, room 12"),
        ("anonymous", "anonymous"),
        ("", ""),
    ],
)
def test_the_last_digits_of_a_number_stay_a_third_at_most(number: str, shortened: str) -> None:
    assert shorten_number(number) == shortened


def test_fields_with_numbers_are_shortened_wherever_they_are_and_others_are_not() -> None:
    metadata = {
        "callSid": "7f1c22a4-1111-4222-8333-444455556666",
        "callId": "123456789012@10.0.0.1",
        "from": "15083084809",
        "to": "+15084901000",
        "callerName": "Bob 15083084809",
        "callerId": 15083084809,
        "sipStatus": 200,
        "sampleRate": 16000,
        "originatingSipIp": "54.172.60.1",
        "fsSipAddress": "172.20.11.10:5060",
        "customerData": {"phoneNumber": "15085551212", "order": "4711471147", "call_back": "+15085551212"},
        "_sipHeaders": {
            "P-Asserted-Identity": "<sip:+15083084809@example.com:5060;user=phone>",
            "X-Called-Number": "15084901000",
            "X-Ref": "<tel:+1-508-308-4809>, sip:10.0.0.7:5060",
        },
        "list": [{"to": "15083084809"}],
    }

    assert shorten_numbers({"metadata": metadata, "ts": "2026-12-01T04:22:10.123Z"}) == {
        "ts": "2026-12-01T04:22:10.123Z",
        "metadata": metadata
        | {
            "from": "xxxxxxxx809",
            "to": "+xxxxxxxx000",
            "callerName": "Bob xxxxxxxx809",
            "callerId": "xxxxxxxx809",
            "customerData": {"phoneNumber": "xxxxxxxx212", "order": "4711471147", "call_back": "+xxxxxxxx212"},
            "_sipHeaders": {
                "P-Asserted-Identity": "<sip:+xxxxxxxx809@example.com:5060;user=phone>",
                "X-Called-Number": "xxxxxxxx000",
                "X-Ref": "<tel:+x-xxx-xxx-x809>, sip:10.0.0.7:5060",
            },
            "list": [{"to": "xxxxxxxx809"}],
        },
    }


@pytest.mark.parametrize(
    ("target", "shortened"),
    [
        ("/calls?from=15083084809&id=15083084809", "/calls?from=xxxxxxxx809&id=15083084809"),
        ("/calls?a=1&caller=%2B15083084809", "/calls?a=1&caller=%2Bxxxxxxxx809"),
        ("/calls/15083084809", "/calls/15083084809"),
        ("/+4917712345678/x", "/+xxxxxxxxx5678/x"),
        ("/calls/+4917712345678?a=1", "/calls/+xxxxxxxxx5678?a=1"),
        ("/calls/aGk/+1234567aGk=", "/calls/aGk/+1234567aGk="),
    ],
)
def test_parameters_of_a_query_are_fields_too(target: str, shortened: str) -> None:
    assert shorten_numbers(target, "target") == shortened


def test_nothing_that_a_peer_sends_takes_long() -> None:
    # A pattern that backtracks would not end.
    for text in ("1" * 100_000, "+" * 100_000, "sip:" * 50_000, "?&;=" * 50_000, "1-" * 50_000, "caller" * 20_000):
        shorten_numbers({text: text, "from": text})
