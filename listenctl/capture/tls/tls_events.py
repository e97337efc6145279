"""The events of a captured TLS session."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class TlsParty(StrEnum):
    """The client is the side that opened the TLS session."""

    CLIENT = "client"
    SERVER = "server"


# One per record: a named tuple takes a third of the time of a frozen dataclass.
class DecryptedData(NamedTuple):
    """The application data of one record; ``at`` is when it was complete."""

    at: float
    party: TlsParty
    data: bytes


@dataclass(frozen=True, slots=True)
class TlsRecordsLost:
    """Records are missing or damaged between decrypted ones."""

    at: float
    party: TlsParty
    records: int  # their minimum number; handshakes and alerts count too
    size: int | None  # the bytes of their contents, as if all had application data; None if unknown


@dataclass(frozen=True, slots=True)
class TlsAlert:
    """An alert: ``close_notify`` ends a direction normally, a fatal one is the reason of a failure."""

    at: float
    party: TlsParty
    name: str
    fatal: bool


@dataclass(frozen=True, slots=True)
class TlsNotice:
    """Something can't be decrypted; ``text`` says what and what helps, in printable ASCII."""

    at: float
    text: str


TlsEvent = DecryptedData | TlsRecordsLost | TlsAlert | TlsNotice

_CLOSE_NOTIFY = 0
_FATAL = 2
# RFC 8446 6, and alerts of older versions.
_ALERTS = {
    _CLOSE_NOTIFY: "close_notify",
    10: "unexpected_message",
    20: "bad_record_mac",
    22: "record_overflow",
    40: "handshake_failure",
    42: "bad_certificate",
    43: "unsupported_certificate",
    44: "certificate_revoked",
    45: "certificate_expired",
    46: "certificate_unknown",
    47: "illegal_parameter",
    48: "unknown_ca",
    49: "access_denied",
    50: "decode_error",
    51: "decrypt_error",
    70: "protocol_version",
    71: "insufficient_security",
    80: "internal_error",
    86: "inappropriate_fallback",
    90: "user_canceled",
    100: "no_renegotiation",
    109: "missing_extension",
    110: "unsupported_extension",
    112: "unrecognized_name",
    113: "bad_certificate_status_response",
    115: "unknown_psk_identity",
    116: "certificate_required",
    120: "no_application_protocol",
}


def parse_alert(content: bytes, at: float, party: TlsParty) -> TlsAlert | None:
    if len(content) != 2:
        return None
    level, number = content
    # TLS 1.3 ignores levels: every alert except these two is fatal (RFC 8446 6).
    fatal = level == _FATAL and number not in (_CLOSE_NOTIFY, 90)
    return TlsAlert(at, party, _ALERTS.get(number, f"alert {number}"), fatal)
