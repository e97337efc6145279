"""
One direction of a TLS session: its records, the keys in use, those that follow, and the number of the next record.

Where records are missing, the number is found by trying: a record verifies with its own number only.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from listenctl.capture.tls.record_ciphers import DecryptedRecord, RecordDecryptor
from listenctl.capture.tls.tls_events import TlsParty, TlsProblem
from listenctl.capture.tls.tls_handshake import TlsHandshakeReader
from listenctl.capture.tls.tls_records import RecordOrGap, TlsRecord, TlsRecordGap, TlsRecordSplitter

# Records that may be missing without a hole that tells of them.
_WINDOW = 64
# A record that carries anything is no shorter.
_SHORTEST_RECORD = 23
_WIDEST_WINDOW = 100_000
# Behind a hole of unknown size, and after a change of keys that is missing as well.
_USUAL_WINDOW = 8192
# Opening takes microseconds, so giving up comes after a second, or much sooner where nothing was ever opened.
_MAX_TRIES = 250_000
_MAX_FIRST_TRIES = 32_768

# Secrets may come a moment after what they protect, in a live capture.
MAX_HELD = 64 * 1024
# What holding anything takes, however short it is.
_HELD_BYTES = 100


@dataclass(frozen=True, slots=True)
class RecordLoss:
    """Records that are missing before the one that was opened; ``size`` are the bytes of their contents, if known."""

    records: int
    size: int | None


class TlsDirection:
    """What one party sends."""

    def __init__(self, party: TlsParty) -> None:
        self.party = party
        self.cutter = TlsRecordSplitter()
        self.handshake = TlsHandshakeReader()
        self.opener: RecordDecryptor | None = None
        """What opens the records now."""
        self.pending: RecordDecryptor | None = None
        """What opens them after the next change of keys."""
        self.encrypted = False
        self.awaiting = False
        """Whether the keys that the handshake agreed on are not yet in use."""
        self.over = False
        """Whether nothing of this direction can be read any more."""
        self.gapped = False
        self.verified = False
        self.failed = 0
        """Records since the last one that could be opened."""
        self._sequence = 0
        # Where the next record starts, None where a hole of unknown size is before it.
        self._expected: int | None = 0
        self._tried = 0
        self._held: list[RecordOrGap] = []
        self._held_bytes = 0

    @property
    def ready(self) -> bool:
        """Whether there is anything to open records with."""
        return self.opener is not None or self.pending is not None

    @property
    def hopeless(self) -> bool:
        """Whether trying further would be in vain."""
        return self._tried > (_MAX_TRIES if self.verified else _MAX_FIRST_TRIES)

    @property
    def unreadable(self) -> tuple[TlsProblem, str]:
        """Why nothing more can be read where secrets are at hand."""
        if self.verified:
            why = f"nothing more that the {self.party} sent can be decrypted: too much is missing or damaged"
            return TlsProblem.UNREADABLE, why
        why = f"the key log names this session, but its secrets don't decrypt what the {self.party} sent"
        return TlsProblem.WRONG_SECRETS, why

    @property
    def holding(self) -> bool:
        """Whether records wait for their keys."""
        return bool(self._held)

    def hold(self, item: RecordOrGap) -> bool:
        """Keep a record until there are keys; return whether that is no longer worth while."""
        self._held.append(item)
        self._held_bytes += _HELD_BYTES + (len(item.fragment) if isinstance(item, TlsRecord) else 0)
        return self._held_bytes > MAX_HELD

    def release(self) -> list[RecordOrGap]:
        """Return what waits."""
        held, self._held, self._held_bytes = self._held, [], 0
        return held

    def give_up(self) -> None:
        """Keep nothing, and look at nothing any more."""
        self.over = True
        self.release()

    def gap(self, gap: TlsRecordGap) -> None:
        """Take note that records are missing."""
        self.gapped = True
        self._expected = self._expected if gap.measured else None
        self.handshake.reset()

    def passed(self, record: TlsRecord) -> None:
        """Take note of a record that wasn't encrypted."""
        self._expected = record.end

    def change_keys(self) -> None:
        """Go over to the keys that follow."""
        self.opener = self.pending
        self.pending = self.opener.updated() if self.opener is not None else None
        self._sequence = 0
        self.encrypted = True
        self.awaiting = False

    def open(self, record: TlsRecord) -> DecryptedRecord | None:
        """Return what the next record holds, None if it isn't the next one or is damaged."""
        opened = self.opener.open(record, self._sequence) if self.opener is not None else None
        if opened is not None:
            self._count(record, self._sequence)
        return opened

    def search(self, record: TlsRecord) -> tuple[DecryptedRecord, RecordLoss] | None:
        """Return what a record holds whose number and keys aren't known for sure, None if it can't be opened."""
        for opener, sequence in self._tries(record):
            self._tried += 1
            opened = opener.open(record, sequence)
            if opened is not None:
                return opened, self._found(record, opener, sequence)
        self.failed += 1
        return None

    def _tries(self, record: TlsRecord) -> Iterator[tuple[RecordDecryptor, int]]:
        window = _USUAL_WINDOW
        if self._expected is not None:
            missing = max(record.start - self._expected, 0)
            window = min(_WINDOW + self.failed + missing // _SHORTEST_RECORD, _WIDEST_WINDOW)
        if self.opener is not None:
            yield from ((self.opener, number) for number in range(self._sequence, self._sequence + window))
        if self.pending is not None:
            yield from ((self.pending, number) for number in range(min(window, _USUAL_WINDOW)))

    def _found(self, record: TlsRecord, opener: RecordDecryptor, sequence: int) -> RecordLoss:
        changed = opener is not self.opener
        if changed:
            self.change_keys()
        lost = sequence - self._sequence
        size = None
        if not changed and opener.overhead is not None and self._expected is not None:
            size = record.start - self._expected - lost * opener.overhead
        self._count(record, sequence)
        return RecordLoss(lost, size if size is not None and size >= 0 else None)

    def _count(self, record: TlsRecord, sequence: int) -> None:
        self._sequence = sequence + 1
        self._expected = record.end
        self._tried = self.failed = 0
        self.verified = True
