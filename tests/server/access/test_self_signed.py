import hashlib
import socket
import ssl
import sys
import time
from pathlib import Path

import pytest
from cryptography import x509

from listenctl.errors import UsageError
from listenctl.server.access.self_signed import (
    RENEW_DAYS,
    VALID_DAYS,
    SelfSigned,
    own_names,
    prepare_self_signed,
    state_folder,
)
from listenctl.server.access.server_tls import load_context
from tests.helpers.frames import HANDSHAKE
from tests.helpers.server import STARTED_AT, faster, mode_of, running

DAY = 24 * 3600
NAMES = ("localhost", "laptop.example", "127.0.0.1", "::1")


def names_in(made: SelfSigned) -> set[str]:
    certificate = x509.load_pem_x509_certificate(made.certificate.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(names.get_values_for_type(x509.DNSName)) | set(map(str, names.get_values_for_type(x509.IPAddress)))


def test_the_key_is_for_us_alone_and_not_in_the_file_for_clients(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "listenctl"

    made = prepare_self_signed(folder, NAMES, STARTED_AT)

    assert mode_of(folder) == 0o700
    assert mode_of(made.pair) == 0o600
    assert b"PRIVATE KEY" in made.pair.read_bytes()
    assert b"PRIVATE KEY" not in made.certificate.read_bytes()
    assert names_in(made) == set(NAMES)
    certificate = ssl.PEM_cert_to_DER_cert(made.certificate.read_text())
    assert made.fingerprint == hashlib.sha256(certificate).digest().hex(":").upper()


def test_it_is_kept_until_it_expires_soon_or_lacks_a_name(tmp_path: Path) -> None:
    made = prepare_self_signed(tmp_path, NAMES, STARTED_AT)
    last = STARTED_AT + (VALID_DAYS - RENEW_DAYS) * DAY - 1

    assert prepare_self_signed(tmp_path, NAMES[1:], last) == made
    assert prepare_self_signed(tmp_path, NAMES, last + 2) != made
    assert names_in(prepare_self_signed(tmp_path, (*NAMES, "192.0.2.1"), last)) == {*NAMES, "192.0.2.1"}


@pytest.mark.parametrize("content", ["", "-----BEGIN CERTIFICATE-----\nrubbish\n-----END CERTIFICATE-----\n"])
def test_a_broken_file_is_replaced(content: str, tmp_path: Path) -> None:
    (tmp_path / "self-signed.pem").write_text(content)

    load_context(prepare_self_signed(tmp_path, NAMES, STARTED_AT).pair, None)


@pytest.mark.parametrize("strict", [False, True])
async def test_clients_that_trust_it_call_by_name_and_address(strict: bool, tmp_path: Path) -> None:
    made = prepare_self_signed(tmp_path, own_names("127.0.0.1"), time.time())
    trusting = ssl.create_default_context(cafile=made.certificate)
    if strict:  # as from Python 3.13 on
        trusting.verify_flags |= ssl.VERIFY_X509_STRICT
    async with running(faster(tls=load_context(made.pair, None))) as run:
        peer = await run.open(HANDSHAKE, tls=trusting)
        assert (await peer.read_head()).startswith(b"HTTP/1.1 101 ")


def test_the_names_of_a_server_are_those_of_its_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "laptop")

    assert {"localhost", "laptop", "127.0.0.1", "::1"} <= set(own_names("0.0.0.0"))
    assert "192.0.2.77" in own_names("192.0.2.77")
    assert "0.0.0.0" not in own_names("0.0.0.0")
    monkeypatch.setattr(socket, "gethostname", lambda: "läptop")
    assert "läptop" not in own_names("::")


def test_without_the_library_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.hashes", None)

    with pytest.raises(UsageError, match="needs the package cryptography: pip install cryptography, or give --cert"):
        prepare_self_signed(tmp_path, NAMES, STARTED_AT)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(UsageError, match=r"self-signed.pem: can't keep the certificate of --self-signed: Not a dir"):
        prepare_self_signed(tmp_path / "file" / "listenctl", NAMES, STARTED_AT)


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"HOME": "/home/a"}, "/home/a/.local/state/listenctl"),
        ({"HOME": "/home/a", "XDG_STATE_HOME": "/state"}, "/state/listenctl"),
        ({"HOME": "/home/a", "XDG_STATE_HOME": "state"}, "/home/a/.local/state/listenctl"),
    ],
)
def test_it_is_kept_where_programs_keep_their_state(environ: dict[str, str], folder: str) -> None:
    assert state_folder(environ) == Path(folder)
