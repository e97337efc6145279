"""Frames folded into a timeline: messages out of fragments, both senders, faults beside what they are about."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from listenctl.protocol.application_commands import ClearMarks, MarkCommand, PlayAudio
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.frames.raw_frame_reader import RawFrame, RawFrameReader
from listenctl.protocol.frames.websocket_messages import (
    BinaryMessages,
    ControlFrame,
    FrameFault,
    MessageAssembler,
    TextMessage,
)
from listenctl.protocol.gaps.gap_ledger import GapKind
from listenctl.protocol.jambonz_messages import Dtmf, Mark, PlayDone
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
from tests.helpers.capture import CAPTURES, client_stream, received_audio, server_stream
from tests.helpers.frames import BINARY, CLOSE, CONTINUATION, PING, TEXT
from tests.helpers.replay import END_OF_HEAD

JAMBONZ, APPLICATION = Sender.JAMBONZ, Sender.APPLICATION
METADATA = b'{"sampleRate":8000,"mixType":"mono","callSid":"CS-A"}'


def new_timeline(max_message: int = 1_000_000) -> Timeline:
    return Timeline(ListenSession(started_at=0.0, default_format=AudioFormat(8000, 1)), max_message=max_message)


def sent(opcode: int, payload: bytes, *, fin: bool = True, rsv: int = 0, masked: bool = True) -> RawFrame:
    return RawFrame(fin, rsv, opcode, masked, payload)


def join(*frames: RawFrame, max_message: int = 1000) -> list[BinaryMessages | TextMessage | ControlFrame | FrameFault]:
    joiner = MessageAssembler(masked=True, max_message=max_message)
    return [message for frame in frames for message in joiner.feed_frame(frame)]


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


# Messages.


def test_a_whole_frame_is_a_message() -> None:
    assert join(sent(TEXT, b"{}"), sent(BINARY, b"ab")) == [TextMessage(b"{}"), BinaryMessages(b"ab", 2, 1)]


def test_fragments_are_joined_around_control_frames() -> None:
    frames = [sent(TEXT, b"a", fin=False), sent(PING, b"p"), sent(CONTINUATION, b"b", fin=False)]

    messages = join(*frames, sent(CONTINUATION, b"c"), sent(BINARY, b""))

    assert messages == [ControlFrame(Frame(Opcode.PING, b"p")), TextMessage(b"abc"), BinaryMessages(b"", 0, 1)]


@pytest.mark.parametrize(
    ("frame", "rule"),
    [
        (sent(BINARY, b"", masked=False), "frame-masking"),
        (sent(BINARY, b"", rsv=4), "frame-reserved-bits"),
        (sent(0x3, b""), "frame-opcode"),
        (sent(PING, b"", fin=False), "frame-control"),
        (sent(CLOSE, bytes(126)), "frame-control"),
        (sent(CONTINUATION, b""), "frame-order"),
    ],
)
def test_a_frame_against_the_rfc_is_named(frame: RawFrame, rule: str) -> None:
    flaws = [message.rule for message in join(frame) if isinstance(message, FrameFault)]

    assert flaws == [rule]


def test_what_can_be_read_of_a_bad_frame_is_read() -> None:
    messages = join(sent(TEXT, b"{}", masked=False, rsv=1))

    assert messages[-1] == TextMessage(b"{}")
    assert len(messages) == 3


def test_a_message_within_a_fragmented_one_costs_that_and_not_itself() -> None:
    messages = join(sent(TEXT, b"a", fin=False), sent(BINARY, b"b"), sent(CONTINUATION, b"c"), sent(TEXT, b"d"))

    assert [message for message in messages if not isinstance(message, FrameFault)] == [
        BinaryMessages(b"b", 1, 1),
        TextMessage(b"d"),
    ]
    assert [message.rule for message in messages if isinstance(message, FrameFault)] == ["frame-order"] * 2


def test_a_message_that_is_too_long_is_named_once_and_not_held() -> None:
    frames = [sent(TEXT, bytes(6), fin=False), *[sent(CONTINUATION, bytes(6), fin=False)] * 5, sent(CONTINUATION, b"x")]

    messages = join(*frames, sent(TEXT, b"next"), max_message=10)

    assert messages == [FrameFault("message-too-long", "a message of more than 10 bytes"), TextMessage(b"next")]


def test_a_whole_frame_that_is_too_long_is_named_too() -> None:
    messages = join(sent(BINARY, bytes(11)), sent(BINARY, bytes(10)), max_message=10)

    assert messages == [
        FrameFault("message-too-long", "a message of more than 10 bytes"),
        BinaryMessages(bytes(10), 10, 1),
    ]


# Timelines.


@pytest.mark.parametrize("name", CAPTURES)
def test_a_capture_becomes_the_audio_that_was_received(name: str) -> None:
    expected = received_audio(name)

    events = events_of(name)

    started = next(event for event in events if isinstance(event, CallStarted))
    assert started.audio_format == AudioFormat(expected.sample_rate, expected.channels)
    assert b"".join(event.data for event in events if isinstance(event, AudioReceived)) == expected.data


def test_both_directions_of_a_stream_with_marks_are_there() -> None:
    events = events_of("c2_bidir_stream8k_marks_nominus1")

    asked = [
        event.command.name
        for event in events
        if isinstance(event, CommandSent) and isinstance(event.command, MarkCommand)
    ]
    answers = [event for event in events if isinstance(event, MessageReceived) and isinstance(event.message, Mark)]
    assert asked
    assert {answer.message.name for answer in answers if isinstance(answer.message, Mark)} <= set(asked)
    assert all(answer.round_trip is not None for answer in answers)
    assert sum(len(event.data) for event in events if isinstance(event, AudioSent)) > 16_000


def test_clips_and_their_answers_are_there() -> None:
    events = events_of("e_playaudio_featureserver")

    assert [event for event in events if isinstance(event, CommandSent) and isinstance(event.command, PlayAudio)]
    assert [event for event in events if isinstance(event, MessageReceived) and isinstance(event.message, PlayDone)]
    assert [event for event in events if isinstance(event, MessageReceived) and isinstance(event.message, Dtmf)]


def test_a_pause_of_a_capture_is_found() -> None:
    gaps = [event.gap.kind for event in events_of("f_pause_graceful") if isinstance(event, GapFound)]

    assert GapKind.PAUSE in gaps


def test_every_entry_has_its_time_and_sender() -> None:
    entries = fold(
        new_timeline(),
        (0.1, JAMBONZ, sent(TEXT, METADATA)),
        (0.2, APPLICATION, sent(TEXT, b'{"type":"clearMarks"}', masked=False)),
        (0.3, JAMBONZ, sent(BINARY, b"")),
        (0.4, APPLICATION, sent(CLOSE, b"\x03\xe8", masked=False)),
    )

    assert [(entry.at, entry.sender) for entry in entries] == [
        (0.1, JAMBONZ),
        (0.2, APPLICATION),
        (0.3, JAMBONZ),
        (0.4, APPLICATION),
    ]
    assert entries[1].event == CommandSent(0, ClearMarks())
    assert entries[2].event == FlushRequested(0)
    assert entries[3].event == ControlFrame(Frame(Opcode.CLOSE, b"\x03\xe8"))


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


def test_frames_of_one_time_are_no_burst() -> None:
    second = [(1.0, JAMBONZ, sent(BINARY, bytes(320)))] * 50
    timeline = new_timeline()
    fold(timeline, (0.0, JAMBONZ, sent(TEXT, METADATA)), *second)

    entries = [*fold(timeline, (1.02, JAMBONZ, sent(BINARY, bytes(320)))), *timeline.end_call(1.02)]

    assert [entry for entry in entries if isinstance(entry.event, GapFound)] == []


def test_audio_that_comes_at_once_after_a_silence_is_a_burst() -> None:
    timeline = new_timeline()
    second = [(0.02 * (index + 1), JAMBONZ, sent(BINARY, bytes(320))) for index in range(50)]
    late = [(2.0, JAMBONZ, sent(BINARY, bytes(320)))] * 50
    fold(timeline, (0.0, JAMBONZ, sent(TEXT, METADATA)), *second, *late)

    entries = [*fold(timeline, (2.02, JAMBONZ, sent(BINARY, bytes(320)))), *timeline.end_call(2.02)]

    (gap,) = [entry.event.gap for entry in entries if isinstance(entry.event, GapFound)]
    assert gap.kind is GapKind.BURST
    assert gap.length == pytest.approx(1.0, abs=0.03)


def test_time_that_goes_back_stands_still() -> None:
    entries = fold(
        new_timeline(), (5.0, JAMBONZ, sent(TEXT, METADATA)), (1.0, APPLICATION, sent(BINARY, b"", masked=False))
    )

    assert [entry.at for entry in entries] == [5.0, 5.0]


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
