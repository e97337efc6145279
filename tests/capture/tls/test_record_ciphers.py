"""Key derivation against published values, and cipher suites against OpenSSL's list."""

import subprocess

from listenctl.capture.tls.cipher_suites import _IN_TLS12, _IN_TLS13, CipherSuite, find_suite, suite_name
from listenctl.capture.tls.record_ciphers import DirectionKeys, Tls13Decryptor, derive_tls13_keys, next_secret, prf
from listenctl.capture.tls.tls_records import HANDSHAKE, TlsRecord

# RFC 8448 3, "server: derive write traffic keys for handshake data" and "{server} send handshake record".
SERVER_HANDSHAKE = bytes.fromhex("b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38")
# "{server} derive write traffic keys for application data".
SERVER_TRAFFIC = bytes.fromhex("a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643")
# "{server} send application_data record" (50 bytes, 00 to 31).
APPLICATION_RECORD = bytes.fromhex(
    "1703030043"
    "2e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf97d90e6dffc602dcb501a59a8fcc49c4bf2"
    "e5f0a21c0047c2abf332540dd032e167c2955d"
)


def tls13_suite(code: int) -> CipherSuite:
    suite = find_suite(code, tls13=True)
    assert suite is not None
    return suite


def test_the_keys_of_tls_1_3_are_those_of_the_rfc() -> None:
    suite = tls13_suite(0x1301)

    assert derive_tls13_keys(suite, SERVER_HANDSHAKE) == DirectionKeys(
        bytes.fromhex("3fce516009c21727d0f2e4e86ee403bc"), bytes.fromhex("5d313eb2671276ee13000b30")
    )
    assert derive_tls13_keys(suite, SERVER_TRAFFIC) == DirectionKeys(
        bytes.fromhex("9f02283b6c9c07efc26bb9f2ac92e356"), bytes.fromhex("cf782b88dd83549aadf1e984")
    )


def test_a_record_of_the_rfc_is_opened() -> None:
    suite = tls13_suite(0x1301)
    record = TlsRecord(0.0, 0, APPLICATION_RECORD[:5], APPLICATION_RECORD[5:])

    # The first record of these keys is a NewSessionTicket.
    assert Tls13Decryptor(suite, SERVER_TRAFFIC).decrypt_record(record, 1) == (23, bytes(range(50)))
    assert Tls13Decryptor(suite, SERVER_TRAFFIC).decrypt_record(record, 0) is None


def test_a_key_update_keeps_the_size_of_the_secret() -> None:
    assert len(next_secret(tls13_suite(0x1302), bytes(48))) == 48


def test_the_prf_of_tls_1_2_is_that_of_the_published_vector() -> None:
    # https://mailarchive.ietf.org/arch/msg/tls/fzVCzk-z3FShgGJ6DOXqM1ydxms
    secret = bytes.fromhex("9bbe436ba940f017b17652849a71db35")
    seed = b"test label" + bytes.fromhex("a0ba9f936cda311827a6f796ffd5198c")

    assert prf("sha256", secret, seed, 100) == bytes.fromhex(
        "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a"
        "6b301791e90d35c9c9a46b4e14baf9af0fa022f7077def17abfd3797c0564bab"
        "4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff701"
        "87347b66"
    )


def test_the_suites_have_the_numbers_and_names_that_openssl_knows() -> None:
    listing = subprocess.run(
        ["openssl", "ciphers", "-V", "-stdname", "ALL:COMPLEMENTOFALL:@SECLEVEL=0"],
        capture_output=True,
        text=True,
        check=True,
    )
    known = {}
    for line in listing.stdout.splitlines():
        number, _, name, *_ = line.split()
        first, second = (int(part, 16) for part in number.split(","))
        known[first << 8 | second] = name

    ours = _IN_TLS12 | {code: name for code, name in _IN_TLS13.items() if code in known}
    assert ours == {code: known.get(code) for code in ours}


def test_every_suite_is_described() -> None:
    for code in _IN_TLS12:
        suite = find_suite(code, tls13=False)
        assert suite is not None
        assert (
            suite.key_bytes == (32 if "256_" in suite.name.partition("_WITH_")[2][:8] else 16) or "CHACHA" in suite.name
        )
        assert bool(suite.tag_bytes) != bool(suite.mac_bytes)
        assert find_suite(code, tls13=True) is None


def test_an_unknown_suite_is_reported_by_its_number() -> None:
    assert find_suite(0x000A, tls13=False) is None
    assert suite_name(0x000A) == "cipher suite 0x000A"


def test_a_record_of_another_type_is_never_opened_in_tls_1_3() -> None:
    suite = tls13_suite(0x1301)
    record = TlsRecord(0.0, 0, bytes([HANDSHAKE]) + APPLICATION_RECORD[1:5], APPLICATION_RECORD[5:])

    assert Tls13Decryptor(suite, SERVER_TRAFFIC).decrypt_record(record, 1) is None
