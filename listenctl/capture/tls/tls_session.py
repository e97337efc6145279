"""
A TLS session of a capture, decrypted with the secrets of a key log (RFC 8446; RFC 5246 for TLS 1.2).

Told what each side sent, in the order of the capture, it says what that holds. It never raises on what is in a capture,
keeps less than 200 KB, and where something is missing or damaged it goes on behind that.
"""

from collections.abc import Iterable
from dataclasses import replace

from listenctl.capture.tls.key_log import KeyLog
from listenctl.capture.tls.record_ciphers import DecryptedRecord
from listenctl.capture.tls.session_secrets import NegotiatedSession, describe_missing_secrets, set_decryptors
from listenctl.capture.tls.tls_direction import RecordLoss, TlsDirection
from listenctl.capture.tls.tls_events import (
    DecryptedData,
    TlsEvent,
    TlsNegotiated,
    TlsNotice,
    TlsParty,
    TlsProblem,
    TlsRecordsLost,
    parse_alert,
)
from listenctl.capture.tls.tls_handshake import (
    CLIENT_HELLO,
    ENCRYPTED_EXTENSIONS,
    FINISHED,
    KEY_UPDATE,
    SERVER_HELLO,
    ClientHello,
    ServerHello,
    parse_alpn,
    parse_client_hello,
    parse_server_hello,
)
from listenctl.capture.tls.tls_records import (
    ALERT,
    APPLICATION_DATA,
    CHANGE_CIPHER_SPEC,
    HANDSHAKE,
    RecordOrGap,
    TlsRecord,
    TlsRecordGap,
)
from listenctl.errors import ListenctlError


class TlsEventCollector:
    """Collect the events of a session until they are taken."""

    def __init__(self) -> None:
        self._agreed: TlsNegotiated | None = None
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

    def agree(self, agreement: NegotiatedSession, alpn: str) -> None:
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

    def lost(self, direction: TlsDirection, loss: RecordLoss, at: float) -> None:
        """Say which records of ``direction`` are missing."""
        self._events.append(TlsRecordsLost(at, direction.party, loss.records, loss.size))


