"""The TLS of a server: its certificate, and the CAs of client certificates if these are demanded."""

import ssl
from collections.abc import Callable
from pathlib import Path

from listenctl.errors import UsageError
from listenctl.events import WarningEvent


class ServerTls:
    """
    A context that is made anew to reload its files: one that exists can take another certificate, but forgets no CA.
    Connections keep the one with which they began.
    """

    def __init__(self, load: Callable[[], ssl.SSLContext], notice: WarningEvent | None = None) -> None:
        self._load = load
        self.context = load()
        self.notice = notice  # what users have to know of the certificate

    def reload(self) -> None:
        """Read the files again; raises UsageError, and changes nothing, if they can't be used."""
        self.context = self._load()


def load_context(cert: Path, key: Path | None, client_ca: Path | None = None) -> ssl.SSLContext:
    """Return a context with this certificate, for clients with a certificate of ``client_ca`` if that is given."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as exc:
        reason = _missing_pem(cert, key) or (exc.reason if isinstance(exc, ssl.SSLError) else None) or exc.strerror
        if reason == "KEY_VALUES_MISMATCH":
            reason = f"{key or 'it'} contains the private key of another certificate"
        raise UsageError(f"{cert}: can't be used as a certificate with its key: {reason}") from exc
    if client_ca is not None:
        _demand_certificates(context, client_ca)
    return context


def _demand_certificates(context: ssl.SSLContext, client_ca: Path) -> None:
    try:
        context.load_verify_locations(client_ca)
    except OSError as exc:
        reason = "it contains no certificate in PEM format" if isinstance(exc, ssl.SSLError) else exc.strerror
        raise UsageError(f"{client_ca}: can't be used as the CA of client certificates: {reason}") from exc
    context.verify_mode = ssl.CERT_REQUIRED


def _missing_pem(cert: Path, key: Path | None) -> str:
    """Return what the files lack, empty if they can't be read or have both; OpenSSL doesn't say which file it means."""
    try:
        if b"-----BEGIN CERTIFICATE-----" not in cert.read_bytes():
            return "it contains no certificate in PEM format"
        if b"PRIVATE KEY-----" not in (key or cert).read_bytes():
            return f"{key} contains no private key" if key else "it contains no private key; give that with --key"
    except OSError as exc:
        return f"{exc.filename}: {exc.strerror}"
    return ""
