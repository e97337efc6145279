from base64 import b64decode

import pytest

from listenctl.protocol.opening_handshake import Credentials, basic_authorization


@pytest.mark.parametrize(
    ("size", "sent", "warning"),
    [
        (88, 84, None),
        (89, 85, None),
        (90, 85, "jambonz cuts off the last one of the password"),
        (91, None, "have 91 characters; above 90 jambonz silently sends no authorization"),
        (100, None, "have 100 characters"),
    ],
)
def test_long_credentials_meet_the_limit_of_jambonz(size: int, sent: int | None, warning: str | None) -> None:
    password = ("0123456789" * 10)[: size - 4]

    value, told = basic_authorization(Credentials("user", password))

    assert (value is None) == (sent is None)
    if value is not None and sent is not None:
        assert b64decode(value.removeprefix("Basic ")) == f"user:{password[:sent]}".encode()
    assert (told is None) == (warning is None)
    assert (warning or "") in (told or "")


@pytest.mark.parametrize(
    ("credentials", "sent", "warning"),
    [
        (Credentials("listen", "s3cret"), "Basic bGlzdGVuOnMzY3JldA==", ""),
        (Credentials("a:b", "c"), "Basic YTpiOmM=", "splits at that colon"),
        (Credentials("", "p"), None, "jambonz sends no authorization without both user name and password"),
        (Credentials("u", ""), None, "jambonz sends no authorization without both user name and password"),
        (None, None, ""),
    ],
)
def test_what_jambonz_cannot_send_is_warned_of(credentials: Credentials | None, sent: str | None, warning: str) -> None:
    value, told = basic_authorization(credentials)

    assert (value, told is None) == (sent, not warning)
    assert warning in (told or "")
