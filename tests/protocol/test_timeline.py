"""Frames folded into a timeline: messages out of fragments, both senders, faults beside what they are about."""

import random
from collections.abc import Sequence
from copy import copy

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from listenctl.protocol.application_commands import ClearMarks, MarkCommand
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.frames.raw_frame_reader import RawFrame, RawFrameReader
from listenctl.protocol.frames.websocket_messages import (
    ControlFrame,
)
from listenctl.protocol.gaps.gap import GapKind
from listenctl.protocol.gaps.gap_ledger import GapLedger
from listenctl.protocol.gaps.lateness import ClockDrift
from listenctl.protocol.gaps.measured_rate import RateMeter
from listenctl.protocol.jambonz_messages import Mark
from listenctl.protocol.listen_session import (
    AudioReceived,
    AudioSent,
    CallStarted,
    CommandSent,
    FlushRequested,
    GapFound,
    ListenSession,
    MessageReceived,
    ProtocolViolation,
    Sender,
)
from listenctl.protocol.timeline import TimedFrame, Timeline, TimelineEntry
from tests.helpers.arrivals import Arrival, call, held_up, overrun, without
from tests.helpers.capture import CAPTURES, END_OF_HEAD, client_stream, received_audio, server_stream
from tests.helpers.frames import BINARY, CLOSE, PING, PONG, TEXT

JAMBONZ, APPLICATION = Sender.JAMBONZ, Sender.APPLICATION
METADATA = b'{"sampleRate":8000,"mixType":"mono","callSid":"CS-A"}'


def new_timeline(max_message: int = 1_000_000) -> Timeline:
    return Timeline(ListenSession(started_at=0.0, default_format=AudioFormat(8000, 1)), max_message=max_message)


def sent(opcode: int, payload: bytes, *, fin: bool = True, rsv: int = 0, masked: bool = True) -> RawFrame:
    return RawFrame(fin, rsv, opcode, masked, payload)


def fold(timeline: Timeline, *frames: tuple[float, Sender, RawFrame]) -> list[TimelineEntry]:
    return [entry for frame in frames for entry in timeline.take_frame(TimedFrame(*frame))]


def frames_of(name: str) -> list[TimedFrame]:
    """Return all frames of a capture, in order of time."""
    timed = []
    for sender, stream in ((JAMBONZ, client_stream(name)), (APPLICATION, server_stream(name))):
        reader, head = RawFrameReader(), b""
        for at, data in stream:
            begun = END_OF_HEAD in head
            head += b"" if begun else data
            frames = reader.feed(data if begun else head.partition(END_OF_HEAD)[2])
            timed += [TimedFrame(at, sender, frame) for frame in frames]
        assert not reader.held_bytes
        assert not reader.fault
    return sorted(timed, key=lambda one: one.at)


def events_of(name: str) -> list[object]:
    timeline, frames = new_timeline(), frames_of(name)
    entries = [entry for frame in frames for entry in timeline.take_frame(frame)]
    entries += timeline.end_call(frames[-1].at)
    assert [entry.at for entry in entries] == sorted(entry.at for entry in entries)
    return [entry.event for entry in entries]


@pytest.mark.parametrize("name", CAPTURES)
def test_a_capture_becomes_the_audio_that_was_received(name: str) -> None:
    expected = received_audio(name)

    events = events_of(name)

    started = next(event for event in events if isinstance(event, CallStarted))
    assert started.audio_format == AudioFormat(expected.sample_rate, expected.channels)
    assert b"".join(event.data for event in events if isinstance(event, AudioReceived)) == expected.data


def test_both_directions_of_a_stream_with_marks_are_there() -> None:
    events = events_of("c2_bidir_stream8k_marks_nominus1")

    commands = [event.command for event in events if isinstance(event, CommandSent)]
    asked = [command.name for command in commands if isinstance(command, MarkCommand)]
    answers = [event for event in events if isinstance(event, MessageReceived) and isinstance(event.message, Mark)]
    assert asked
    assert {answer.message.name for answer in answers if isinstance(answer.message, Mark)} <= set(asked)
    assert all(answer.round_trip is not None for answer in answers)
    assert sum(len(event.data) for event in events if isinstance(event, AudioSent)) > 16_000


def test_every_entry_has_its_time_and_sender() -> None:
    entries = fold(
        new_timeline(),
        (0.1, JAMBONZ, sent(TEXT, METADATA)),
        (0.2, APPLICATION, sent(TEXT, b'{"type":"clearMarks"}', masked=False)),
        (0.3, JAMBONZ, sent(BINARY, b"")),
        (0.4, APPLICATION, sent(CLOSE, b"\x03\xe8", masked=False)),
    )

    assert (entries[0].at, entries[0].sender) == (0.1, JAMBONZ)
    assert entries[1:] == [
        TimelineEntry(0.2, APPLICATION, CommandSent(0, ClearMarks())),
        TimelineEntry(0.3, JAMBONZ, FlushRequested(0)),
        TimelineEntry(0.4, APPLICATION, ControlFrame(Frame(Opcode.CLOSE, b"\x03\xe8"))),
    ]


