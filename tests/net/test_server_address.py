import ssl
from pathlib import Path

import pytest

from listenctl.errors import UsageError
from listenctl.net.server_address import client_tls_context, parse_credentials, read_credentials


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
