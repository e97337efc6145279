import ssl
from base64 import b64decode
from pathlib import Path

import pytest

from listenctl.errors import UsageError
from listenctl.net.call_target import basic_authorization, client_tls_context, parse_credentials, read_credentials
from listenctl.protocol.opening_handshake import Credentials


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
    assert "the part before it" in warning


def test_a_file_gives_credentials_on_its_first_line(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text("listen:s3:cret\r\nanything else\n")

    found = read_credentials(path)

    assert (found.username, found.password) == ("listen", "s3:cret")


@pytest.mark.parametrize("content", [b"listen s3cret\n", b"", b"a:\x1bs3cret\n", b"\xff:s3cret"])
def test_a_wrong_file_is_said_without_what_it_says(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_bytes(content)

    with pytest.raises(UsageError, match=r"/credentials: .*; write user:password") as caught:
        read_credentials(path)

    assert "s3cret" not in str(caught.value)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't read credentials: No such file or directory"):
        read_credentials(tmp_path / "none")


def test_a_variable_gives_credentials() -> None:
    found = parse_credentials("u:p", where="LISTENCTL_CREDENTIALS")

    assert (found.username, found.password) == ("u", "p")


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_ca_that_cannot_be_used_is_wrong_usage(content: str | None, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)

    with pytest.raises(UsageError, match=r"ca\.pem: can't be used as CA: .*; give a PEM file of certificates"):
        client_tls_context(path)


def test_certificates_are_verified_unless_told_otherwise() -> None:
    strict, lax = client_tls_context(), client_tls_context(insecure=True)

    assert (strict.verify_mode, strict.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert (lax.verify_mode, lax.check_hostname) == (ssl.CERT_NONE, False)
