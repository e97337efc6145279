import struct

from listenctl.simulator.call_limits import SilenceTimeout

COMFORT_NOISE = struct.pack("<160h", *(255 if at % 2 else -255 for at in range(160)))
SPEECH = struct.pack("<160h", *[0] * 159, 257)
DEEP = struct.pack("<160h", *[0] * 159, -257)


def fed(timeout: float | None, *frames: bytes) -> SilenceTimeout:
    silence = SilenceTimeout(timeout, 8000)
    for frame in frames:
        silence.feed(frame)
    return silence


def test_it_is_over_when_the_caller_was_silent_for_so_long() -> None:
    assert not fed(0.1, *[bytes(320)] * 4).is_over
    assert fed(0.1, *[bytes(320)] * 5).is_over


def test_noise_of_the_line_is_silence() -> None:
    assert fed(0.1, *[COMFORT_NOISE] * 5).is_over


def test_speech_of_either_sign_begins_the_time_anew() -> None:
    for sound in (SPEECH, DEEP):
        assert not fed(0.1, *[bytes(320)] * 4, sound, *[bytes(320)] * 4).is_over
        assert fed(0.1, *[bytes(320)] * 4, sound, *[bytes(320)] * 5).is_over


def test_what_is_over_stays_over() -> None:
    assert fed(0.04, bytes(640), SPEECH, SPEECH).is_over


def test_without_a_timeout_nobody_hangs_up() -> None:
    assert not fed(None, *[bytes(320)] * 1000).is_over


def test_a_frame_without_samples_changes_nothing() -> None:
    assert fed(0.02, b"", bytes(320), b"").is_over
