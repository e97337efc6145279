import io
from typing import BinaryIO, cast

import pytest

from listenctl.media.encryption.age_keys import AGE_MAGIC
from listenctl.media.encryption.encrypted_messages import FIRST_LINE, LAST_LINE, AudioMessage, MessageReader
from listenctl.protocol.audio import AudioFormat

ONE, TWO, THREE = (AGE_MAGIC + body for body in (b"one", b"two\n25\n", b"three"))
WHOLE = FIRST_LINE + b"25\n" + ONE + b"29\n" + TWO + b"27\n" + THREE + LAST_LINE


class SlowFile(io.BytesIO):
    """Gives one byte at a time."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(1, size or 0))


def read(data: bytes, kind: type[io.BytesIO] = io.BytesIO) -> tuple[list[bytes], bool, int]:
    reader = MessageReader(cast("BinaryIO", kind(data)))
    assert reader.read_first_line()
    return list(reader.read_messages()), reader.ended, reader.skipped_bytes


@pytest.mark.parametrize("kind", [io.BytesIO, SlowFile])
def test_a_file_is_cut_into_its_messages(kind: type[io.BytesIO]) -> None:
    assert read(WHOLE, kind) == ([ONE, TWO, THREE], True, 0)


@pytest.mark.parametrize("kind", [io.BytesIO, SlowFile])
@pytest.mark.parametrize(("cut", "whole", "skipped"), [(4, 3, 0), (5, 2, 29), (7 + 27 + 1, 1, 31), (64, 1, 2)])
def test_a_file_that_was_cut_has_its_whole_messages(kind: type[io.BytesIO], cut: int, whole: int, skipped: int) -> None:
    messages, ended, more = read(WHOLE[:-cut], kind)

    assert (messages, ended, more) == ([ONE, TWO, THREE][:whole], False, skipped)


@pytest.mark.parametrize("kind", [io.BytesIO, SlowFile])
@pytest.mark.parametrize("length", [b"", b"x", b"9999999", b"\n\n"])
def test_after_damage_reading_goes_on_at_the_next_message(kind: type[io.BytesIO], length: bytes) -> None:
    data = WHOLE.replace(b"29\n", length + b"\n" if length != b"" else b"", 1)

    messages, ended, skipped = read(data, kind)

    assert (messages, ended) == ([ONE, THREE], True)
    assert skipped == len(data) - len(WHOLE) + 32


def test_another_file_is_no_encrypted_recording() -> None:
    assert not MessageReader(io.BytesIO(b"RIFF")).read_first_line()
    assert not MessageReader(io.BytesIO(b"")).read_first_line()


def test_a_message_is_a_line_of_json_and_audio() -> None:
    message = AudioMessage("f", 3, AudioFormat(8000, 2), at=12, silence=4, audio=b"\n\0ab", last=True)

    data = message.serialize()

    assert data == (
        b'{"v": 1, "file": "f", "number": 3, "sample_rate": 8000, "channels": 2, "at": 12, "silence": 4, "last": true}'
        b"\n\n\0ab"
    )
    assert AudioMessage.parse(data) == message


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        (b'"v": 1', b'"v": 2'),
        (b'"number": 3', b'"number": -3'),
        (b'"number": 3', b'"number": "3"'),
        (b'"sample_rate": 8000', b'"sample_rate": 0'),
        (b'"channels": 2', b'"channels": 3'),
        (b'"at": 12', b'"at": 1e99'),
        (b'"at": 12', b'"at": 999999999999999999999'),
        (b'"silence": 4, ', b""),
        (b"{", b"["),
    ],
)
def test_what_is_no_message_is_refused(was: bytes, becomes: bytes) -> None:
    data = AudioMessage("f", 3, AudioFormat(8000, 2), at=12, silence=4, audio=b"ab", last=True).serialize()

    assert was in data
    assert AudioMessage.parse(data.replace(was, becomes, 1)) is None
