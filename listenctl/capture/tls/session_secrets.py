"""The decryptors of a session, from its two hellos and a key log."""

from dataclasses import dataclass

from listenctl.capture.tls.cipher_suites import CipherSuite, find_suite, suite_name
from listenctl.capture.tls.key_log import KeyLog, SecretLabel
from listenctl.capture.tls.record_ciphers import (
    RecordDecryptor,
    Tls13Decryptor,
    check_ciphers,
    derive_tls12_keys,
    tls12_decryptor,
)
from listenctl.capture.tls.tls_direction import TlsDirection
from listenctl.capture.tls.tls_events import TlsParty
from listenctl.capture.tls.tls_handshake import TLS12, TLS13, ClientHello, ServerHello, version_name

HOW_TO_GET_SECRETS = (
    "secrets are written while the call is made: SSLKEYLOGFILE=FILE in the environment of listenctl call, curl or "
    "Python, or node --tls-keylog=FILE; then --keylog FILE"
)
"""Advice for users without secrets."""

_HASH_BYTES = {"sha256": 32, "sha384": 48}
_LABELS = {
    TlsParty.CLIENT: (SecretLabel.CLIENT_HANDSHAKE, SecretLabel.CLIENT_TRAFFIC),
    TlsParty.SERVER: (SecretLabel.SERVER_HANDSHAKE, SecretLabel.SERVER_TRAFFIC),
}


@dataclass(frozen=True, slots=True)
class NegotiatedSession:
    client: ClientHello
    hello: ServerHello

    @property
    def tls13(self) -> bool:
        return self.hello.version == TLS13

    @property
    def suite(self) -> CipherSuite | None:
        return find_suite(self.hello.suite, tls13=self.tls13)

    @property
    def unsupported(self) -> str:
        """What prevents decryption even with the secrets; empty if nothing does."""
        if self.hello.version not in (TLS12, TLS13):
            return version_name(self.hello.version)
        if self.hello.compression:
            return "TLS compression"
        return "" if self.suite else suite_name(self.hello.suite)


def describe_missing_secrets(agreement: NegotiatedSession, keylog: KeyLog, *, what: str) -> str:
    """Return the notice for a session without secrets for ``what``, all of it or a part."""
    session = version_name(agreement.hello.version)
    if agreement.client.server_name:
        session += f" to {agreement.client.server_name}"
    log = f"none of the {len(keylog)} known secrets is for {what}" if len(keylog) else "there is no key log"
    return f"this session is encrypted ({session}) and {log}; {HOW_TO_GET_SECRETS}"


def set_decryptors(agreement: NegotiatedSession, keylog: KeyLog, *directions: TlsDirection) -> None:
    """Give each direction its decryptors if secrets are known; raises ListenctlError without the extra ``tls``."""
    for direction in directions:
        first, later = _find_decryptors(agreement, keylog, direction.party)
        if direction.awaits_traffic_keys:
            direction.decryptor = direction.decryptor or first
            direction.next_decryptor = direction.next_decryptor or later
        elif direction.decryptor is None and later is not None:
            direction.next_decryptor = later
            direction.change_keys()


def _find_decryptors(
    agreement: NegotiatedSession, keylog: KeyLog, party: TlsParty
) -> tuple[RecordDecryptor | None, RecordDecryptor | None]:
    """Return the decryptors of the handshake, None in TLS 1.2, and of what follows it."""
    suite = agreement.suite
    if suite is None:
        return None, None
    if not agreement.tls13:
        return None, _build_tls12(agreement, suite, keylog, party)
    handshake, traffic = (
        _build_tls13(suite, keylog.find_secret(label, agreement.client.random)) for label in _LABELS[party]
    )
    return handshake, traffic


def _build_tls13(suite: CipherSuite, secret: bytes | None) -> RecordDecryptor | None:
    if secret is None or len(secret) != _HASH_BYTES[suite.hash_name]:
        return None
    check_ciphers()
    return Tls13Decryptor(suite, secret)


def _build_tls12(
    agreement: NegotiatedSession, suite: CipherSuite, keylog: KeyLog, party: TlsParty
) -> RecordDecryptor | None:
    master = keylog.find_secret(SecretLabel.MASTER, agreement.client.random)
    if master is None:
        return None
    check_ciphers()
    keys = derive_tls12_keys(suite, master, client_random=agreement.client.random, server_random=agreement.hello.random)
    own = keys[0] if party is TlsParty.CLIENT else keys[1]
    return tls12_decryptor(suite, own, encrypt_then_mac=agreement.hello.encrypt_then_mac)
