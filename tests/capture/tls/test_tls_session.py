import random
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.ciphers import aead

from listenctl.capture.tls.key_log import KeyLog
from listenctl.capture.tls.record_ciphers import check_ciphers
from listenctl.capture.tls.tls_events import DecryptedData, TlsAlert, TlsNegotiated, TlsNotice, TlsParty, TlsProblem
from listenctl.capture.tls.tls_session import TlsSession
from listenctl.errors import ListenctlError
from tests.helpers.tls_wire import (
    NO_ENCRYPT_THEN_MAC,
    Flight,
    TlsTalk,
    client_context,
    heard,
    read,
    server_context,
    talk,
)

TLS12 = ssl.TLSVersion.TLSv1_2
TLS13 = ssl.TLSVersion.TLSv1_3

SPOKEN: list[Flight] = [
    (TlsParty.CLIENT, b"GET / HTTP/1.1\r\n\r\n"),
    (TlsParty.SERVER, b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
    (TlsParty.CLIENT, random.Random(1).randbytes(50_000)),
    (TlsParty.SERVER, b"x"),
    (TlsParty.CLIENT, b"bye"),
]
ECDSA_CIPHERS = {
    "ECDHE-ECDSA-AES128-GCM-SHA256": "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384": "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305": "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "ECDHE-ECDSA-AES128-CCM": "TLS_ECDHE_ECDSA_WITH_AES_128_CCM",
    "ECDHE-ECDSA-AES256-CCM8": "TLS_ECDHE_ECDSA_WITH_AES_256_CCM_8",
    "ECDHE-ECDSA-AES128-SHA": "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "ECDHE-ECDSA-AES256-SHA": "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "ECDHE-ECDSA-AES128-SHA256": "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "ECDHE-ECDSA-AES256-SHA384": "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384",
}


@pytest.fixture(scope="module")
def server(certificate: Path) -> ssl.SSLContext:
    return server_context(certificate)


def spoken_by(client: ssl.SSLContext, server: ssl.SSLContext, folder: Path) -> TlsTalk:
    session = talk(client, server, folder)
    session.shake()
    for party, data in SPOKEN:
        session.say(party, data)
    session.close()
    return session


def by_party(flights: list[Flight]) -> dict[TlsParty, bytes]:
    return {party: b"".join(data for sender, data in flights if sender is party) for party in TlsParty}


@pytest.fixture(params=[TLS12, TLS13], ids=["1.2", "1.3"])
def session(request: pytest.FixtureRequest, server: ssl.SSLContext, tmp_path: Path) -> TlsTalk:
    return spoken_by(client_context(request.param), server, tmp_path)


@pytest.mark.parametrize("options", [0, NO_ENCRYPT_THEN_MAC], ids=["", "mac-then-encrypt"])
@pytest.mark.parametrize("cipher", ECDSA_CIPHERS)
def test_tls_1_2_is_decrypted(cipher: str, options: int, server: ssl.SSLContext, tmp_path: Path) -> None:
    client = client_context(TLS12, f"{cipher}:@SECLEVEL=0")
    client.options |= options

    session = spoken_by(client, server, tmp_path)
    events = read(session.flights, session.keylog)

    assert heard(events) == SPOKEN
    assert TlsNegotiated(1.0, "TLS 1.2", ECDSA_CIPHERS[cipher], "listen.example", "") in events


def test_tls_1_2_without_forward_secrecy_is_decrypted(tmp_path: Path) -> None:
    pair = tmp_path / "rsa.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-noenc", "-subj", "/CN=localhost"]
    subprocess.run([*make, "-keyout", pair, "-out", tmp_path / "rsa.crt"], check=True, capture_output=True)
    pair.write_bytes(pair.read_bytes() + (tmp_path / "rsa.crt").read_bytes())

    session = spoken_by(client_context(TLS12, "AES128-SHA"), server_context(pair), tmp_path)
    events = read(session.flights, session.keylog)

    assert heard(events) == SPOKEN
    assert events[0] == TlsNegotiated(1.0, "TLS 1.2", "TLS_RSA_WITH_AES_128_CBC_SHA", "listen.example", "")


def test_tls_1_3_is_decrypted(server: ssl.SSLContext, tmp_path: Path) -> None:
    session = spoken_by(client_context(TLS13), server, tmp_path)

    events = read(session.flights, session.keylog)

    assert heard(events) == SPOKEN
    assert events[0] == TlsNegotiated(1.0, "TLS 1.3", "TLS_AES_256_GCM_SHA384", "listen.example", "")


@pytest.mark.parametrize("cut", [1, 3, 7, 1448])
def test_it_does_not_matter_in_what_pieces_a_session_comes(cut: int, session: TlsTalk) -> None:
    assert read(session.flights, session.keylog, cut=cut) == read(session.flights, session.keylog)


