"""What a frame reader says of a frame whose end hasn't come."""

import pytest

from listenctl.protocol.frames.raw_frame_reader import RawFrame, RawFrameReader
from tests.helpers.frames import binary, frame


@pytest.mark.parametrize("size", [5, 300, 70_000])
@pytest.mark.parametrize("mask", [None, b"abcd"])
def test_a_frame_that_has_begun_is_told_with_what_it_lacks(size: int, mask: bytes | None) -> None:
    payload = bytes(index % 256 for index in range(size))
    reader = RawFrameReader()

    reader.feed(binary(b"before") + frame(1, payload, mask=mask, fin=False)[:-2])

    assert reader.incomplete_frame() == (RawFrame(False, 0, 1, mask is not None, payload[:-2]), 2)


def test_a_frame_of_which_only_the_header_is_there_has_begun() -> None:
    reader = RawFrameReader()

    reader.feed(binary(b"x" * 200)[:8])

    assert reader.incomplete_frame() == (RawFrame(True, 0, 2, True, b""), 200)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 7])
def test_without_its_header_nothing_is_known_of_a_frame(size: int) -> None:
    reader = RawFrameReader()

    reader.feed(binary(b"x" * 200)[:size])

    assert reader.incomplete_frame() is None
