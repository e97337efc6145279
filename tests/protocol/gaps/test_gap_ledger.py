"""The ledger on calls made up and real, read in both ways: at once, and in batches."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, pairwise
from operator import itemgetter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.frames.client_frame_reader import ClientFrameReader
from listenctl.protocol.frames.websocket_messages import BinaryMessages
from listenctl.protocol.gaps.gap import Gap, GapKind
from listenctl.protocol.gaps.gap_ledger import GapLedger
from tests.helpers.arrivals import FRAME_TIME, Arrivals, call, held_up, overrun, without
from tests.helpers.capture import CAPTURES, client_stream, received_audio

MONO = AudioFormat(8000, 1)
FRAME = 320
POLL_AT_ONCE = 0.25
POLL_IN_BATCHES = 0.4
Read = tuple[float, list[int]]


@dataclass(frozen=True, slots=True)
class Blocked:
    """Our own process does nothing from ``start`` to ``end``; what arrives meanwhile waits in the kernel."""

    start: float = 0.0
    end: float = 0.0

    def delay(self, at: float) -> float:
        return self.end if self.start <= at < self.end else at


NEVER = Blocked()


def samples(arrivals: Arrivals, before: float = float("inf")) -> int:
    return sum(size for at, size in arrivals if at <= before) // 2


def read_at_once(arrivals: Arrivals, end: float, blocked: Blocked) -> Iterator[Read]:
    """Read whatever arrives, and look for more from time to time."""
    polls = [(min(end, 0.013 + count * POLL_AT_ONCE), 0) for count in range(int(end / POLL_AT_ONCE) + 1)]
    due = sorted((blocked.delay(at), size) for at, size in arrivals + polls)
    for at, group in groupby(due, key=itemgetter(0)):
        yield at, [size for _, size in group if size]


def read_in_batches(arrivals: Arrivals, end: float, blocked: Blocked) -> Iterator[Read]:
    """Read the first audio at once, and what has come together four tenths of a second later, and so on."""
    waiting = deque(sorted(arrivals, key=itemgetter(0)))
    at, last = waiting[0][0], False
    while not last:
        last = at >= end
        now = blocked.delay(at)
        sizes = []
        while waiting and waiting[0][0] <= now:
            sizes.append(waiting.popleft()[1])
        yield now, sizes
        at = max(now, at + POLL_IN_BATCHES)


def read_all(ledger: GapLedger, reads: Iterator[Read]) -> list[Gap]:
    gaps: list[Gap] = []
    at = 0.0
    for at, sizes in reads:
        for size in sizes:
            ledger.add_messages(size)
        gaps += ledger.find_gaps(at)
    gaps += ledger.end_call(at)
    assert gaps == ledger.gaps
    return gaps


class Way:
    """One of the two ways to read a call."""

    def __init__(self, name: str) -> None:
        self._in_batches = name == "in batches"
        self.poll = POLL_IN_BATCHES if self._in_batches else POLL_AT_ONCE

    def listen(
        self,
        arrivals: Arrivals,
        *,
        end: float | None = None,
        started_at: float = 0.0,
        audio_format: AudioFormat = MONO,
        blocked: Blocked = NEVER,
    ) -> GapLedger:
        ledger = GapLedger(audio_format, started_at)
        read = read_in_batches if self._in_batches else read_at_once
        read_all(ledger, read(arrivals, end or arrivals[-1][0] + 0.001, blocked))
        return ledger


@pytest.fixture(params=["at once", "in batches"])
def way(request: pytest.FixtureRequest) -> Way:
    return Way(request.param)


def only(ledger: GapLedger) -> Gap:
    assert len(ledger.gaps) == 1, ledger.gaps
    return ledger.gaps[0]


# Nothing happens.


@pytest.mark.parametrize("ptime", [0.01, 0.02, 0.03, 0.06])
@pytest.mark.parametrize("jitter", [0.0, 0.02, 0.06])
def test_a_steady_call_has_no_gaps(way: Way, ptime: float, jitter: float) -> None:
    ledger = way.listen(call(60, ptime=ptime, jitter=jitter))

    assert ledger.gaps == []
    assert ledger.samples == 480_000
    # Clock drift is unknown at first.
    assert ledger.clock_drift() is None


@pytest.mark.parametrize("ppm", [300, -300])
@pytest.mark.parametrize("jitter", [0.0, 0.02])
def test_a_drifting_clock_loses_nothing_in_two_hours(way: Way, ppm: float, jitter: float) -> None:
    ledger = way.listen(call(7200, ppm=ppm, jitter=jitter))

    assert ledger.gaps == []
    assert ledger.clock_drift() == pytest.approx(ppm * 1e-6, rel=0.2)


def test_pauses_are_no_drift(way: Way) -> None:
    arrivals = call(600, jitter=0.02)
    for start in range(30, 600, 60):
        arrivals = without(arrivals, start, 3)

    assert way.listen(arrivals).clock_drift() == pytest.approx(0, abs=50e-6)


@pytest.mark.parametrize("late", [0.0, 0.1, 0.2, 0.3, 0.39])
def test_the_end_of_a_call_is_no_pause(way: Way, late: float) -> None:
    assert way.listen(call(20), end=20.05 + late).gaps == []


def test_odd_rates_whose_frames_alternate_have_no_gaps(way: Way) -> None:
    # 11025 Hz: 440 and 442 bytes in turn (listenctl-protocol(7) 13).
    arrivals = [(at, 440 + 2 * (index % 2)) for index, (at, _) in enumerate(call(300))]

    assert way.listen(arrivals, audio_format=AudioFormat(11_025, 1)).gaps == []


def test_what_is_late_but_could_be_held_loses_nothing(way: Way) -> None:
    # The delay is our own.
    assert way.listen(call(30), blocked=Blocked(10, 13)).gaps == []

    gap = only(way.listen(overrun(kernel=1.0, stop=3.5)))
    assert (gap.kind, gap.missing) == (GapKind.BURST, 0)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_frames_that_come_several_at_once_are_no_gap(way: Way, count: int) -> None:
    arrivals = call(30)
    coalesced = [(arrivals[at + count - 1][0], FRAME * count) for at in range(0, 1500 - count, count)]

    assert way.listen(coalesced).gaps == []


# Nothing was sent.


@pytest.mark.parametrize("seconds", [0.3, 3, 130])
@pytest.mark.parametrize("start", [10.06, 10.14, 10.27, 10.39])
@pytest.mark.parametrize("jitter", [0.0, 0.03])
def test_a_pause_is_found(way: Way, seconds: float, start: float, jitter: float) -> None:
    steady = call(seconds + 20, jitter=jitter)
    paused = without(steady, start, seconds)

    ledger = way.listen(paused)

    gap = only(ledger)
    assert gap.kind is GapKind.PAUSE
    assert gap.missing == pytest.approx(samples(steady) - samples(paused), abs=8000 * max(jitter, gap.resolution))
    assert gap.length == pytest.approx(gap.missing / 8000)
    assert gap.position <= samples(paused, start) <= gap.position + gap.position_uncertainty
    assert gap.position_uncertainty < 8000 * way.poll
    assert (ledger.paused_samples, ledger.lost_samples) == (gap.missing, 0)


def test_a_long_pause_is_found_at_the_very_sample_and_the_next_one_too(way: Way) -> None:
    first, second = way.listen(without(without(call(60), 10.06, 3), 30.06, 1)).gaps

    assert first == Gap(GapKind.PAUSE, 80_000, 3.0, first.resolution, 24_000)
    assert first.resolution < 0.05
    assert (second.kind, second.position, second.missing) == (GapKind.PAUSE, 216_000, 8_000)


def test_a_pause_that_ends_with_the_call_is_known_up_to_the_last_look(way: Way) -> None:
    gap = only(way.listen(call(20), end=25.05))

    assert (gap.kind, gap.position, gap.at_least) == (GapKind.PAUSE, 160_000, True)
    assert gap.length <= 5.0 + way.poll
    assert gap.length == pytest.approx(5.0, abs=gap.resolution + 2 * FRAME_TIME)
    assert gap.resolution < way.poll + FRAME_TIME


def test_silence_after_a_shutdown_is_no_pause() -> None:
    ledger = GapLedger(MONO, 0.0)
    read_all(ledger, read_at_once(call(10), 10.05, NEVER))

    ledger.expect_end()

    assert ledger.find_gaps(15.0) == ()
    assert ledger.end_call(20.0) == []


# Nothing is missing.


@pytest.mark.parametrize("seconds", [0.5, 2])
@pytest.mark.parametrize("jitter", [0.0, 0.03])
def test_audio_held_up_on_the_way_is_a_burst(way: Way, seconds: float, jitter: float) -> None:
    steady = call(30, jitter=jitter)

    ledger = way.listen(held_up(steady, 10.06, seconds))

    gap = only(ledger)
    assert gap.kind is GapKind.BURST
    assert gap.position == pytest.approx(samples(steady, 10.06), abs=160)
    assert gap.length <= seconds + FRAME_TIME + jitter
    assert gap.length == pytest.approx(seconds, abs=gap.resolution + FRAME_TIME + jitter)
    assert (gap.missing, ledger.lost_samples, ledger.paused_samples) == (0, 0, 0)


def test_the_backlog_of_the_handshake_is_a_burst(way: Way) -> None:
    # A handshake answered after 1.2 s; the first message holds all since the call began (listenctl-protocol(7) 13).
    arrivals = [(1.27, 19_520), *call(20)[61:]]

    gap = only(way.listen(arrivals, started_at=1.25))

    assert gap == Gap(GapKind.BURST, 0, gap.length, gap.resolution)
    assert gap.length == pytest.approx(1.2, abs=0.005)


def test_a_resampled_backlog_in_several_messages_is_one_burst(way: Way) -> None:
    arrivals = [(4.1, 32_000), (4.105, 32_000), (4.11, 960), *((at + 4.08, size) for at, size in call(20))]

    ledger = way.listen(arrivals, started_at=4.05)

    gap = only(ledger)
    assert (gap.kind, gap.position, gap.missing) == (GapKind.BURST, 0, 0)
    assert gap.length == pytest.approx(4.0, abs=0.05)


def test_audio_that_begins_late_is_no_loss(way: Way) -> None:
    ledger = way.listen(call(20, start=5))

    gap = only(ledger)
    assert gap == Gap(GapKind.LATE_START, 0, gap.length, FRAME_TIME)
    assert gap.length == pytest.approx(5.0)
    assert (ledger.lost_samples, ledger.paused_samples) == (0, 0)


def test_what_was_given_up_and_comes_after_all_is_not_missing(way: Way) -> None:
    arrivals = call(60)
    late = [(20.055, size) for at, size in arrivals if 10.06 < at <= 12.06]
    ledger = way.listen(sorted(without(arrivals, 10.06, 2) + late))

    given_up, recovered = ledger.gaps
    assert (given_up.kind, given_up.missing) == (GapKind.PAUSE, 16_000)
    assert (recovered.kind, recovered.missing) == (GapKind.BURST, -16_000)
    assert (ledger.lost_samples, ledger.paused_samples) == (0, 0)


# jambonz threw audio away.


@pytest.mark.parametrize(
    ("kernel", "stop", "lost"),
    [(0.5, 4.0, 24_000), (1.0, 4.05, 24_000), (1.0, 5.5, 24_000), (0.2, 8.0, 48_000), (3.0, 12.5, 72_000)],
)
@pytest.mark.parametrize("ptime", [0.01, 0.02, 0.06])
def test_an_overrun_is_a_hole_before_the_short_message(
    way: Way, kernel: float, stop: float, lost: int, ptime: float
) -> None:
    arrivals = overrun(kernel=kernel, stop=stop, ptime=ptime)
    before_short = next(index for index, (_, size) in enumerate(arrivals) if size % arrivals[0][1])

    ledger = way.listen(arrivals)

    gap = only(ledger)
    assert (gap.kind, gap.position, gap.position_uncertainty) == (GapKind.HOLE, samples(arrivals[:before_short]), 0)
    assert gap.missing == pytest.approx(lost, abs=8000 * gap.resolution)
    assert ledger.lost_samples == gap.missing


def test_a_hole_in_resampled_audio_lies_behind_the_long_messages(way: Way) -> None:
    # listenctl-protocol(7) 13: on resuming, messages of 2 s, the middle missing.
    arrivals = call(60)
    before = [arrival for arrival in arrivals if arrival[0] <= 10.06]
    resumed = [(23.05, FRAME)] * 100 + [(23.051, 32_000)] * 2
    after = [arrival for arrival in arrivals if arrival[0] > 23.06]

    ledger = way.listen(before + resumed + after)

    gap = only(ledger)
    assert gap.kind is GapKind.HOLE
    assert gap.position <= samples(before + resumed) <= gap.position + gap.position_uncertainty
    assert gap.position_uncertainty <= 6.5 * 8000
    assert gap.missing == pytest.approx(7 * 8000, abs=8000 * gap.resolution)


@pytest.mark.parametrize("first", [304, 8304, 16_304])
def test_a_first_message_without_its_head_follows_a_hole(way: Way, first: int) -> None:
    ledger = way.listen([(0.1, first), *((at + 0.05, size) for at, size in call(20))])

    hole = ledger.gaps[0]
    assert (hole.kind, hole.position, hole.length, hole.missing) == (GapKind.HOLE, 0, 2.0, 16_000)
    assert hole.at_least
    assert {gap.kind for gap in ledger.gaps[1:]} <= {GapKind.BURST}
    assert ledger.lost_samples == 16_000


@pytest.mark.parametrize("every", [100, 40])
def test_single_frames_that_are_missing_add_up(way: Way, every: int) -> None:
    ledger = way.listen([arrival for index, arrival in enumerate(call(600)) if index % every])

    assert {gap.kind for gap in ledger.gaps} == {GapKind.HOLE}
    assert ledger.lost_samples == pytest.approx(4_800_000 / every, rel=0.2)
    for gap, following in pairwise(ledger.gaps):
        assert gap.position + gap.position_uncertainty <= following.position


# Any series.


@st.composite
def series(draw: st.DrawFn) -> tuple[Arrivals, list[tuple[GapKind, int, int]]]:
    """Return a call with pauses, audio held up on the way, and audio that jambonz threw away; and its gaps."""
    arrivals: Arrivals = []
    gaps: list[tuple[GapKind, int, int]] = []
    at, position = 0.05, 0

    def talk(frames: int, first: int = FRAME) -> None:
        nonlocal at, position
        for count in range(frames):
            at += FRAME_TIME
            arrivals.append((at, first if not count else FRAME))
            position += arrivals[-1][1] // 2

    talk(draw(st.integers(20, 100)))
    for kind in draw(st.lists(st.sampled_from([GapKind.PAUSE, GapKind.BURST, GapKind.HOLE]), min_size=1, max_size=6)):
        frames = draw(st.integers(20, 200))
        if kind is GapKind.BURST:
            gaps.append((kind, position, 0))
            at += frames * FRAME_TIME
            arrivals += [(at, FRAME)] * frames
            position += frames * 160
            talk(draw(st.integers(20, 150)))
        else:
            gaps.append((kind, position, frames * 160))
            at += frames * FRAME_TIME
            talk(draw(st.integers(20, 150)), FRAME if kind is GapKind.PAUSE else FRAME - 16)
    talk(150)
    return arrivals, gaps


@given(series())
def test_any_series_comes_out_as_it_went_in(made: tuple[Arrivals, list[tuple[GapKind, int, int]]]) -> None:
    arrivals, gaps = made
    ledger = GapLedger(MONO, 0.0)
    for at, read in groupby(arrivals, key=itemgetter(0)):
        ledger.find_gaps(at)
        for _, size in read:
            ledger.add_messages(size)
        ledger.find_gaps(at)
    ledger.end_call(arrivals[-1][0])

    assert [(gap.kind, gap.position, gap.missing) for gap in ledger.gaps] == gaps


def test_what_was_not_read_in_time_is_unknown() -> None:
    ledger = GapLedger(MONO, 0.0)
    for at, size in call(10):
        ledger.add_messages(size)
        ledger.find_gaps(at)

    ledger.add_unobserved(4.0)
    for at, size in call(10, start=15.05):
        ledger.add_messages(size)
        ledger.find_gaps(at)
    ledger.end_call(25.05)

    assert [(gap.kind, gap.position, gap.missing) for gap in ledger.gaps] == [
        (GapKind.UNKNOWN, 80_000, 32_000),
        (GapKind.PAUSE, 80_000, 8_000),
    ]
    assert (ledger.lost_samples, ledger.paused_samples) == (32_000, 8_000)


@pytest.mark.parametrize("late", [0.15, 0.3, 1.0])
def test_audio_that_is_late_when_the_server_stops_is_not_lost(way: Way, late: float) -> None:
    steady = call(20)
    slower = [(at + max(0.0, at - 18) * late / 2, size) for at, size in steady]

    assert way.listen(slower).lost_samples == 0


@pytest.mark.parametrize("rate", [16_000, 4_000])
def test_audio_of_another_rate_is_neither_a_burst_nor_lost(way: Way, rate: int) -> None:
    ledger = way.listen(call(20), audio_format=AudioFormat(rate, 1))

    assert ledger.gaps == []
    assert ledger.measured_rate == 8000


# Reports, formats and the end.


def test_a_gap_is_reported_once_and_soon() -> None:
    ledger = GapLedger(MONO, 0.0)
    reported = []
    for at, sizes in read_at_once(without(call(30), 10.06, 3), 30, NEVER):
        for size in sizes:
            ledger.add_messages(size)
        reported += [(at, gap) for gap in ledger.find_gaps(at)]

    assert [gap for _, gap in reported] == ledger.gaps
    assert reported[0][0] < 13.06 + 2.5


def test_a_format_that_was_wrong_takes_its_gaps_along() -> None:
    # Stereo at 16 kHz, read as mono at 8 kHz for the first ten seconds.
    ledger = GapLedger(MONO, 0.0)
    for at, _ in call(10):
        ledger.add_messages(1280)
        ledger.find_gaps(at)

    ledger.change_format(AudioFormat(16_000, 2))

    assert ledger.samples == 160_000
    for at, _ in call(20)[500:]:
        ledger.add_messages(1280)
        assert ledger.find_gaps(at) == ()
    assert ledger.end_call(20.05) == []
    assert ledger.gaps == []


def test_no_audio_is_no_gap() -> None:
    ledger = GapLedger(MONO, 0.0)

    assert ledger.find_gaps(100.0) == ()
    assert ledger.end_call(200.0) == []


# Real calls.


def listen_to_capture(way: Way, name: str) -> GapLedger:
    (_, request), *segments = client_stream(name)
    reader = ClientFrameReader(ServerProtocol(state=OPEN), max_size=1 << 22)
    assert request.endswith(b"\r\n\r\n")
    arrivals = [
        (at, message.message_bytes)
        for at, data in segments
        for message in reader.receive_data(data)
        if isinstance(message, BinaryMessages) and message.message_bytes
        for _ in range(message.messages)
    ]
    audio = received_audio(name)
    audio_format = AudioFormat(audio.sample_rate, audio.channels)
    return way.listen(arrivals, started_at=segments[0][0], audio_format=audio_format)


@pytest.mark.parametrize(
    "name",
    sorted({*CAPTURES} - {"f_pause_graceful", "g_slow_handshake_backlog"}),
)
def test_a_real_call_without_gaps_has_none(way: Way, name: str) -> None:
    assert listen_to_capture(way, name).gaps == []


def test_the_pause_and_the_backlog_of_real_calls_are_found(way: Way) -> None:
    pause = only(listen_to_capture(way, "f_pause_graceful"))
    burst = only(listen_to_capture(way, "g_slow_handshake_backlog"))

    assert (pause.kind, pause.position, pause.position_uncertainty) == (GapKind.PAUSE, 24_160, 0)
    assert (pause.missing, pause.length) == (24_000, 3.0)
    assert (burst.kind, burst.position, burst.missing) == (GapKind.BURST, 0, 0)
    assert burst.length == pytest.approx(1.22, abs=0.03)