def test_a_record_has_the_time_of_its_last_byte(session: TlsTalk) -> None:
    decryptor = TlsSession(session.keylog)
    for party, data in session.flights[:-1]:
        (decryptor.client if party is TlsParty.CLIENT else decryptor.server)(data[:-1], 1.0)
        (decryptor.client if party is TlsParty.CLIENT else decryptor.server)(data[-1:], 2.0)

    party, data = session.flights[-1]
    decryptor.server(data[:-1], 3.0)

    assert decryptor.server(data[-1:], 4.0) == [TlsAlert(4.0, party, "close_notify", fatal=False)]


def test_both_sides_close_in_good_order(session: TlsTalk) -> None:
    events = read(session.flights, session.keylog)

    alerts = [event for event in events if isinstance(event, TlsAlert)]
    assert [(alert.party, alert.name, alert.fatal) for alert in alerts] == [
        (TlsParty.CLIENT, "close_notify", False),
        (TlsParty.SERVER, "close_notify", False),
    ]


@pytest.mark.parametrize("version", [TLS12, TLS13])
def test_the_protocol_is_told_that_both_sides_agreed_on(
    version: ssl.TLSVersion, certificate: Path, tmp_path: Path
) -> None:
    client, server = client_context(version), server_context(certificate)
    client.set_alpn_protocols(["h2", "http/1.1"])
    server.set_alpn_protocols(["http/1.1"])

    session = spoken_by(client, server, tmp_path)

    agreed = read(session.flights, session.keylog)[0]
    assert isinstance(agreed, TlsNegotiated)
    assert agreed.alpn == "http/1.1"


@pytest.mark.parametrize("version", [TLS12, TLS13])
def test_a_resumed_session_is_decrypted(version: ssl.TLSVersion, server: ssl.SSLContext, tmp_path: Path) -> None:
    client = client_context(version)
    first = spoken_by(client, server, tmp_path)

    second = talk(client, server, tmp_path, session=first.client.session)
    second.shake()
    second.say(TlsParty.CLIENT, b"again")
    second.say(TlsParty.SERVER, b"welcome")

    assert second.client.session_reused
    assert heard(read(second.flights, second.keylog)) == [(TlsParty.CLIENT, b"again"), (TlsParty.SERVER, b"welcome")]


def test_a_hello_retry_request_is_no_server_hello(certificate: Path, tmp_path: Path) -> None:
    # Clients offer a key for X25519 first.
    server = server_context(certificate)
    server.set_ecdh_curve("secp384r1")

    session = spoken_by(client_context(TLS13), server, tmp_path)

    assert len([1 for party, _ in session.flights if party is TlsParty.CLIENT]) > 3
    assert heard(read(session.flights, session.keylog)) == SPOKEN


def test_an_untrusted_certificate_shows_as_the_clients_alert(server: ssl.SSLContext, tmp_path: Path) -> None:
    client = client_context(TLS13)
    client.verify_mode = ssl.CERT_REQUIRED
    session = talk(client, server, tmp_path)

    with pytest.raises(ssl.SSLCertVerificationError):
        session.shake()

    events = read(session.flights, session.keylog)
    assert TlsAlert(2.0, TlsParty.CLIENT, "unknown_ca", fatal=True) in events


def test_versions_that_have_nothing_in_common_show_as_an_alert(certificate: Path, tmp_path: Path) -> None:
    server = server_context(certificate)
    server.minimum_version = TLS13
    session = talk(client_context(TLS12), server, tmp_path)

    with pytest.raises(ssl.SSLError):
        session.shake()

    assert read(session.flights, KeyLog()) == [TlsAlert(1.0, TlsParty.SERVER, "protocol_version", fatal=True)]


def test_without_secrets_it_is_told_what_is_encrypted_and_how_to_get_them(session: TlsTalk) -> None:
    agreed, notice = read(session.flights, KeyLog())

    assert isinstance(agreed, TlsNegotiated)
    assert isinstance(notice, TlsNotice)
    assert notice.problem is TlsProblem.NO_SECRETS
    assert f"({agreed.version} to listen.example)" in notice.text
    assert "there is no key log" in notice.text
    assert "SSLKEYLOGFILE" in notice.text


def test_the_secrets_of_another_session_are_no_help(session: TlsTalk) -> None:
    other = KeyLog(f"CLIENT_RANDOM {'00' * 32} {'00' * 48}")

    notice = read(session.flights, other)[-1]

    assert isinstance(notice, TlsNotice)
    assert "none of the 1 secrets at hand is for it" in notice.text


def test_wrong_secrets_are_told_from_none(session: TlsTalk) -> None:
    wrong = KeyLog("\n".join(line[:-4] + "0000" for line in session.keylog_file.read_text().splitlines()))

    events = read(session.flights, wrong)

    assert heard(events) == []
    notices = [event for event in events if isinstance(event, TlsNotice)]
    assert {notice.problem for notice in notices} == {TlsProblem.WRONG_SECRETS}


