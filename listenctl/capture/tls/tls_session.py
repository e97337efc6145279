"""
Decrypt a captured TLS session with the secrets of a key log (RFC 8446; RFC 5246 for TLS 1.2).
It never raises on captured data, uses less than 200 KB, and continues after missing or damaged data.
"""

from collections.abc import Iterable

from listenctl.capture.packets.tcp_events import TcpData
from listenctl.capture.tls.key_log import KeyLog
from listenctl.capture.tls.record_ciphers import DecryptedRecord
from listenctl.capture.tls.session_secrets import NegotiatedSession, describe_missing_secrets, set_decryptors
from listenctl.capture.tls.tls_direction import TlsDirection
from listenctl.capture.tls.tls_events import DecryptedData, TlsEvent, TlsNotice, TlsParty, TlsRecordsLost, parse_alert
from listenctl.capture.tls.tls_handshake import (
    CLIENT_HELLO,
    FINISHED,
    KEY_UPDATE,
    SERVER_HELLO,
    ClientHello,
    ServerHello,
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


class TlsSession:
    def __init__(self, keylog: KeyLog) -> None:
        self._keylog = keylog  # the known secrets; those added later are used too
        self._secrets_seen = keylog.added_count
        self._client = TlsDirection(TlsParty.CLIENT)
        self._server = TlsDirection(TlsParty.SERVER)
        self._client_hello: ClientHello | None = None
        self._agreement: NegotiatedSession | None = None
        self._fed = False
        self._events: list[TlsEvent] = []
        self._reported: set[str] = set()

    def feed(self, party: TlsParty, data: bytes, at: float) -> list[TlsEvent]:
        direction = self._client if party is TlsParty.CLIENT else self._server
        if direction.over:
            return []
        self._fed = True
        if self._keylog.added_count != self._secrets_seen:
            self._use_new_secrets(at)
        self._add_records(direction, direction.splitter.feed(data, at))
        return self._take_events()

    def decrypt_run(self, party: TlsParty, pieces: Iterable[TcpData]) -> list[TcpData]:
        """Return the decrypted data of the first pieces, each exactly one record; ``feed`` takes the others."""
        direction = self._client if party is TlsParty.CLIENT else self._server
        return [] if self._keylog.added_count != self._secrets_seen else direction.decrypt_run(pieces)

    def skip_missing(self, party: TlsParty, size: int | None, at: float) -> list[TlsEvent]:
        """Continue after ``size`` missing bytes of a party, None if unknown."""
        direction = self._client if party is TlsParty.CLIENT else self._server
        if size != 0 and not direction.over:
            self._fed = True
            self._add_records(direction, direction.splitter.skip_missing(size, at))
        return self._take_events()

    def lacks_data(self, party: TlsParty) -> bool:
        """Return whether the decrypted data of a party ends before what it sent."""
        return (self._client if party is TlsParty.CLIENT else self._server).lacks_data

    def end_party(self, party: TlsParty, at: float) -> list[TlsEvent]:
        """Report what is missing at the end of what a party sent; records that still wait for keys are kept."""
        direction = self._client if party is TlsParty.CLIENT else self._server
        if not (direction.over or direction.holds_records):
            self._add_records(direction, direction.splitter.end_data(at))
            self._report_lost_end(direction, at)
        return self._take_events()

    def end_session(self, at: float) -> list[TlsEvent]:
        for direction in (self._client, self._server):
            if not direction.over:
                self._add_records(direction, direction.splitter.end_data(at))
        self._use_new_secrets(at)
        if self._fed and self._client_hello is None:
            self._start_is_missing(at, "ClientHello")
        for direction in (self._client, self._server):
            self._end_direction(direction, at)
        return self._take_events()

    def _take_events(self) -> list[TlsEvent]:
        events, self._events = self._events, []
        return events

    def _add_notice(self, text: str, at: float) -> None:
        if text not in self._reported:
            self._reported.add(text)
            self._events.append(TlsNotice(at, text))

    def _end_direction(self, direction: TlsDirection, at: float) -> None:
        if direction.over:
            return
        if direction.holds_records:
            self._cannot_open(direction, at)
        elif direction.failed and not direction.verified:
            self._give_up(at, direction.unreadable, direction)
        self._report_lost_end(direction, at)
        direction.give_up()

    def _report_lost_end(self, direction: TlsDirection, at: float) -> None:
        if direction.has_lost_end and not direction.over:
            self._events.append(TlsRecordsLost(at, direction.party, direction.failed, None))
            direction.give_up()

    @property
    def _tls13(self) -> bool:
        return self._agreement is not None and self._agreement.tls13

    def _add_records(self, direction: TlsDirection, items: Iterable[RecordOrGap]) -> None:
        for item in items:
            self._add_record(direction, item)

    def _add_record(self, direction: TlsDirection, item: RecordOrGap) -> None:
        if direction.over:
            return
        if isinstance(item, TlsRecordGap):
            if direction.holds_records:
                self._hold_record(direction, item)
            else:
                direction.add_gap(item)
            return
        if not direction.holds_records:
            failed = direction.failed
            decrypted = direction.decrypt_next(item)
            if decrypted is not None:
                if failed:
                    self._report_early_data(direction, failed, item.at)
                self._add_decrypted(direction, item.at, decrypted)
                return
        if direction.encrypted:
            self._add_encrypted(direction, item)
        else:
            self._add_plaintext(direction, item)

    def _hold_record(self, direction: TlsDirection, item: RecordOrGap) -> None:
        if direction.hold_record(item):
            self._cannot_open(direction, item.at)

    def _add_decrypted(self, direction: TlsDirection, at: float, decrypted: DecryptedRecord) -> None:
        kind, content = decrypted
        if kind == APPLICATION_DATA:
            # Empty records are an old countermeasure against attacks on CBC.
            if content:
                self._events.append(DecryptedData(at, direction.party, content))
        elif kind == CHANGE_CIPHER_SPEC:
            direction.change_keys()
        else:
            self._add_message(direction, kind, content, at)

    def _add_message(self, direction: TlsDirection, kind: int, content: bytes, at: float) -> None:
        if kind == HANDSHAKE:
            for message, body in direction.handshake.feed(content):
                self._add_handshake(direction, message, body, at)
        elif kind == ALERT and (alert := parse_alert(content, at, direction.party)):
            self._events.append(alert)

    def _add_encrypted(self, direction: TlsDirection, record: TlsRecord) -> None:
        if self._tls13 and record.type != APPLICATION_DATA:
            # ChangeCipherSpec is only for middleboxes (RFC 8446 D.4); a side without keys sends alerts in the clear.
            if record.type == ALERT:
                self._add_message(direction, ALERT, record.fragment, record.at)
        elif direction.has_keys and not direction.holds_records:
            self._find_and_decrypt(direction, record)
        else:
            self._hold_record(direction, record)

    def _add_plaintext(self, direction: TlsDirection, record: TlsRecord) -> None:
        if record.type == APPLICATION_DATA:
            self._add_unannounced(direction, record)
            return
        if direction.has_gaps and direction.next_decryptor is not None and self._find_and_decrypt(direction, record):
            # The ChangeCipherSpec is missing too.
            return
        direction.skip_plaintext(record)
        if record.type != CHANGE_CIPHER_SPEC:
            self._add_message(direction, record.type, record.fragment, record.at)
        elif self._agreement is not None:
            direction.change_keys()

    def _add_unannounced(self, direction: TlsDirection, record: TlsRecord) -> None:
        """Add application data of a side that does not encrypt yet, as far as is known."""
        if self._client_hello is None:
            self._start_is_missing(record.at, "ClientHello")
        elif self._agreement is None:
            # It is early data, or the ServerHello is missing.
            self._hold_record(direction, record)
        else:
            direction.encrypted = True
            self._add_encrypted(direction, record)

    def _find_and_decrypt(self, direction: TlsDirection, record: TlsRecord) -> bool:
        failed = direction.failed
        found = direction.find_and_decrypt(record)
        if found is None:
            if direction.tried_enough:
                self._give_up(record.at, direction.unreadable, direction)
            return False
        decrypted, loss = found
        self._report_early_data(direction, failed, record.at)
        # Missing handshake records don't matter.
        if loss.records and not (self._tls13 and direction.awaits_traffic_keys):
            self._events.append(loss)
        self._add_decrypted(direction, record.at, decrypted)
        return True

    def _report_early_data(self, direction: TlsDirection, failed: int, at: float) -> None:
        """Report records that failed before the handshake: early data has its own keys."""
        hello = self._client_hello
        if (
            failed
            and self._tls13
            and direction.awaits_traffic_keys
            and direction is self._client
            and hello
            and hello.early_data
        ):
            text = f"early data (0-RTT, {failed} records) is not decrypted"
            self._add_notice(text, at)

    def _add_handshake(self, direction: TlsDirection, kind: int, body: bytes, at: float) -> None:
        if self._tls13 and direction.encrypted:
            if kind == (FINISHED if direction.awaits_traffic_keys else KEY_UPDATE):
                direction.change_keys()
        elif kind == CLIENT_HELLO and direction is self._client:
            self._client_hello = parse_client_hello(body)
        elif kind == SERVER_HELLO and direction is self._server and (hello := parse_server_hello(body)):
            self._add_server_hello(hello, at)

    def _add_server_hello(self, hello: ServerHello, at: float) -> None:
        if hello.is_retry_request:
            return
        if self._client_hello is None:
            self._start_is_missing(at, "ClientHello")
            return
        self._agreement = agreement = NegotiatedSession(self._client_hello, hello)
        if agreement.unsupported:
            text = f"decrypting {agreement.unsupported} is not supported"
            self._give_up(at, text, self._client, self._server)
            return
        for direction in (self._client, self._server):
            direction.awaits_traffic_keys = True
            direction.next_decryptor = None
            direction.encrypted = direction.encrypted or agreement.tls13
        self._use_secrets(agreement, at)

    def _use_new_secrets(self, at: float) -> None:
        self._secrets_seen = self._keylog.added_count
        if self._agreement is not None:
            self._use_secrets(self._agreement, at)

    def _use_secrets(self, agreement: NegotiatedSession, at: float) -> None:
        directions = [one for one in (self._client, self._server) if not one.over]
        try:
            set_decryptors(agreement, self._keylog, *directions)
        except ListenctlError as exc:
            self._give_up(at, str(exc), *directions)
        for direction in directions:
            self._add_records(direction, direction.release_records())

    def _start_is_missing(self, at: float, what: str) -> None:
        text = f"can't decrypt this TLS session: the capture lacks its {what}; start the capture before the call"
        self._give_up(at, text, self._client, self._server)

    def _cannot_open(self, direction: TlsDirection, at: float) -> None:
        if self._agreement is None:
            self._start_is_missing(at, "ServerHello")
            return
        sides = [one for one in (self._client, self._server) if not one.has_keys]
        # In TLS 1.3 each side has its own secrets.
        what = f"what the {direction.party} sent" if len(sides) == 1 else "it"
        text = describe_missing_secrets(self._agreement, self._keylog, what=what)
        self._give_up(at, text, *sides)

    def _give_up(self, at: float, text: str, *directions: TlsDirection) -> None:
        self._add_notice(text, at)
        for direction in directions:
            direction.give_up()
