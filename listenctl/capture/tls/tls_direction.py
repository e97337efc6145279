"""One direction of a TLS session: records and keys. After a gap, the number of the next record is found by trying."""

from collections.abc import Iterable, Iterator

from listenctl.capture.packets.tcp_events import TcpData
from listenctl.capture.tls.record_ciphers import DecryptedRecord, RecordDecryptor
from listenctl.capture.tls.tls_events import TlsParty, TlsRecordsLost
from listenctl.capture.tls.tls_handshake import TlsHandshakeReader
from listenctl.capture.tls.tls_records import (
    APPLICATION_DATA,
    RecordOrGap,
    TlsRecord,
    TlsRecordGap,
    TlsRecordSplitter,
    whole_record,
)

# Records that may be missing without a visible gap.
_WINDOW = 64
# Smallest size of a record with content.
_SHORTEST_RECORD = 23
_WIDEST_WINDOW = 100_000
# After a gap of unknown size, and after a missing change of keys.
_USUAL_WINDOW = 8192
# Each try takes microseconds: give up after about a second, much sooner where nothing was ever decrypted.
_MAX_TRIES = 250_000
_MAX_FIRST_TRIES = 32_768

# In a live capture, secrets may come shortly after the records.
MAX_HELD = 64 * 1024
# Memory of a held record in addition to its data.
_HELD_BYTES = 100


class TlsDirection:
    def __init__(self, party: TlsParty) -> None:
        self.party = party
        self.splitter = TlsRecordSplitter()
        self.handshake = TlsHandshakeReader()
        self.decryptor: RecordDecryptor | None = None
        self.next_decryptor: RecordDecryptor | None = None  # the decryptor after the next change of keys
        self.encrypted = False
        self.awaits_traffic_keys = False  # whether the keys that the handshake agreed on are not in use yet
        self.over = False  # whether nothing more of this direction is read
        self.has_gaps = False
        self._gap_pending = False  # whether no record was decrypted since the last gap
        self.verified = False  # whether any record was decrypted
        self.failed = 0  # records since the last decrypted one
        self._sequence = 0
        # Start of the next record, None after a gap of unknown size.
        self._expected: int | None = 0
        self._tried = 0
        self._held: list[RecordOrGap] = []
        self._held_bytes = 0

    @property
    def has_keys(self) -> bool:
        return self.decryptor is not None or self.next_decryptor is not None

    @property
    def tried_enough(self) -> bool:
        return self._tried > (_MAX_TRIES if self.verified else _MAX_FIRST_TRIES)

    @property
    def unreadable(self) -> str:
        if self.verified:
            return f"can't decrypt more of what the {self.party} sent: too much is missing or damaged"
        return f"the key log has secrets of this session, but they don't decrypt what the {self.party} sent"

    @property
    def lacks_data(self) -> bool:
        """Whether anything after the last decrypted record is missing or can't be decrypted, yet or at all."""
        return self.over or self.has_lost_end or self.failed > 0 or self.holds_records

    @property
    def has_lost_end(self) -> bool:
        """Whether what follows the last decrypted record is missing, or is too damaged to be decrypted."""
        return self.verified and (self._gap_pending or self.failed > 0)

    @property
    def holds_records(self) -> bool:
        return bool(self._held)

    def hold_record(self, item: RecordOrGap) -> bool:
        """Keep a record until there are keys; return True if too much is held."""
        self._held.append(item)
        self._held_bytes += _HELD_BYTES + (len(item.fragment) if isinstance(item, TlsRecord) else 0)
        return self._held_bytes > MAX_HELD

    def release_records(self) -> list[RecordOrGap]:
        held, self._held, self._held_bytes = self._held, [], 0
        return held

    def give_up(self) -> None:
        self.over = True
        self.release_records()

    def add_gap(self, gap: TlsRecordGap) -> None:
        self.has_gaps = self._gap_pending = True
        self._expected = self._expected if gap.measured else None
        self.handshake.reset()

    def skip_plaintext(self, record: TlsRecord) -> None:
        self._expected = record.end

    def change_keys(self) -> None:
        self.decryptor = self.next_decryptor
        self.next_decryptor = self.decryptor.after_key_update() if self.decryptor is not None else None
        self._sequence = 0
        self.encrypted = True
        self.awaits_traffic_keys = False

    def decrypt_run(self, pieces: Iterable[TcpData]) -> list[TcpData]:
        """
        Return the application data of the first pieces, while each is exactly the next record and decrypts at once.
        Nearly all pieces do; they take half of the time that they take one by one.
        """
        run: list[TcpData] = []
        start, sequence = self.splitter.next_start, self._sequence
        if start is None or self.decryptor is None or self.over or self.holds_records or self.failed:
            return run
        decrypt, last = self.decryptor.decrypt_record, None
        for at, stream, data, packet in pieces:
            record = whole_record(data, at, start)
            kind, content = (record and decrypt(record, sequence)) or (0, b"")
            if kind != APPLICATION_DATA or not content:
                break
            run.append(TcpData(at, stream, content, packet))
            last, start, sequence = record, start + len(data), sequence + 1
        if last is not None:
            self.splitter.continue_after(last)
            self._count_record(last, sequence - 1)
        return run

    def decrypt_next(self, record: TlsRecord) -> DecryptedRecord | None:
        decrypted = self.decryptor.decrypt_record(record, self._sequence) if self.decryptor is not None else None
        if decrypted is not None:
            self._count_record(record, self._sequence)
        return decrypted

    def find_and_decrypt(self, record: TlsRecord) -> tuple[DecryptedRecord, TlsRecordsLost] | None:
        """Decrypt a record whose number and keys are uncertain; return None if that fails."""
        for decryptor, sequence in self._candidates(record):
            self._tried += 1
            decrypted = decryptor.decrypt_record(record, sequence)
            if decrypted is not None:
                return decrypted, self._count_loss(record, decryptor, sequence)
        self.failed += 1
        return None

    def _candidates(self, record: TlsRecord) -> Iterator[tuple[RecordDecryptor, int]]:
        window = _USUAL_WINDOW
        if self._expected is not None:
            missing = max(record.start - self._expected, 0)
            window = min(_WINDOW + self.failed + missing // _SHORTEST_RECORD, _WIDEST_WINDOW)
        if self.decryptor is not None:
            yield from ((self.decryptor, number) for number in range(self._sequence, self._sequence + window))
        if self.next_decryptor is not None:
            yield from ((self.next_decryptor, number) for number in range(min(window, _USUAL_WINDOW)))

    def _count_loss(self, record: TlsRecord, decryptor: RecordDecryptor, sequence: int) -> TlsRecordsLost:
        changed = decryptor is not self.decryptor
        if changed:
            self.change_keys()
        lost = sequence - self._sequence
        size = None
        if not changed and decryptor.overhead is not None and self._expected is not None:
            size = record.start - self._expected - lost * decryptor.overhead
        self._count_record(record, sequence)
        return TlsRecordsLost(record.at, self.party, lost, size if size is not None and size >= 0 else None)

    def _count_record(self, record: TlsRecord, sequence: int) -> None:
        self._sequence = sequence + 1
        self._expected = record.end
        self._tried = self.failed = 0
        self._gap_pending = False
        self.verified = True