def test_a_flaw_is_a_violation_at_its_place_in_the_audio() -> None:
    entries = fold(
        new_timeline(),
        (0.1, JAMBONZ, sent(TEXT, METADATA)),
        (0.2, JAMBONZ, sent(BINARY, bytes(320))),
        (0.3, APPLICATION, sent(BINARY, bytes(2), masked=True)),
    )

    assert entries[-2:] == [
        TimelineEntry(0.3, APPLICATION, ProtocolViolation(160, "frame-masking", "a masked frame")),
        TimelineEntry(0.3, APPLICATION, AudioSent(bytes(2))),
    ]


@pytest.mark.parametrize(("times", "bursts"), [([1.0] * 50, 0), ([at / 50 for at in range(1, 51)] + [2.0] * 50, 1)])
def test_frames_of_one_time_are_a_burst_only_after_a_silence(times: list[float], bursts: int) -> None:
    timeline = new_timeline()
    frames = [(at, JAMBONZ, sent(BINARY, bytes(320))) for at in (*times, times[-1] + 0.02)]

    entries = [*fold(timeline, (0.0, JAMBONZ, sent(TEXT, METADATA)), *frames), *timeline.end_call(None)]

    gaps = [entry.event.gap for entry in entries if isinstance(entry.event, GapFound)]
    assert [gap.kind for gap in gaps] == [GapKind.BURST] * bursts
    assert all(gap.length == pytest.approx(1.0, abs=0.03) for gap in gaps)


def test_audio_that_waited_for_metadata_is_there_at_the_end() -> None:
    timeline = new_timeline()
    fold(timeline, (0.5, JAMBONZ, sent(BINARY, bytes(320))))

    entries = list(timeline.end_call(None))

    assert [entry.event.data for entry in entries if isinstance(entry.event, AudioReceived)] == [bytes(320)]
    assert {entry.at for entry in entries} == {0.5}


FRAMES = st.builds(
    RawFrame,
    fin=st.booleans(),
    rsv=st.integers(0, 7),
    opcode=st.integers(0, 15),
    masked=st.booleans(),
    payload=st.binary(max_size=50) | st.just(METADATA),
)


@given(st.lists(st.tuples(st.floats(0, 1e9), st.sampled_from(Sender), FRAMES), max_size=12))
def test_nothing_makes_it_raise(frames: list[tuple[float, Sender, RawFrame]]) -> None:
    timeline = new_timeline(max_message=80)

    entries = fold(timeline, *frames)
    entries += timeline.end_call(None)

    assert [entry.at for entry in entries] == sorted(entry.at for entry in entries)


# Seconds since the message before: in time, all at once, a little late, late, and a pause.
WAITS = st.sampled_from([0.0, 0.01, 0.02, 0.02, 0.02, 0.021, 0.03, 0.1, 0.249, 0.25, 0.4, 3.0])
SIZES = st.sampled_from([320, 320, 320, 320, 320, 304, 640, 3200, 321])


def state(ledger: GapLedger) -> dict[str, object]:
    """Return a copy of all that a ledger knows, of which much shows only long after."""
    return {
        name: dict(vars(value)) if isinstance(value, ClockDrift | RateMeter) else copy(value)
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
# The first message lacks its head, which is found but not reported before the run.
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


@given(
    st.lists(st.tuples(st.integers(1, 150), st.sampled_from([0.15, 0.3, 1.0, 3.0])), min_size=1, max_size=4),
    st.lists(st.tuples(st.floats(0, 20), st.sampled_from(Sender), st.sampled_from([TEXT, PING, PONG])), max_size=60),
)
# Two keys are pressed in a pause; marks are answered in another; a mark and a ping follow the last audio.
@example([(150, 3.0)], [(3.1, JAMBONZ, TEXT), (3.15, JAMBONZ, TEXT)])
@example([(50, 3.0)], [(1 + 0.02 * count, JAMBONZ, TEXT) for count in range(150)])
@example([(50, 0.15)], [(3.2, APPLICATION, TEXT), (3.4, JAMBONZ, PONG)])
def test_texts_and_control_frames_change_nothing_that_is_known_of_the_audio(
    talks: list[tuple[int, float]], others: list[tuple[float, Sender, int]]
) -> None:
    at, arrivals = 0.05, []
    for frames, pause in talks:
        arrivals += [(at + 0.02 * count, JAMBONZ, BINARY) for count in range(frames)]
        at += 0.02 * frames + pause
    arrivals += [(at + 0.02 * count, JAMBONZ, BINARY) for count in range(100)]
    end = arrivals[-1][0] + 0.4
    payloads = {BINARY: bytes(320), TEXT: b'{"type":"mark","data":{"name":"a"}}', PING: b"", PONG: b""}

    def gaps(frames: list[tuple[float, Sender, int]]) -> tuple[object, ...]:
        session = ListenSession(started_at=0.0, default_format=AudioFormat(8000, 1))
        timeline = Timeline(session)
        fold(timeline, (0.0, JAMBONZ, sent(TEXT, METADATA)))
        for at, sender, opcode in frames:
            fold(timeline, (at, sender, sent(opcode, payloads[opcode], masked=sender is JAMBONZ)))
        timeline.end_call(end)
        return session.ledger.gaps, session.ledger.lost_samples, session.ledger.paused_samples

    told = sorted(arrivals + [other for other in others if other[0] < end], key=lambda frame: frame[0])

    found, lost, paused = gaps(arrivals)
    assert gaps(told) == (found, lost, paused)
    assert lost == 0
