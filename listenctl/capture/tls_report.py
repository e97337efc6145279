"""What a TLS session has to say: each thing once, in order."""

from dataclasses import replace

from listenctl.capture.tls_direction import Loss, TlsDirection
from listenctl.capture.tls_events import RecordsLost, SessionAgreed, TlsEvent, TlsNotice, TlsProblem
from listenctl.capture.tls_secrets import Agreement


class SessionReport:
    """Collect the events of a session until they are taken."""

    def __init__(self) -> None:
        self._agreed: SessionAgreed | None = None
        self._told: set[str] = set()
        self._events: list[TlsEvent] = []

    @property
    def agreed(self) -> bool:
        """Whether it was said what both sides agreed on."""
        return self._agreed is not None

    def take(self) -> list[TlsEvent]:
        """Return what there is to say."""
        events, self._events = self._events, []
        return events

    def say(self, event: TlsEvent) -> None:
        """Add an event."""
        self._events.append(event)

    def agree(self, agreement: Agreement, alpn: str) -> None:
        """Say what both sides agreed on, unless that is known."""
        agreed = agreement.told(alpn)
        if self._agreed is None or replace(agreed, at=self._agreed.at) != self._agreed:
            self._agreed = agreed
            self._events.append(agreed)

    def notice(self, problem: TlsProblem, text: str, at: float) -> None:
        """Say once what can't be decrypted."""
        if text not in self._told:
            self._told.add(text)
            self._events.append(TlsNotice(at, problem, text))

    def lost(self, direction: TlsDirection, loss: Loss, at: float) -> None:
        """Say which records of ``direction`` are missing."""
        self._events.append(RecordsLost(at, direction.party, loss.records, loss.size))
