import struct

import pytest

from listenctl.protocol.jambonz_model.profiles import CURRENT, IDEAL
from listenctl.protocol.listen_verb.listen_verb import ListenVerb
from listenctl.simulator.call_limits import CallLimits
from listenctl.simulator.plan import CallPlan
from tests.helpers.scripted_server import target

SILENCE = bytes(320)
COMFORT_NOISE = struct.pack("<160h", *(255 if at % 2 else -255 for at in range(160)))
SPEECH = struct.pack("<160h", *[0] * 159, 257)
NEGATIVE_SPEECH = struct.pack("<160h", *[0] * 159, -257)


def limits(timeout: float | None, *frames: bytes, ideal: bool = True) -> CallLimits:
    profile = IDEAL if ideal else CURRENT
    limits = CallLimits(CallPlan(target=target(1), verb=ListenVerb(timeout=timeout), profile=profile))
    for frame in frames:
        limits.add_caller_audio(frame)
    return limits


@pytest.mark.parametrize(
    ("frames", "exceeded"),
    [
        ([SILENCE] * 4, ""),
        ([SILENCE] * 5, "silence-timeout"),
        ([COMFORT_NOISE] * 5, "silence-timeout"),
        ([*[SILENCE] * 4, SPEECH, *[SILENCE] * 4], ""),
        ([*[SILENCE] * 4, SPEECH, *[SILENCE] * 5], "silence-timeout"),
        ([*[SILENCE] * 4, NEGATIVE_SPEECH, *[SILENCE] * 4], ""),
        # A timeout that has passed stays so; an empty frame changes nothing.
        ([bytes(1600), SPEECH, SPEECH], "silence-timeout"),
        ([b"", bytes(1600), b""], "silence-timeout"),
    ],
)
def test_silence_of_the_caller_ends_the_call(frames: list[bytes], exceeded: str) -> None:
    assert limits(0.1, *frames).exceeded(0.0, 0.0) == exceeded


def test_without_a_timeout_or_as_any_real_jambonz_no_silence_ends_the_call() -> None:
    assert limits(None, *[SILENCE] * 1000).exceeded(0.0, 0.0) == ""
    assert limits(0.1, *[SILENCE] * 1000, ideal=False).exceeded(0.0, 0.0) == ""


def test_durations_end_the_call() -> None:
    both = CallLimits(CallPlan(target=target(1), verb=ListenVerb(max_length=2.0), duration=3.0))

    assert [both.exceeded(elapsed, elapsed) for elapsed in (1.99, 2.0, 3.0)] == ["", "max-length", "duration"]


def test_a_call_that_falls_behind_the_clock_ends_by_the_clock() -> None:
    late = CallLimits(CallPlan(target=target(1), duration=8.0))

    assert [late.exceeded(2.0, elapsed) for elapsed in (8.0, 8.9, 9.0)] == ["", "", "duration"]
