"""What has to be pushed out before a killAudio."""

import pytest

from listenctl.protocol.call_sharing.shared_stream import StreamTail

SOUND = b"\x01\x00" * 100
PAD = bytes(2560)


def zeros(*sent: bytes, rate: int | None = 8000) -> int:
    tail = StreamTail()
    for data in sent:
        tail.add_audio(data)
    return len(tail.flushing_zeros(rate)) // 2


@pytest.mark.parametrize(("rate", "samples"), [(8000, 1280), (16_000, 2560), (24_000, 3840), (None, 3840)])
def test_behind_a_sound_there_may_be_as_much_as_the_pre_buffer_ever_holds(rate: int | None, samples: int) -> None:
    assert zeros(SOUND, rate=rate) == samples


@pytest.mark.parametrize("sent", [(), (PAD,), (SOUND, PAD), (SOUND + PAD,), (SOUND, bytes(2000), bytes(560))])
def test_behind_enough_silence_there_is_nothing(sent: tuple[bytes, ...]) -> None:
    assert zeros(*sent) == 0


@pytest.mark.parametrize("sent", [(SOUND, bytes(2558)), (SOUND, PAD, SOUND), (SOUND, bytes(2000), SOUND, bytes(2000))])
def test_too_little_silence_is_none(sent: tuple[bytes, ...]) -> None:
    assert zeros(*sent) == 1280


def test_what_was_pushed_out_is_not_pushed_again() -> None:
    tail = StreamTail()
    tail.add_audio(SOUND)

    tail.forget_audio()

    assert tail.flushing_zeros(8000) == b""
