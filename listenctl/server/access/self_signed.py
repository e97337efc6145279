"""
A certificate that signs itself, for a server on a laptop. It is kept, so that clients have to trust it only once, until
it expires or lacks a name of this machine.
"""

import socket
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from listenctl.errors import UsageError
from listenctl.media.files.kept_names import replace_file

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate, GeneralName

VALID_DAYS = 397
"""What browsers accept at most is 398."""
RENEW_DAYS = 30
# Connecting a UDP socket sends nothing; these networks are for documentation (RFC 5737, RFC 3849).
_ELSEWHERE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))


@dataclass(frozen=True, slots=True)
class SelfSigned:
    pair: Path  # certificate and private key, for us alone
    certificate: Path  # the same certificate without its key, for clients
    fingerprint: str  # SHA-256


def state_folder(environ: Mapping[str, str]) -> Path:
    state = environ.get("XDG_STATE_HOME", "")
    # The XDG Base Directory Specification says to ignore a relative path.
    return (Path(state) if state.startswith("/") else Path(environ.get("HOME", "/")) / ".local/state") / "listenctl"


def own_names(host: str) -> list[str]:
    """Return the names and addresses by which clients can reach a server on ``host``."""
    names = ["localhost", socket.gethostname(), "127.0.0.1", "::1", *([] if host in ("0.0.0.0", "::") else [host])]
    for family, address in _ELSEWHERE:
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 9))
            names.append(str(probe.getsockname()[0]))
    return [name for name in dict.fromkeys(names) if name.isascii()]


def prepare_self_signed(folder: Path, names: Iterable[str], now: float) -> SelfSigned:
    """
    Return the certificate in ``folder``, or a new one if it will expire soon, or isn't for all ``names``; raises
    UsageError without the library, or if the files can't be written.
    """
    try:
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.serialization import Encoding
    except ImportError as exc:
        raise UsageError(
            "--self-signed needs the package cryptography: pip install cryptography, or give --cert and --key"
        ) from exc
    wanted = {_general_name(name) for name in names}
    at = datetime.fromtimestamp(now, UTC)
    pair, public = folder / "self-signed.pem", folder / "self-signed.crt"
    try:
        certificate = _usable_certificate(pair, wanted, at)
        if certificate is None:
            certificate, key = _make_certificate(wanted, at)
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_file(pair, _private_pem(key) + certificate.public_bytes(Encoding.PEM))
        replace_file(public, certificate.public_bytes(Encoding.PEM))
    except OSError as exc:
        where = exc.filename or folder
        raise UsageError(f"{where}: can't keep the certificate of --self-signed: {exc.strerror}") from exc
    return SelfSigned(pair, public, certificate.fingerprint(SHA256()).hex(":").upper())


def _usable_certificate(pair: Path, wanted: set["GeneralName"], now: datetime) -> "Certificate | None":
    from cryptography import x509

    try:
        data = pair.read_bytes()
        certificate = x509.load_pem_x509_certificate(data)
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (FileNotFoundError, ValueError, x509.ExtensionNotFound):
        return None
    is_valid = certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc - timedelta(days=RENEW_DAYS)
    return certificate if is_valid and b"PRIVATE KEY-----" in data and wanted <= set(found) else None


def _make_certificate(names: set["GeneralName"], now: datetime) -> tuple["Certificate", "EllipticCurvePrivateKey"]:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "listenctl")])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
    builder = x509.CertificateBuilder(
        issuer_name=subject,
        subject_name=subject,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - timedelta(days=1),
        not_valid_after=now + timedelta(days=VALID_DAYS),
    )
    for extension, critical in (
        (x509.SubjectAlternativeName(sorted(names, key=repr)), False),
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (identifier, False),
        (authority, False),
    ):
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(key, SHA256()), key


def _private_pem(key: "EllipticCurvePrivateKey") -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _general_name(name: str) -> "GeneralName":
    from cryptography import x509

    try:
        return x509.IPAddress(ip_address(name.partition("%")[0]))
    except ValueError:
        return x509.DNSName(name)
