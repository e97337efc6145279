import pytest

from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.jambonz_model.send_buffer import SendBuffer

MONO = AudioFormat(8000, 1)


def numbered(size: int, number: int) -> bytes:
    return bytes([number % 256]) * size


def fill(buffer: SendBuffer, size: int, frames: int) -> int:
    return sum(buffer.add_frame(numbered(size, number)) for number in range(frames))


def test_a_frame_leaves_as_it_came() -> None:
    buffer = SendBuffer(MONO, resampled=False)

    assert buffer.add_frame(numbered(320, 1)) == 0
    assert buffer.waiting_bytes == 320
    assert buffer.take_message() == numbered(320, 1)
    assert buffer.take_message() == b""
    assert buffer.waiting_bytes == 0


@pytest.mark.parametrize(
    ("audio_format", "seconds", "frames", "lost", "message"),
    [
        (MONO, 2.0, 6, 0, 1920),
        (MONO, 2.0, 26, 0, 8320),
        (MONO, 2.0, 61, 0, 19_520),
        (MONO, 2.0, 100, 0, 32_000),
        (AudioFormat(48_000, 2), 2.0, 100, 0, 384_000),
        # An overrun costs all that waited and sixteen bytes.
        (MONO, 2.0, 101, 16_008, 304),
        (MONO, 2.0, 126, 16_008, 8304),
        (MONO, 2.0, 151, 16_008, 16_304),
        # Of the second, the sixteen bytes that the first has cost are not lost again.
        (MONO, 2.0, 201, 32_008, 304),
        (MONO, 3.0, 200, 24_008, 50 * 320 - 16),
    ],
)
def test_waiting_audio_is_one_message_and_an_overrun_drops_it(
    audio_format: AudioFormat, seconds: float, frames: int, lost: int, message: int
) -> None:
    buffer = SendBuffer(audio_format, seconds=seconds, resampled=False)

    assert fill(buffer, audio_format.byte_rate // 50, frames) == lost
    assert len(buffer.take_message()) == message
    assert buffer.take_message() == b""


def test_only_the_frame_after_an_overrun_lacks_its_first_sixteen_bytes() -> None:
    buffer = SendBuffer(AudioFormat(8000, 2), seconds=3.0, resampled=False)
    last = bytes(range(256)) * 2 + bytes(128)

    assert fill(buffer, 640, 150) == 0
    assert buffer.add_frame(last) == 24_000 + 4
    assert buffer.waiting_bytes == 624
    assert buffer.take_message() == last[16:]
    buffer.add_frame(last)
    assert buffer.take_message() == last


def test_every_sample_is_sent_or_counted_as_lost() -> None:
    for frames in range(1, 400, 7):
        buffer = SendBuffer(MONO, seconds=3.0, resampled=False)

        lost = fill(buffer, 320, frames)

        assert lost + len(buffer.take_message()) // 2 == frames * 160


def test_resampled_audio_is_not_lost_but_leaves_in_messages_of_two_seconds() -> None:
    buffer = SendBuffer(AudioFormat(16_000, 1), resampled=True)

    assert fill(buffer, 640, 203) == 0
    assert [len(buffer.take_message()) for _ in range(4)] == [64_000, 64_000, 1920, 0]


@pytest.mark.parametrize(("call_rate", "seconds"), [(8000, 32.768), (16_000, 16.384)])
def test_resampled_audio_is_lost_when_freeswitch_is_full_too(call_rate: int, seconds: float) -> None:
    buffer = SendBuffer(AudioFormat(24_000, 2), resampled=True, call_rate=call_rate)
    frames = int((2 + seconds) * 50)

    assert fill(buffer, 1920, frames) == 0
    assert buffer.add_frame(numbered(1920, 1)) == 480
    assert buffer.waiting_bytes == frames * 1920
    assert len(buffer.take_message()) == 192_000
    assert buffer.add_frame(numbered(1920, 2)) == 0
