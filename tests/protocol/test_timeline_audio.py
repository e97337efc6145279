"""Audio that is taken many messages at once means just what it means message by message."""

import random
from collections.abc import Sequence
from copy import copy

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.protocol.gaps.gap_ledger import GapLedger
from listenctl.protocol.gaps.lateness import ClockDrift
from listenctl.protocol.listen_session import AudioReceived, ListenSession, Sender
from listenctl.protocol.timeline import TimedFrame, Timeline, TimelineEntry
from tests.helpers.arrivals import Arrival, call, held_up, overrun, without
from tests.helpers.frames import BINARY, TEXT

METADATA = b'{"sampleRate":8000,"mixType":"mono","callSid":"CS-A"}'
# Seconds since the message before: in time, all at once, a little late, late, and a pause.
WAITS = st.sampled_from([0.0, 0.01, 0.02, 0.02, 0.02, 0.021, 0.03, 0.1, 0.249, 0.25, 0.4, 3.0])
SIZES = st.sampled_from([320, 320, 320, 320, 320, 304, 640, 3200, 321])


def state(ledger: GapLedger) -> dict[str, object]:
    """Return a copy of all that a ledger knows, of which much shows only long after."""
    return {
        name: dict(vars(value)) if isinstance(value, ClockDrift) else copy(value)
        for name, value in vars(ledger).items()
    }


class Call:
    """One call, of which everything that can be asked is noted."""

    def __init__(self) -> None:
        self.session = ListenSession(started_at=0.0, default_format=AudioFormat(8000, 1))
        self.timeline = Timeline(self.session)
        self.entries: list[TimelineEntry] = []
        self.told(0.0, TEXT, METADATA)

    def told(self, at: float, opcode: int, payload: bytes) -> None:
        frame = RawFrame(True, 0, opcode, True, payload)
        self.entries += self.timeline.take_frame(TimedFrame(at, Sender.JAMBONZ, frame))

    def finish(self, at: float | None) -> tuple[object, ...]:
        ledger = self.session.ledger
        before = (self.timeline.time, self.session.position, state(ledger))
        self.entries += self.timeline.end_call(at)
        lost = (ledger.lost_samples, ledger.paused_samples, ledger.clock_drift())
        return before, lost, ledger.gaps, [one for one in self.entries if not isinstance(one.event, AudioReceived)]


def one_by_one(arrivals: Sequence[Arrival], end: float | None) -> tuple[object, ...]:
    call = Call()
    for at, size in arrivals:
        call.told(at, BINARY, bytes(size))
    return call.finish(end)


def at_once(arrivals: Sequence[Arrival], end: float | None, chance: random.Random) -> tuple[tuple[object, ...], int]:
    """Take runs of random length at once, and one by one what can't be; return how many were in runs, too."""
    call, left, fast = Call(), list(arrivals), 0
    while left:
        run = left[: chance.randint(1, 60)]
        times = [at for at, size in run if size == run[0][1]]
        taken = call.timeline.take_audio_run(times, run[0][1]) if len(times) == len(run) else 0
        if not taken:
            call.told(left[0][0], BINARY, bytes(left[0][1]))
        fast += taken
        left = left[max(1, taken) :]
    return call.finish(end), fast


@given(
    st.lists(st.tuples(st.floats(0, 0.004), WAITS, SIZES), min_size=1, max_size=200),
    st.integers(0, 1000),
    st.booleans(),
)
# The first message lacks its head, which is found but not told before the run.
@example([(0.0, 0.0, 304), (0.0, 0.0, 320), (0.0, 0.01, 320), (0.00390625, 0.0, 320)], 0, False)
def test_any_audio_means_the_same(steps: list[tuple[float, float, int]], seed: int, ended: bool) -> None:
    at, arrivals = 0.0, []
    for jitter, wait, size in steps:
        at += wait
        arrivals.append((at + jitter, size))
    end = at + 1.5 if ended else None

    same, _ = at_once(arrivals, end, random.Random(seed))

    assert same == one_by_one(arrivals, end)


@pytest.mark.parametrize(
    ("arrivals", "share"),
    [
        (call(60), 0.95),
        (call(60, jitter=0.02), 0.9),
        (call(700, jitter=0.06, ppm=400), 0.9),
        (call(700, jitter=0.002, ppm=-400), 0.9),
        (without(call(60, jitter=0.01), 20, 3), 0.9),
        (held_up(call(60, jitter=0.01), 20, 2), 0.9),
        (overrun(kernel=1.0, stop=8.0), 0.3),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_calls_mean_the_same_and_nearly_all_is_taken_at_once(arrivals: list[Arrival], share: float, seed: int) -> None:
    end = arrivals[-1][0] + 0.02

    same, fast = at_once(arrivals, end, random.Random(seed))

    assert same == one_by_one(arrivals, end)
    assert fast >= share * len(arrivals)


def test_nothing_is_taken_within_a_fragmented_message_or_before_the_format_is_known() -> None:
    fresh = Timeline(ListenSession(started_at=0.0, default_format=AudioFormat(8000, 1)))
    call = Call()
    for at in (0.02, 0.04, 0.06):
        call.told(at, BINARY, bytes(320))
    begun = RawFrame(False, 0, BINARY, True, bytes(320))
    call.timeline.take_frame(TimedFrame(0.08, Sender.JAMBONZ, begun))

    assert fresh.take_audio_run([0.02, 0.04], 320) == 0
    assert call.timeline.take_audio_run([0.1, 0.12], 320) == 0