@pytest.mark.parametrize("left_out", ["CLIENT_TRAFFIC", "SERVER_TRAFFIC", "CLIENT_HANDSHAKE", "SERVER_HANDSHAKE"])
def test_what_the_secrets_at_hand_allow_is_decrypted(left_out: str, server: ssl.SSLContext, tmp_path: Path) -> None:
    session = spoken_by(client_context(TLS13), server, tmp_path)
    lines = session.keylog_file.read_text().splitlines()
    some = KeyLog("\n".join(line for line in lines if left_out not in line))

    events = read(session.flights, some)

    decrypted = {event.party for event in events if isinstance(event, DecryptedData)}
    notices = [event for event in events if isinstance(event, TlsNotice)]
    if "TRAFFIC" in left_out:
        missing = TlsParty(left_out.partition("_")[0].lower())
        assert decrypted == set(TlsParty) - {missing}
        assert [notice.text.partition(";")[0] for notice in notices] == [
            f"this session is encrypted (TLS 1.3 to listen.example) and none of the 3 secrets at hand is for what the "
            f"{missing} sent"
        ]
    else:
        assert heard(events) == SPOKEN
        assert notices == []


def test_secrets_that_come_late_are_used(session: TlsTalk) -> None:
    keylog = KeyLog()
    decryptor = TlsSession(keylog)
    events = []

    for at, (party, data) in enumerate(session.flights):
        if at == 5:
            keylog.add(session.keylog_file.read_text())
        events += (decryptor.client if party is TlsParty.CLIENT else decryptor.server)(data, float(at))
    events += decryptor.finish(99.0)

    assert by_party(heard(events)) == by_party(SPOKEN)


def test_a_capture_that_begins_in_the_middle_says_so(session: TlsTalk) -> None:
    events = read(session.flights[4:], session.keylog)

    (notice,) = events
    assert isinstance(notice, TlsNotice)
    assert notice.problem is TlsProblem.START_MISSING
    assert "the capture lacks its ClientHello" in notice.text


def test_without_the_ciphers_it_is_told_how_to_get_them(session: TlsTalk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)

    agreed, notice = read(session.flights, session.keylog)

    assert isinstance(agreed, TlsNegotiated)
    assert isinstance(notice, TlsNotice)
    assert notice.problem is TlsProblem.NO_CIPHERS
    assert "pip install 'listenctl[tls]'" in notice.text
    with pytest.raises(ListenctlError, match="cryptography"):
        check_ciphers()


def test_a_library_that_lacks_one_cipher_costs_this_session_only(
    session: TlsTalk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(key: bytes) -> None:
        raise UnsupportedAlgorithm("not in this build")

    monkeypatch.setattr(aead, "AESGCM", lacking)

    notice = read(session.flights, session.keylog)[-1]

    assert isinstance(notice, TlsNotice)
    assert notice.problem is TlsProblem.NO_CIPHERS
    assert "AES_256_GCM_SHA384 can't be decrypted" in notice.text


def test_what_waits_for_secrets_is_bounded(session: TlsTalk) -> None:
    decryptor = TlsSession(KeyLog())
    for party, data in session.flights[:3]:
        (decryptor.client if party is TlsParty.CLIENT else decryptor.server)(data, 0.0)
    events = []

    for at in range(1000):
        events += decryptor.client(b"\x17\x03\x03\x00\x20" + bytes(32), float(at))

    assert [event.problem for event in events if isinstance(event, TlsNotice)] == [TlsProblem.NO_SECRETS]
    assert not decryptor._client.holding
    assert decryptor.finish(0.0) == []


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1 is deprecated")
def test_an_old_version_is_named(certificate: Path, tmp_path: Path) -> None:
    server = server_context(certificate)
    server.minimum_version = ssl.TLSVersion.TLSv1
    client = client_context(TLS12, "ALL:@SECLEVEL=0")
    client.minimum_version = client.maximum_version = ssl.TLSVersion.TLSv1
    session = spoken_by(client, server, tmp_path)

    agreed, notice = read(session.flights, session.keylog)

    assert isinstance(agreed, TlsNegotiated)
    assert agreed.version == "TLS 1.0"
    assert notice == TlsNotice(1.0, TlsProblem.UNSUPPORTED, "TLS 1.0 can't be decrypted here")


def test_a_cipher_that_is_none_of_ours_is_named(server: ssl.SSLContext, tmp_path: Path) -> None:
    session = spoken_by(client_context(TLS12, "ECDHE-ECDSA-CAMELLIA128-SHA256"), server, tmp_path)

    notice = read(session.flights, session.keylog)[-1]

    assert notice == TlsNotice(1.0, TlsProblem.UNSUPPORTED, "cipher suite 0xC072 can't be decrypted here")