class TlsSession:
    """
    One TLS connection.

    Args:
        keylog: the secrets at hand; what is added to it while the session goes on is used as well.
    """

    def __init__(self, keylog: KeyLog) -> None:
        self._keylog = keylog
        self._secrets_seen = keylog.added
        self._client = TlsDirection(TlsParty.CLIENT)
        self._server = TlsDirection(TlsParty.SERVER)
        self._client_hello: ClientHello | None = None
        self._agreement: NegotiatedSession | None = None
        self._alpn = ""
        self._fed = False
        self._report = TlsEventCollector()

    def client(self, data: bytes, at: float) -> list[TlsEvent]:
        """Take what the client sent next."""
        return self._feed(self._client, data, at)

    def server(self, data: bytes, at: float) -> list[TlsEvent]:
        """Take what the server sent next."""
        return self._feed(self._server, data, at)

    def hole(self, party: TlsParty, size: int | None, at: float) -> list[TlsEvent]:
        """Take note that the capture lacks the next ``size`` bytes of ``party``, None if that isn't known."""
        direction = self._client if party is TlsParty.CLIENT else self._server
        if size != 0 and not direction.over:
            self._fed = True
            self._take_all(direction, direction.cutter.hole(size, at))
        return self._report.take()

    def finish(self, at: float) -> list[TlsEvent]:
        """Take note that nothing more comes."""
        for direction in (self._client, self._server):
            if not direction.over:
                self._take_all(direction, direction.cutter.finish(at))
        self._use_new_secrets(at)
        if self._fed and self._client_hello is None:
            self._start_is_missing(at, "ClientHello")
        for direction in (self._client, self._server):
            self._finish(direction, at)
        self._agree()
        return self._report.take()

    def _feed(self, direction: TlsDirection, data: bytes, at: float) -> list[TlsEvent]:
        if direction.over:
            return []
        self._fed = True
        if self._keylog.added != self._secrets_seen:
            self._use_new_secrets(at)
        self._take_all(direction, direction.cutter.feed(data, at))
        return self._report.take()

    def _finish(self, direction: TlsDirection, at: float) -> None:
        if direction.over:
            return
        if direction.holding:
            self._cannot_open(direction, at)
        elif direction.failed and direction.verified:
            self._report.lost(direction, RecordLoss(direction.failed, None), at)
        elif direction.failed:
            self._give_up(at, *direction.unreadable, direction)
        direction.give_up()

    @property
    def _tls13(self) -> bool:
        return self._agreement is not None and self._agreement.tls13

    def _take_all(self, direction: TlsDirection, items: Iterable[RecordOrGap]) -> None:
        for item in items:
            self._take(direction, item)

    def _take(self, direction: TlsDirection, item: RecordOrGap) -> None:
        if direction.over:
            return
        if isinstance(item, TlsRecordGap):
            self._take_gap(direction, item)
            return
        if not direction.holding:
            failed = direction.failed
            opened = direction.open(item)
            if opened is not None:
                if failed:
                    self._tell_early(direction, failed, item.at)
                self._opened(direction, item.at, opened)
                return
        if direction.encrypted:
            self._take_encrypted(direction, item)
        else:
            self._take_plain(direction, item)

    def _take_gap(self, direction: TlsDirection, gap: TlsRecordGap) -> None:
        if direction.holding:
            self._hold(direction, gap)
        else:
            direction.gap(gap)

    def _hold(self, direction: TlsDirection, item: RecordOrGap) -> None:
        if direction.hold(item):
            self._cannot_open(direction, item.at)

    def _opened(self, direction: TlsDirection, at: float, opened: DecryptedRecord) -> None:
        kind, content = opened
        if kind == APPLICATION_DATA:
            if not self._report.agreed:
                self._agree()
            # Empty records are a countermeasure of old, against what CBC once had.
            if content:
                self._report.say(DecryptedData(at, direction.party, content))
        elif kind == CHANGE_CIPHER_SPEC:
            direction.change_keys()
        else:
            self._take_message(direction, kind, content, at)

    def _take_message(self, direction: TlsDirection, kind: int, content: bytes, at: float) -> None:
        if kind == HANDSHAKE:
            for message, body in direction.handshake.feed(content):
                self._take_handshake(direction, message, body, at)
        elif kind == ALERT and (alert := parse_alert(content, at, direction.party)):
            self._report.say(alert)

    def _take_encrypted(self, direction: TlsDirection, record: TlsRecord) -> None:
        if self._tls13 and record.type != APPLICATION_DATA:
            # ChangeCipherSpec is for middleboxes only (RFC 8446 D.4), and an alert of a side that has no keys is clear.
            if record.type == ALERT:
                self._take_message(direction, ALERT, record.fragment, record.at)
        elif direction.ready and not direction.holding:
            self._search(direction, record)
        else:
            self._hold(direction, record)

    def _take_plain(self, direction: TlsDirection, record: TlsRecord) -> None:
        if record.type == APPLICATION_DATA:
            self._take_unannounced(direction, record)
            return
        if direction.gapped and direction.pending is not None and self._search(direction, record):
            # The ChangeCipherSpec was among what is missing.
            return
        direction.passed(record)
        if record.type != CHANGE_CIPHER_SPEC:
            self._take_message(direction, record.type, record.fragment, record.at)
        elif self._agreement is not None:
            direction.change_keys()

    def _take_unannounced(self, direction: TlsDirection, record: TlsRecord) -> None:
        """Take application data of a side that hasn't begun to encrypt so far as we know."""
        if self._client_hello is None:
            self._start_is_missing(record.at, "ClientHello")
        elif self._agreement is None:
            # Early data, or the ServerHello is missing.
            self._hold(direction, record)
        else:
            direction.encrypted = True
            self._take_encrypted(direction, record)

    def _search(self, direction: TlsDirection, record: TlsRecord) -> bool:
        failed = direction.failed
        found = direction.search(record)
        if found is None:
            if direction.hopeless:
                self._give_up(record.at, *direction.unreadable, direction)
            return False
        opened, loss = found
        self._tell_early(direction, failed, record.at)
        # Of a handshake nothing is missed once it is over.
        if loss.records and not (self._tls13 and direction.awaiting):
            self._report.lost(direction, loss, record.at)
        self._opened(direction, record.at, opened)
        return True

    def _tell_early(self, direction: TlsDirection, failed: int, at: float) -> None:
        """Say what it was that couldn't be opened before the handshake: early data has keys of its own."""
        hello = self._client_hello
        if failed and self._tls13 and direction.awaiting and direction is self._client and hello and hello.early_data:
            text = f"early data (0-RTT, {failed} records) is not decrypted"
            self._report.notice(TlsProblem.EARLY_DATA, text, at)

    def _take_handshake(self, direction: TlsDirection, kind: int, body: bytes, at: float) -> None:
        if self._tls13 and direction.encrypted:
            if kind == ENCRYPTED_EXTENSIONS:
                self._alpn = parse_alpn(body)
                self._agree()
            elif kind == (FINISHED if direction.awaiting else KEY_UPDATE):
                direction.change_keys()
        elif kind == CLIENT_HELLO and direction is self._client:
            self._client_hello = parse_client_hello(body)
        elif kind == SERVER_HELLO and direction is self._server and (hello := parse_server_hello(body)):
            self._take_server_hello(hello, at)

    def _take_server_hello(self, hello: ServerHello, at: float) -> None:
        if hello.retry:
            return
        if self._client_hello is None:
            self._start_is_missing(at, "ClientHello")
            return
        self._agreement = agreement = NegotiatedSession(at, self._client_hello, hello)
        self._alpn = hello.alpn
        if agreement.unsupported:
            text = f"{agreement.unsupported} can't be decrypted here"
            self._give_up(at, TlsProblem.UNSUPPORTED, text, self._client, self._server)
            return
        for direction in (self._client, self._server):
            direction.awaiting = True
            direction.pending = None
            direction.encrypted = direction.encrypted or agreement.tls13
        self._use_secrets(agreement, at)
        if not agreement.tls13:
            self._agree()

    def _use_new_secrets(self, at: float) -> None:
        self._secrets_seen = self._keylog.added
        if self._agreement is not None:
            self._use_secrets(self._agreement, at)

    def _use_secrets(self, agreement: NegotiatedSession, at: float) -> None:
        directions = [one for one in (self._client, self._server) if not one.over]
        try:
            set_decryptors(agreement, self._keylog, *directions)
        except ListenctlError as exc:
            self._give_up(at, TlsProblem.NO_CIPHERS, str(exc), *directions)
        for direction in directions:
            self._take_all(direction, direction.release())

    def _agree(self) -> None:
        if self._agreement is not None:
            self._report.agree(self._agreement, self._alpn)

    def _start_is_missing(self, at: float, what: str) -> None:
        text = f"this TLS session can't be decrypted: the capture lacks its {what}; begin it before the call does"
        self._give_up(at, TlsProblem.START_MISSING, text, self._client, self._server)

    def _cannot_open(self, direction: TlsDirection, at: float) -> None:
        if self._agreement is None:
            self._start_is_missing(at, "ServerHello")
            return
        sides = [one for one in (self._client, self._server) if not one.ready]
        # In TLS 1.3 each side has secrets of its own.
        what = f"what the {direction.party} sent" if len(sides) == 1 else "it"
        text = describe_missing_secrets(self._agreement, self._keylog, what=what)
        self._give_up(at, TlsProblem.NO_SECRETS, text, *sides)

    def _give_up(self, at: float, problem: TlsProblem, text: str, *directions: TlsDirection) -> None:
        self._agree()
        self._report.notice(problem, text, at)
        for direction in directions:
            direction.give_up()
