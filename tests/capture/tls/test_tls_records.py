from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listenctl.capture.tls.tls_records import (
    MAX_FRAGMENT,
    RecordOrGap,
    TlsRecord,
    TlsRecordGap,
    TlsRecordSplitter,
    record_size,
)

HELLO = b"\x16\x03\x01\x00\x04\x01\x00\x00\x00"
DATA = b"\x17\x03\x03\x00\x03abc"
MORE = b"\x17\x03\x03\x00\x02de"


def fragments(items: list[RecordOrGap]) -> list[bytes | None]:
    """Return the contents of the records, None for each gap."""
    return [item.fragment if isinstance(item, TlsRecord) else None for item in items]


@pytest.mark.parametrize("cut", [1, 2, 5, 8, 100])
def test_records_are_cut_from_any_pieces(cut: int) -> None:
    splitter = TlsRecordSplitter()
    sent = HELLO + DATA + MORE

    items = [item for at in range(0, len(sent), cut) for item in splitter.feed(sent[at : at + cut], at)]

    assert fragments(items) == [b"\x01\x00\x00\x00", b"abc", b"de"]
    assert [item.start for item in items if isinstance(item, TlsRecord)] == [0, 9, 17]


def test_a_record_has_the_time_of_its_last_byte() -> None:
    splitter = TlsRecordSplitter()
    splitter.feed(DATA[:-1], 1.0)

    assert splitter.feed(DATA[-1:], 2.0) == [TlsRecord(2.0, 0, DATA[:5], b"abc")]


@pytest.mark.parametrize(
    "header",
    [
        b"\x13\x03\x03\x00\x01",
        b"\x19\x03\x03\x00\x01",
        b"\x17\x02\x03\x00\x01",
        b"\x17\x03\x05\x00\x01",
        b"\x17\x03\x03\x00\x00",
        b"\x17\x03\x03" + (MAX_FRAGMENT + 1).to_bytes(2, "big"),
        b"\x17\x03\x03\x00",
    ],
)
def test_what_begins_no_record_is_known(header: bytes) -> None:
    assert record_size(header) == 0


def test_the_largest_record_is_one() -> None:
    assert record_size(b"\x17\x03\x03" + MAX_FRAGMENT.to_bytes(2, "big")) == 5 + MAX_FRAGMENT


def test_after_a_gap_the_next_record_is_found() -> None:
    splitter = TlsRecordSplitter()
    splitter.feed(DATA, 0.0)

    items = splitter.skip_missing(1000, 1.0) + splitter.feed(b"garbage" + DATA + MORE, 2.0)

    assert items == [TlsRecordGap(1.0), TlsRecord(2.0, 1015, DATA[:5], b"abc"), TlsRecord(2.0, 1023, MORE[:5], b"de")]


def test_a_gap_inside_a_record_costs_this_record_only() -> None:
    splitter = TlsRecordSplitter()
    long = b"\x17\x03\x03\x01\x00" + DATA * 32
    splitter.feed(long[:8], 0.0)

    # The content looks like records; only the length tells where this one ends.
    items = splitter.skip_missing(100, 1.0) + splitter.feed(long[108:] + MORE, 2.0)

    assert items == [TlsRecordGap(1.0), TlsRecord(2.0, len(long), MORE[:5], b"de")]


def test_a_second_gap_in_the_same_record_is_counted() -> None:
    splitter = TlsRecordSplitter()
    long = b"\x17\x03\x03\x01\x00" + DATA * 32
    splitter.feed(long[:8], 0.0)

    splitter.skip_missing(100, 1.0)
    splitter.feed(long[108:150], 2.0)
    splitter.skip_missing(20, 3.0)

    assert fragments(splitter.feed(long[170:] + MORE, 4.0)) == [b"de"]


def test_a_gap_that_ends_where_a_record_ends_costs_no_search() -> None:
    splitter = TlsRecordSplitter()
    splitter.feed(DATA[:6], 0.0)

    assert fragments(splitter.skip_missing(2, 1.0) + splitter.feed(MORE, 2.0)) == [None, b"de"]


def test_a_plausible_header_alone_waits_for_the_one_that_it_leads_to() -> None:
    splitter = TlsRecordSplitter()
    splitter.skip_missing(10, 0.0)

    assert splitter.feed(DATA + MORE[:3], 1.0) == []
    assert fragments(splitter.feed(MORE[3:], 2.0)) == [b"abc", b"de"]


def test_a_damaged_length_hides_no_records() -> None:
    splitter = TlsRecordSplitter()
    damaged = b"\x17\x03\x03\x00\x15" + DATA[5:]

    items = splitter.feed(DATA + damaged + MORE + DATA + MORE + DATA, 1.0)

    assert fragments(items)[-4:] == [b"de", b"abc", b"de", b"abc"]


def test_a_damaged_length_beyond_the_end_hides_no_records() -> None:
    splitter = TlsRecordSplitter()
    damaged = b"\x17\x03\x03\x40\x00" + DATA[5:]

    assert fragments(splitter.feed(DATA + damaged + MORE + DATA, 1.0)) == [b"abc"]
    assert fragments(splitter.end_data(2.0)) == [None, b"de", b"abc"]


def test_an_incomplete_record_at_the_end_is_no_gap() -> None:
    splitter = TlsRecordSplitter()
    splitter.feed(DATA + MORE[:-1], 1.0)

    assert splitter.end_data(2.0) == []


@given(st.lists(st.one_of(st.binary(max_size=40), st.sampled_from([DATA, MORE, HELLO]), st.integers(1, 50))))
def test_records_of_anything_follow_one_another(stream: list[bytes | int]) -> None:
    splitter = TlsRecordSplitter()

    items = [
        item
        for piece in stream
        for item in (splitter.feed(piece, 0.0) if isinstance(piece, bytes) else splitter.skip_missing(piece, 0.0))
    ] + splitter.end_data(0.0)

    total = sum(piece if isinstance(piece, int) else len(piece) for piece in stream)
    records = [item for item in items if isinstance(item, TlsRecord)]
    assert all(record.end <= total for record in records)
    assert all(first.start < second.start for first, second in pairwise(records))


def test_memory_is_bounded_while_searching() -> None:
    splitter = TlsRecordSplitter()

    for _ in range(100):
        assert fragments(splitter.feed(b"\0" * 10_000, 0.0)) in ([], [None])

    assert splitter._held_bytes < 10
