"""TLS that fails, between real ends in memory: what each is told."""

import ssl
import subprocess
from pathlib import Path

import pytest

from listenctl.net.tls_failures import failure_seen_by_client, failure_seen_by_server


@pytest.fixture(scope="module")
def expired(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate that was never valid, with its key."""
    folder = tmp_path_factory.mktemp("expired")
    key, request, pem = folder / "key", folder / "request", folder / "pem"
    make = ["openssl", "req", "-new", "-newkey", "rsa:2048", "-noenc", "-subj", "/CN=localhost", "-keyout", str(key)]
    subprocess.run([*make, "-out", request], check=True, capture_output=True)
    sign = ["openssl", "x509", "-req", "-in", str(request), "-key", str(key), "-days", "-1", "-out", str(pem)]
    subprocess.run(sign, check=True, capture_output=True)
    pem.write_bytes(pem.read_bytes() + key.read_bytes())
    return pem


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext, host: str) -> tuple[str, str]:
    """Return the texts of the client and of the server about a handshake; empty where it worked."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        (client.wrap_bio(to_client, to_server, server_hostname=host), failure_seen_by_client),
        (server.wrap_bio(to_server, to_client, server_side=True), failure_seen_by_server),
    ]
    texts = ["", ""]
    for _ in range(4):
        for index, (end, describe) in enumerate(ends):
            try:
                end.do_handshake()
                end.read(1)
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as exc:
                texts[index] = texts[index] or describe(exc)
    return texts[0], texts[1]


@pytest.mark.parametrize(
    ("name", "trusted", "host", "client_text", "server_text"),
    [
        ("certificate", True, "127.0.0.1", "", ""),
        (
            "certificate",
            False,
            "127.0.0.1",
            "its certificate isn't trusted: self-signed certificate; use --ca with its CA, or --insecure",
            "the client does not trust this server's certificate; give the client its CA",
        ),
        (
            "expired",
            True,
            "localhost",
            "its certificate isn't valid now: certificate has expired; renew it, check this clock, or use --insecure",
            "this server's certificate has expired, says the client; renew it",
        ),
        (
            "certificate",
            True,
            "example.org",
            "its certificate is for another name: Hostname mismatch, certificate is not valid for 'example.org'; "
            "use the name in the certificate, or --insecure",
            "the client rejects this server's certificate; check that it has the host name of the URL, and its chain",
        ),
    ],
    ids=["good", "unknown CA", "expired", "other name"],
)
def test_both_ends_say_what_is_wrong_with_a_certificate_and_what_to_do(
    name: str, trusted: bool, host: str, client_text: str, server_text: str, request: pytest.FixtureRequest
) -> None:
    pem: Path = request.getfixturevalue(name)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(pem)
    client = ssl.create_default_context(cafile=pem if trusted else None)

    assert shake_hands(client, server, host) == (client_text, server_text)


def test_ends_without_a_common_version_say_so(certificate: Path) -> None:
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(certificate)
    server.minimum_version = ssl.TLSVersion.TLSv1_3
    client = ssl.create_default_context(cafile=certificate)
    client.maximum_version = ssl.TLSVersion.TLSv1_2

    client_text, server_text = shake_hands(client, server, "127.0.0.1")

    assert client_text.endswith("; check which TLS versions the server supports")
    assert server_text == "client and server have no TLS version or cipher in common; update the older one"


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "the client speaks ws://, this port wss://"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "the client does not speak TLS; this port speaks wss://"),
    ],
)
def test_a_client_without_tls_is_told_apart(sent: bytes, text: str, certificate: Path) -> None:
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(certificate)
    received = ssl.MemoryBIO()
    received.write(sent)

    with pytest.raises(ssl.SSLError) as failed:
        server.wrap_bio(received, ssl.MemoryBIO(), server_side=True).do_handshake()

    assert failure_seen_by_server(failed.value) == text


def test_the_advice_names_the_options_and_schemes_that_apply() -> None:
    untrusted, plain = ssl.SSLCertVerificationError(), ssl.SSLError()
    untrusted.verify_code, untrusted.verify_message = 18, "self-signed certificate"
    plain.reason = "WRONG_VERSION_NUMBER"

    assert failure_seen_by_client(untrusted, option_prefix="--upstream-").endswith(
        "use --upstream-ca with its CA, or --upstream-insecure"
    )
    assert failure_seen_by_client(plain, schemes=("http://", "https://")).endswith("use http:// instead of https://")
