"""What went wrong in TLS, and what to do about it; OpenSSL has a code for it, which says little."""

import ssl

# OpenSSL's codes for a certificate without the host name, mail address or IP address, and outside its time.
_WRONG_NAME = (62, 63, 64)
_WRONG_TIME = (9, 10)

_NOT_TRUSTED = "the client does not trust this server's certificate; give the client its CA"
_TOO_DIFFERENT = "client and server have no TLS version or cipher in common; update the older one"
_SEEN_BY_SERVER = {
    "HTTP_REQUEST": "the client speaks ws://, this port wss://",
    "HTTPS_PROXY_REQUEST": "the client speaks ws://, this port wss://",
    "WRONG_VERSION_NUMBER": "the client does not speak TLS; this port speaks wss://",
    "TLSV1_ALERT_UNKNOWN_CA": _NOT_TRUSTED,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": _NOT_TRUSTED,
    "SSLV3_ALERT_BAD_CERTIFICATE": (
        "the client rejects this server's certificate; check that it has the host name of the URL, and its chain"
    ),
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "this server's certificate has expired, says the client; renew it",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the client sent no certificate, which --client-ca demands",
    "UNSUPPORTED_PROTOCOL": _TOO_DIFFERENT,
    "TLSV1_ALERT_PROTOCOL_VERSION": _TOO_DIFFERENT,
    "NO_SHARED_CIPHER": _TOO_DIFFERENT,
}


_CERTIFICATE_NOT_TRUSTED = ("TLSV1_ALERT_UNKNOWN_CA", "SSLV3_ALERT_CERTIFICATE_UNKNOWN", "SSLV3_ALERT_BAD_CERTIFICATE")
# With TLS 1.3, which has the first one, the client sees it after its handshake.
_CERTIFICATE_DEMANDED = ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "TLSV1_ALERT_CERTIFICATE_REQUIRED")


def failure_seen_by_client(
    error: ssl.SSLError, *, option_prefix: str = "--", schemes: tuple[str, str] = ("ws://", "wss://")
) -> str:
    """
    Return why a server can't be called.

    Args:
        option_prefix: of the options ``ca`` and ``insecure``.
        schemes: of URLs without and with TLS.
    """
    ca, insecure = f"{option_prefix}ca", f"{option_prefix}insecure"
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = error.verify_message.rstrip(".")
        if error.verify_code in _WRONG_NAME:
            return f"its certificate is for another name: {reason}; use the name in the certificate, or {insecure}"
        if error.verify_code in _WRONG_TIME:
            return f"its certificate isn't valid now: {reason}; renew it, check this clock, or use {insecure}"
        return f"its certificate isn't trusted: {reason}; use {ca} with its CA, or {insecure}"
    if error.reason in _CERTIFICATE_NOT_TRUSTED:
        return "TLS failed: it does not trust the certificate of this client"
    if error.reason in _CERTIFICATE_DEMANDED:
        return "TLS failed: it demands a certificate of the client, which jambonz does not have"
    if error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"):
        return "TLS failed: the port doesn't speak TLS; use {} instead of {}".format(*schemes)
    return f"TLS failed: {_reason(error)}; check which TLS versions the server supports"


def failure_seen_by_server(error: ssl.SSLError) -> str:
    """Return why a client could not connect to this server."""
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = error.verify_message.rstrip(".")
        return f"the client's certificate isn't trusted: {reason}; --client-ca must have the CA that issued it"
    return _SEEN_BY_SERVER.get(error.reason or "") or f"{_reason(error)}; the client and its TLS settings may say more"


def _reason(error: ssl.SSLError) -> str:
    # Reasons are codes such as SSLV3_ALERT_HANDSHAKE_FAILURE.
    return error.reason.lower().replace("_", " ") if error.reason else str(error)
