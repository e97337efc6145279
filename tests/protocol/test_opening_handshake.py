from base64 import b64decode

import pytest

from listenctl.protocol.opening_handshake import Credentials, basic_authorization


def test_credentials_are_sent_as_in_the_vector() -> None:
    assert basic_authorization(Credentials("listen", "s3cret")) == ("Basic bGlzdGVuOnMzY3JldA==", None)


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


@pytest.mark.parametrize("credentials", [Credentials("", "p"), Credentials("u", "")])
def test_half_of_the_credentials_sends_nothing(credentials: Credentials) -> None:
    value, warning = basic_authorization(credentials)

    assert value is None
    assert warning == "jambonz sends no authorization without both user name and password"


def test_no_credentials_are_no_reason_to_warn() -> None:
    assert basic_authorization(None) == (None, None)


def test_a_colon_in_the_user_name_is_warned_of() -> None:
    value, warning = basic_authorization(Credentials("a:b", "c"))

    assert value == "Basic YTpiOmM="
    assert warning is not None
    assert "splits at that colon" in warning
