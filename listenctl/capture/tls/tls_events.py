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

_CLOSE_NOTIFY, _USER_CANCELED = 0, 90
_FATAL = 2
# Those that ``ssl`` lacks or spells otherwise (RFC 8446 6).
_OTHER_ALERTS = {
    86: "inappropriate_fallback",
    _USER_CANCELED: "user_canceled",
    109: "missing_extension",
    116: "certificate_required",
    120: "no_application_protocol",
}


def parse_alert(content: bytes, at: float, party: TlsParty) -> TlsAlert | None:
    if len(content) != 2:
        return None
    level, number = content
    # TLS 1.3 ignores levels: every alert except these two is fatal (RFC 8446 6).
    fatal = level == _FATAL and number not in (_CLOSE_NOTIFY, _USER_CANCELED)
    return TlsAlert(at, party, _alert_name(number), fatal)


def _alert_name(number: int) -> str:
    # Imported here, because few captures have TLS and the start-up counts.
    from ssl import AlertDescription

    try:
        return _OTHER_ALERTS.get(number) or AlertDescription(number).name.removeprefix("ALERT_DESCRIPTION_").lower()
    except ValueError:
        return f"alert {number}"
