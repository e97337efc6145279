import pytest

from listenctl.protocol.frames.frame_rate_limit import (
    AUDIO_OF_FRAME,
    BACKLOG_AFTER,
    FLOOD_AFTER,
    FRAME_RATE,
    MOST_SAVED,
    SMALL_FRAME,
    FrameRateLimit,
)


def seconds_until_flood(
    rate: float, *, audio: float = 0.0, most: float = 60.0, allowed: float = FRAME_RATE
) -> float | None:
    """Return after how long a peer floods that sends ``rate`` small frames a second, each with ``audio`` bytes."""
    limit = FrameRateLimit(0.0, allowed)
    sent = read = 0.0
    for tick in range(round(most * 10)):
        now = tick / 10
        sent += rate / 10
        if limit.may_read(now):
            # As a turn on the event loop.
            taken = min(sent - read, 256)
            read += taken
            limit.add_frames(round(taken), now, round(taken * audio))
        if limit.is_flooded(now):
            return now
    return None


@pytest.mark.parametrize("rate", [1, 100, FRAME_RATE])
def test_what_a_call_needs_is_no_flood(rate: float) -> None:
    assert seconds_until_flood(rate) is None


@pytest.mark.parametrize("rate", [2 * FRAME_RATE, 10 * FRAME_RATE, 1e6])
def test_a_flood_is_known_after_some_seconds_however_slowly_it_is_read(rate: float) -> None:
    seconds = seconds_until_flood(rate)

    assert seconds is not None
    assert FLOOD_AFTER < seconds < 3 * FLOOD_AFTER


@pytest.mark.parametrize(
    ("small", "audio", "flooded"),
    [(500, 0, True), (500, 16_000, False), (100, 0, False)],
    ids=["only small", "with audio", "few"],
)
def test_a_peer_that_a_busy_server_reads_slowly_floods_if_its_small_frames_never_end(
    small: int, audio: int, flooded: bool
) -> None:
    limit = FrameRateLimit(0.0)
    found = []
    for second in range(round(BACKLOG_AFTER) + 1):
        limit.add_frames(small, float(second), audio)
        found.append(limit.fall_behind(float(second)))

    assert found == [False] * (len(found) - 1) + [flooded]


def test_a_peer_that_is_read_to_the_end_now_and_then_does_not_flood() -> None:
    limit = FrameRateLimit(0.0)
    for second in range(100):
        limit.add_frames(900, float(second))
        assert not limit.fall_behind(float(second))
        if second % 5 == 0:
            limit.catch_up()


def test_another_rate_can_be_chosen() -> None:
    assert seconds_until_flood(200, allowed=200) is None
    assert seconds_until_flood(400, allowed=200) is not None


def test_audio_that_is_replayed_faster_explains_more_frames() -> None:
    assert seconds_until_flood(2 * FRAME_RATE, audio=AUDIO_OF_FRAME) is None


@pytest.mark.parametrize("audio", [2, 16, SMALL_FRAME - 1])
def test_the_audio_of_small_frames_does_not_explain_them(audio: int) -> None:
    assert seconds_until_flood(10 * FRAME_RATE, audio=audio) is not None


def test_a_burst_is_no_flood_later() -> None:
    limit = FrameRateLimit(0.0)
    limit.add_frames(round(MOST_SAVED) + 500, 0.0)

    assert not limit.may_read(0.1)
    assert not limit.is_flooded(0.1)
    assert limit.may_read(1.0)
    assert not limit.is_flooded(100.0)
