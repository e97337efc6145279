import pytest
from hypothesis import given
from hypothesis import strategies as st

from listenctl.protocol.frames.frame_format import (
    binary_frame,
    build_frame,
    change_mask,
    close_code,
    close_frame,
    parse_sizes,
    text_frame,
)
from tests.helpers.frames import BINARY, CLOSE, MASK, PING, TEXT, frame

SIZES = (0, 1, 125, 126, 65_535, 65_536)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mask", [MASK, None], ids=["client", "server"])
def test_a_frame_is_built_and_its_sizes_are_read_as_soon_as_the_length_is_there(size: int, mask: bytes | None) -> None:
    data = build_frame(0x40 | PING, bytes(range(256)) * (size // 256) + bytes(size % 256), mask)

    assert data == frame(PING, bytes(range(256)) * (size // 256) + bytes(size % 256), fin=False, mask=mask, rsv=4)
    length_bytes = 2 if size < 126 else 4 if size < 65_536 else 10
    header_bytes = length_bytes + 4 * (mask is not None)
    assert [parse_sizes(b"x" + data[:end], 1) for end in range(length_bytes)] == [None] * length_bytes
    assert parse_sizes(data[:length_bytes]) == parse_sizes(b"x" + data, 1) == (header_bytes, size)


MASKS = st.binary(min_size=4, max_size=4)


@pytest.mark.parametrize("size", SIZES)
@given(mask=MASKS, change=MASKS)
def test_a_frame_with_another_mask_has_the_same_payload(size: int, mask: bytes, change: bytes) -> None:
    payload = bytes(range(256)) * (size // 256) + bytes(size % 256)
    other = bytes(one ^ two for one, two in zip(mask, change, strict=True))

    assert change_mask(binary_frame(payload, mask), change) == binary_frame(payload, other)


@given(st.binary(max_size=200))
def test_client_frames_are_final_and_masked(payload: bytes) -> None:
    assert text_frame(payload, MASK) == frame(TEXT, payload)
    assert binary_frame(payload, MASK) == frame(BINARY, payload)


def test_a_close_has_a_code_and_a_reason_or_neither() -> None:
    assert close_frame(1000, MASK) == frame(CLOSE, b"\x03\xe8")
    assert close_frame(1001, MASK, b"bye") == frame(CLOSE, b"\x03\xe9bye")
    assert close_frame(None, MASK) == frame(CLOSE, b"")
    assert [close_code(payload) for payload in (b"", b"\x03", b"\x03\xe8", b"\x03\xe9bye")] == [None, None, 1000, 1001]
