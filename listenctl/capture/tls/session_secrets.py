"""From what two hellos agreed on and a key log to what opens the records."""

from dataclasses import dataclass

from listenctl.capture.tls.cipher_suites import CipherSuite, find_suite, suite_name
from listenctl.capture.tls.key_log import KeyLog, SecretLabel
from listenctl.capture.tls.record_ciphers import (
    RecordDecryptor,
    Tls13Decryptor,
    check_ciphers,
    keys_of_tls12,
    tls12_decryptor,
)
from listenctl.capture.tls.tls_direction import TlsDirection
from listenctl.capture.tls.tls_events import TlsNegotiated, TlsParty
from listenctl.capture.tls.tls_handshake import TLS12, TLS13, ClientHello, ServerHello, version_name

HOW_TO_GET_SECRETS = (
    "secrets are written while the call is made: SSLKEYLOGFILE=FILE in the environment of listenctl call, curl or "
    "Python, or node --tls-keylog=FILE; then --keylog FILE"
)
"""What to tell someone who has no secrets."""

_HASH_BYTES = {"sha256": 32, "sha384": 48}
_LABELS = {
    TlsParty.CLIENT: (SecretLabel.CLIENT_HANDSHAKE, SecretLabel.CLIENT_TRAFFIC),
    TlsParty.SERVER: (SecretLabel.SERVER_HANDSHAKE, SecretLabel.SERVER_TRAFFIC),
}


@dataclass(frozen=True, slots=True)
class NegotiatedSession:
    """What both hellos together say; ``at`` is when the server's came."""

    at: float
    client: ClientHello
    hello: ServerHello

    @property
    def tls13(self) -> bool:
        """Whether this is TLS 1.3, which differs from TLS 1.2 in most things."""
        return self.hello.version == TLS13

    @property
    def suite(self) -> CipherSuite | None:
        """The cipher suite, None if it is none of ours."""
        return find_suite(self.hello.suite, tls13=self.tls13)

    @property
    def unsupported(self) -> str:
        """What of it can't be decrypted even with the secrets; empty if everything can."""
        if self.hello.version not in (TLS12, TLS13):
            return version_name(self.hello.version)
        if self.hello.compression:
            return "TLS compression"
        return "" if self.suite else suite_name(self.hello.suite)

    def told(self, alpn: str) -> TlsNegotiated:
        """Return what to say about it."""
        version, cipher = version_name(self.hello.version), suite_name(self.hello.suite)
        return TlsNegotiated(self.at, version, cipher, self.client.server_name, alpn)


def describe_missing_secrets(agreement: NegotiatedSession, keylog: KeyLog, *, what: str) -> str:
    """Return what to say where there are no secrets, or none for ``what``, a part of the session."""
    session = version_name(agreement.hello.version)
    if agreement.client.server_name:
        session += f" to {agreement.client.server_name}"
    log = f"none of the {len(keylog)} secrets at hand is for {what}" if len(keylog) else "there is no key log"
    return f"this session is encrypted ({session}) and {log}; {HOW_TO_GET_SECRETS}"


def set_decryptors(agreement: NegotiatedSession, keylog: KeyLog, *directions: TlsDirection) -> None:
    """
    Give each direction what opens its records, so far as the secrets are there.

    Raises:
        ListenctlError: The ciphers are missing.
    """
    for direction in directions:
        first, later = _openers(agreement, keylog, direction.party)
        if direction.awaiting:
            direction.opener = direction.opener or first
            direction.pending = direction.pending or later
        elif direction.opener is None and later is not None:
            direction.pending = later
            direction.change_keys()


def _openers(
    agreement: NegotiatedSession, keylog: KeyLog, party: TlsParty
) -> tuple[RecordDecryptor | None, RecordDecryptor | None]:
    """Return what opens the handshake, None where it is in the clear, and what opens the rest."""
    suite = agreement.suite
    if suite is None:
        return None, None
    if not agreement.tls13:
        return None, _tls12(agreement, suite, keylog, party)
    handshake, traffic = (_tls13(suite, keylog.find(label, agreement.client.random)) for label in _LABELS[party])
    return handshake, traffic


def _tls13(suite: CipherSuite, secret: bytes | None) -> RecordDecryptor | None:
    if secret is None or len(secret) != _HASH_BYTES[suite.hash_name]:
        return None
    check_ciphers()
    return Tls13Decryptor(suite, secret)


def _tls12(agreement: NegotiatedSession, suite: CipherSuite, keylog: KeyLog, party: TlsParty) -> RecordDecryptor | None:
    master = keylog.find(SecretLabel.MASTER, agreement.client.random)
    if master is None:
        return None
    check_ciphers()
    keys = keys_of_tls12(suite, master, client_random=agreement.client.random, server_random=agreement.hello.random)
    own = keys[0] if party is TlsParty.CLIENT else keys[1]
    return tls12_decryptor(suite, own, encrypt_then_mac=agreement.hello.encrypt_then_mac)
