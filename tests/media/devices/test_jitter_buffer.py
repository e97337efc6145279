import numpy as np
import pytest

from listenctl.media.devices.jitter_buffer import JitterBuffer

RATE = 48000
FREQUENCY = 440
Frames = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


def wave(start: int, count: int) -> Frames:
    at = np.arange(start, start + count)
    return (0.25 * np.sin(2 * np.pi * FREQUENCY * at / RATE)).astype(np.float32)[:, np.newaxis]


def play(seconds: float, *, message: int = 960, request: int = 480, drift: float = 0.0) -> tuple[Frames, list[int]]:
    """
    Play a sine while its messages come and a device asks; return what is heard, and what waited at each request.

    Args:
        drift: how much more than asked for the call sends.
    """
    buffer, heard, waiting, sent = JitterBuffer(RATE, 1), [], [], 0
    for asked in range(0, round(seconds * RATE), request):
        while sent + message <= asked * (1 + drift):
            buffer.add_frames(wave(sent, message))
            sent += message
        heard.append(buffer.take_frames(request))
        waiting.append(buffer.waiting_samples)
    return np.concatenate(heard)[:, 0], waiting


def clicks(sound: Frames) -> int:
    """Return how many samples don't follow from those before as those of a sine do."""
    expected = 2 * np.cos(2 * np.pi * FREQUENCY / RATE) * sound[1:-1] - sound[:-2]
    return int((np.abs(sound[2:] - expected) > 0.002).sum())


def gaps(sound: Frames) -> int:
    """Return how many pieces of 10 ms are much less loud than the sine, from the first that isn't silent on."""
    pieces = sound[: len(sound) // 480 * 480].reshape(-1, 480)
    loud = np.sqrt((pieces**2).mean(axis=1)) > 0.15
    return int((~loud[loud.argmax() :]).sum())


def test_sound_begins_when_enough_waits_and_goes_on_without_a_gap() -> None:
    sound, waiting = play(10)

    begins = np.flatnonzero(sound)[0] / RATE
    assert 0.02 < begins < 0.08
    assert gaps(sound) == 0
    assert clicks(sound) == 0
    assert max(waiting) < 0.07 * RATE


@pytest.mark.parametrize("drift", [2e-3, -2e-3, 1e-4])
def test_clocks_that_differ_are_evened_out_without_a_click(drift: float) -> None:
    sound, waiting = play(60, drift=drift)

    assert gaps(sound) == 0
    assert clicks(sound) == 0
    assert max(waiting) < 0.08 * RATE
    assert min(waiting[20:]) >= 0


def test_what_comes_in_a_burst_is_skipped_rather_than_heard_late() -> None:
    buffer = JitterBuffer(RATE, 1)

    buffer.add_frames(wave(0, 2 * RATE))
    first = buffer.take_frames(480)

    assert buffer.waiting_samples < 0.05 * RATE
    assert np.abs(first[240:] - wave(2 * RATE - buffer.waiting_samples - 240, 240)).max() < 1e-6


def test_what_waited_for_a_device_that_stood_still_isnt_heard_late() -> None:
    buffer = JitterBuffer(RATE, 1)
    buffer.take_frames(480)
    buffer.add_frames(wave(0, round(0.15 * RATE)))

    buffer.skip_backlog()
    first = buffer.take_frames(480)

    assert 0.03 * RATE < buffer.waiting_samples < 0.04 * RATE
    assert np.abs(first[240:] - wave(round(0.15 * RATE) - buffer.waiting_samples - 240, 240)).max() < 1e-6


def test_a_device_that_didnt_stand_still_for_long_misses_nothing() -> None:
    sounds = []
    for catches_up in (True, False):
        buffer = JitterBuffer(RATE, 1)
        buffer.add_frames(wave(0, 2160))
        before = buffer.take_frames(480)
        if catches_up:
            buffer.skip_backlog()
        sounds.append(np.concatenate((before, buffer.take_frames(480))))

    assert np.array_equal(sounds[0], sounds[1])


def test_a_large_cushion_is_given_up_when_it_is_no_longer_needed() -> None:
    buffer, sent, waiting = JitterBuffer(RATE, 1), 0, []
    for asked in range(0, 30 * RATE, 480):
        message = 4800 if asked < 5 * RATE else 960
        while sent + message <= asked:
            buffer.add_frames(wave(sent, message))
            sent += message
        buffer.take_frames(480)
        waiting.append(buffer.waiting_samples)

    assert max(waiting[-200:]) < 0.07 * RATE


def test_sound_that_ends_fades_out_and_begins_again_after_the_pause() -> None:
    buffer = JitterBuffer(RATE, 2)
    loud = np.full((4800, 2), 0.5, np.float32)
    buffer.add_frames(loud)

    ended = np.concatenate([buffer.take_frames(480) for _ in range(12)])
    buffer.add_frames(loud)
    again = np.concatenate([buffer.take_frames(480) for _ in range(5)])

    steps = np.abs(np.diff(np.concatenate((ended, again))[:, 0]))
    assert steps.max() < 0.01
    assert not ended[-480:].any()
    assert again[-480:].min() == 0.5
    assert np.array_equal(again[:, 0], again[:, 1])


@pytest.mark.parametrize(
    ("message", "request_size", "settled"), [*((960, size, 0) for size in (64, 480, 1024, 4096)), (4800, 480, 2)]
)
def test_messages_and_requests_of_any_size_leave_no_gap(message: int, request_size: int, settled: int) -> None:
    sound, _ = play(10, message=message, request=request_size)

    # There are gaps until the buffer has learned that messages are larger.
    assert gaps(sound[settled * RATE :]) == 0
    assert clicks(sound[settled * RATE :]) == 0
