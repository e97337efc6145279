import pytest

from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.jambonz_model.send_buffer import SendBuffer

MONO = AudioFormat(8000, 1)
STEREO = AudioFormat(8000, 2)


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


@pytest.mark.parametrize(("frames", "message"), [(6, 1920), (26, 8320), (61, 19520), (100, 32_000)])
def test_what_waited_for_the_handshake_is_one_message(frames: int, message: int) -> None:
    buffer = SendBuffer(MONO, resampled=False)

    assert fill(buffer, 320, frames) == 0
    assert len(buffer.take_message()) == message
    assert buffer.take_message() == b""


@pytest.mark.parametrize(("frames", "message"), [(101, 304), (126, 8304), (151, 16_304)])
def test_a_handshake_longer_than_the_buffer_costs_two_seconds_and_eight_samples(frames: int, message: int) -> None:
    buffer = SendBuffer(MONO, resampled=False)

    assert fill(buffer, 320, frames) == 16_000 + 8
    assert len(buffer.take_message()) == message


def test_the_frame_after_an_overrun_lacks_its_first_sixteen_bytes() -> None:
    buffer = SendBuffer(STEREO, seconds=3.0, resampled=False)
    last = bytes(range(256)) * 2 + bytes(128)

    assert fill(buffer, 640, 150) == 0
    assert buffer.add_frame(last) == 24_000 + 4
    assert buffer.waiting_bytes == 624
    assert buffer.take_message() == last[16:]


def test_only_the_first_message_after_an_overrun_is_short() -> None:
    buffer = SendBuffer(MONO, resampled=False)
    fill(buffer, 320, 101)
    buffer.take_message()

    buffer.add_frame(numbered(320, 7))

    assert buffer.take_message() == numbered(320, 7)


def test_a_second_overrun_costs_what_has_come_since_the_first() -> None:
    buffer = SendBuffer(MONO, resampled=False)

    lost = fill(buffer, 320, 201)

    # 200 frames, and one header: the first frame after the first overrun is among those lost by the second.
    assert lost == 32_000 + 8
    assert len(buffer.take_message()) == 304


def test_every_sample_is_sent_or_counted_as_lost() -> None:
    for frames in range(1, 400, 7):
        buffer = SendBuffer(MONO, seconds=3.0, resampled=False)

        lost = fill(buffer, 320, frames)

        assert lost + len(buffer.take_message()) // 2 == frames * 160


def test_a_stall_of_four_seconds_leaves_one_hole_of_three() -> None:
    buffer = SendBuffer(MONO, seconds=3.0, resampled=False)

    assert fill(buffer, 320, 200) == 24_000 + 8
    assert len(buffer.take_message()) == 50 * 320 - 16


def test_the_largest_message_of_48_khz_stereo_is_two_seconds() -> None:
    buffer = SendBuffer(AudioFormat(48_000, 2), resampled=False)

    assert fill(buffer, 3840, 100) == 0
    assert len(buffer.take_message()) == 384_000


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
