from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from listenctl.protocol.application_commands import ClearMarks, KillAudio, MarkCommand
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.frames.websocket_messages import BinaryMessages, ControlFrame, ReceivedMessage, TextMessage
from listenctl.protocol.jambonz_messages import Dtmf, Mark, PlayDone, SessionSummary, UnknownMessage
from listenctl.protocol.listen_session import (
    MAX_HELD_BYTES,
    MAX_HELD_MESSAGES,
    AudioRead,
    AudioReceived,
    AudioSent,
    CallStarted,
    CommandSent,
    FlushRequested,
    ListenSession,
    MessageReceived,
    MetadataArrived,
    ProtocolViolation,
    Sender,
    SessionEvent,
)

MONO = AudioFormat(8000, 1)
METADATA = b'{"sampleRate":8000,"mixType":"mono","callSid":"CS-A"}'
STEREO_METADATA = b'{"sampleRate":8000,"mixType":"stereo","callSid":"CS-A"}'
DTMF = b'{"event":"dtmf","dtmf":"2","duration":"1600"}'


def new_session(default_format: AudioFormat = MONO) -> ListenSession:
    return ListenSession(started_at=0.0, default_format=default_format)


def started(metadata: bytes = METADATA) -> ListenSession:
    session = new_session()
    session.receive_message(Sender.JAMBONZ, TextMessage(metadata), 0.0)
    return session


def from_jambonz(session: ListenSession, *messages: bytes | str, at: float = 0.0) -> list[SessionEvent]:
    """Let the session receive binary (bytes) and text (str) messages; return the events."""
    events: list[SessionEvent] = []
    for message in messages:
        taken: ReceivedMessage = (
            TextMessage(message.encode()) if isinstance(message, str) else BinaryMessages(message, len(message), 1)
        )
        events += session.receive_message(Sender.JAMBONZ, taken, at)
    return events


def first_text(raw: bytes) -> Sequence[SessionEvent]:
    return new_session().receive_message(Sender.JAMBONZ, TextMessage(raw), 0.0)


def audio_of(events: Sequence[SessionEvent]) -> bytes:
    return b"".join(event.data for event in events if isinstance(event, AudioReceived))


def call_started(events: Sequence[SessionEvent]) -> CallStarted:
    found = [event for event in events if isinstance(event, CallStarted)]
    assert len(found) == 1
    return found[0]


def rules(events: Sequence[SessionEvent]) -> list[str]:
    return [event.rule for event in events if isinstance(event, ProtocolViolation)]


# The first frame.


def test_audio_before_the_metadata_is_held_and_begins_the_call() -> None:
    session = new_session()

    assert from_jambonz(session, b"\x01\x00\x02\x00", b"\x03\x00") == []
    events = from_jambonz(session, METADATA.decode())

    assert isinstance(events[0], CallStarted)
    assert events[1:] == [AudioReceived(0, b"\x01\x00\x02\x00"), AudioReceived(2, b"\x03\x00")]
    assert session.position == 3


def test_without_metadata_the_defaults_hold() -> None:
    session = new_session(AudioFormat(16_000, 2))
    from_jambonz(session, bytes(640))

    events = session.start_with_defaults(5.0)

    assert call_started(events).audio_format == AudioFormat(16_000, 2)
    detail = "no metadata arrived in 5.0 s; assuming 16000 Hz, 2 channels"
    assert events[1:] == [ProtocolViolation(0, "no-metadata", detail), AudioReceived(0, bytes(640))]
    assert session.start_with_defaults(6.0) == ()


@pytest.mark.parametrize("pieces", [[bytes(MAX_HELD_BYTES + 1)], [b"\x00"] * (MAX_HELD_MESSAGES + 1), [b""] * 10_001])
def test_a_flood_before_the_metadata_starts_the_call(pieces: list[bytes]) -> None:
    events = from_jambonz(new_session(), *pieces)

    assert rules(events) == ["no-metadata"]
    assert audio_of(events) == b"".join(pieces)[: len(b"".join(pieces)) & ~1]


def test_a_call_that_ends_before_its_metadata_keeps_its_audio() -> None:
    session = new_session()
    from_jambonz(session, b"\x01\x00")

    events = session.end_call(1.0)

    assert [type(event) for event in events] == [CallStarted, ProtocolViolation, AudioReceived]
    # A connection without any message is no call.
    assert new_session().end_call(1.0) == []


def test_held_audio_keeps_its_time() -> None:
    session = new_session()
    for index in range(50):
        from_jambonz(session, bytes(320), at=0.02 * (index + 1))
    session.start_with_defaults(5.0)

    assert session.find_gaps(5.0) == ()
    assert session.ledger.gaps == []


def test_metadata_that_comes_late_says_what_the_bytes_are() -> None:
    session = new_session()
    session.start_with_defaults(5.0)
    from_jambonz(session, bytes(640), at=5.0)

    # Without a callSid a text is no metadata.
    hello = MessageReceived(320, UnknownMessage(None, '{"hello":1}', {"hello": 1}))
    assert from_jambonz(session, '{"hello":1}', at=5.5) == [hello]
    events = from_jambonz(session, STEREO_METADATA.decode(), at=6.0)

    assert session.metadata is not None
    assert events[0] == MetadataArrived(session.metadata, AudioFormat(8000, 2))
    assert rules(events) == ["late-metadata"]
    assert session.position == 160
    assert session.audio_format == AudioFormat(8000, 2)
    assert from_jambonz(session, b"\x01\x00\x02", b"\x00") == [AudioReceived(160, b"\x01\x00\x02\x00")]

    # Metadata come once.
    [event] = from_jambonz(session, METADATA.decode(), at=7.0)
    assert isinstance(event, MessageReceived)
    assert session.audio_format == AudioFormat(8000, 2)


def test_a_first_text_that_is_a_message_starts_the_call_with_defaults() -> None:
    events = first_text(DTMF)

    assert call_started(events).audio_format == MONO
    assert rules(events) == ["no-metadata"]
    assert events[-1] == MessageReceived(0, Dtmf("2", "1600"))


def test_the_tap_of_a_room_member_is_mono_whatever_the_server_assumes() -> None:
    session = ListenSession(started_at=0.0, default_format=AudioFormat(8000, 2))
    raw = b'{"room":"r","memberId":7,"callSid":"c","accountSid":"a","tag":"","sampleRate":16000}'

    events = session.receive_message(Sender.JAMBONZ, TextMessage(raw), 0.0)

    assert session.metadata is not None
    assert events == [CallStarted(session.metadata, AudioFormat(16_000, 1))]


@pytest.mark.parametrize(
    ("raw", "audio_format", "found"),
    [
        (METADATA, MONO, []),
        (STEREO_METADATA, AudioFormat(8000, 2), []),
        (b'{"sampleRate":8000,"mixType":"mono","callSid":"c","agent":"OBrien"}\'', MONO, ["first-frame"]),
        (b'{"sampleRate":8000,"mixType":"mono","callSid":"c","x":{"q":"say "hi""}}', MONO, ["first-frame"]),
        (
            b'{"sampleRate":16000,"mixType":"stereo","callSid":"c","x":"\xc3',
            AudioFormat(16_000, 2),
            ["first-frame"] * 2,
        ),
        # What the metadata leave open is taken from the defaults.
        (b'{"sampleRate":16000,"callSid":"c"}', AudioFormat(16_000, 1), ["first-frame"]),
        (b"{}", MONO, ["first-frame"] * 2),
        (b"not json", MONO, ["first-frame"] * 3),
        (b"", MONO, ["first-frame"] * 3),
    ],
)
def test_any_first_text_starts_the_call_and_its_faults_are_reported(
    raw: bytes, audio_format: AudioFormat, found: list[str]
) -> None:
    session = new_session()

    events = session.receive_message(Sender.JAMBONZ, TextMessage(raw), 0.0)

    assert session.started
    assert session.metadata is not None
    assert session.metadata.raw == raw
    assert events[0] == CallStarted(session.metadata, audio_format)
    assert rules(events) == found
    assert len(events) == 1 + len(found)
    if audio_format == AudioFormat(16_000, 1):
        assert events[1:] == [ProtocolViolation(0, "first-frame", "no usable mixType; assuming 1 channel")]


# Texts.


def test_texts_stand_where_they_came_in_the_audio() -> None:
    events = from_jambonz(started(), bytes(320), DTMF.decode(), bytes(320), DTMF.decode())

    assert events == [
        AudioReceived(0, bytes(320)),
        MessageReceived(160, Dtmf("2", "1600")),
        AudioReceived(160, bytes(320)),
        MessageReceived(320, Dtmf("2", "1600")),
    ]


KEYS = [MessageReceived(0, Dtmf("1", "1600")), MessageReceived(0, Dtmf("2", "800"))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # V6, OLD.
        ('{"event":"dtmf","dtmf":"1","duration":"1600"}{"event":"dtmf","dtmf":"2","duration":"800"}', KEYS),
        # V15.
        (
            '{"type":"session:summary","data":{"call_start":"2026-04-16T18:24:43.955Z"}}',
            [MessageReceived(0, SessionSummary({"call_start": "2026-04-16T18:24:43.955Z"}))],
        ),
        ('{"hello":1}', [MessageReceived(0, UnknownMessage(None, '{"hello":1}', {"hello": 1}))]),
        ("not json", [MessageReceived(0, UnknownMessage(None, "not json"))]),
        ("", [MessageReceived(0, UnknownMessage(None, ""))]),
    ],
)
def test_texts_are_received_also_behind_the_metadata(text: str, expected: list[SessionEvent]) -> None:
    session = started()

    assert from_jambonz(session, text) == expected
    assert session.receive_message(Sender.JAMBONZ, ControlFrame(Frame(Opcode.PING, b"hi")), 1.0) == ()
    if expected == KEYS:
        assert first_text(METADATA + text.encode())[1:] == expected


# Audio.


def test_a_short_message_after_a_loss_keeps_the_channels_apart() -> None:
    # V5: 624 bytes instead of 640.
    session = started(STEREO_METADATA)

    events = from_jambonz(session, bytes(640), bytes.fromhex("e803feff") * 156, bytes.fromhex("e903fdff"))

    assert events[1:] == [
        AudioReceived(160, bytes.fromhex("e803feff") * 156),
        AudioReceived(316, bytes.fromhex("e903fdff")),
    ]


def test_half_a_sample_at_the_end_is_reported() -> None:
    session = started()
    from_jambonz(session, b"\x01\x00\x02")

    assert session.end_call(0.01) == [
        ProtocolViolation(1, "half-sample", "the audio ended within a sample; 1 bytes were dropped")
    ]


def test_an_empty_binary_message_asks_to_flush_and_ends_the_audio() -> None:
    session = started()
    from_jambonz(session, bytes(320), at=0.02)
    session.find_gaps(0.02)

    assert from_jambonz(session, b"") == [FlushRequested(160)]
    assert session.end_call(30.0) == []


# The application's side.


def from_application(session: ListenSession, text: str, at: float) -> Sequence[SessionEvent]:
    return session.receive_message(Sender.APPLICATION, TextMessage(text.encode()), at)


def round_trips(events: Sequence[SessionEvent]) -> list[float | None]:
    return [event.round_trip for event in events if isinstance(event, MessageReceived)]


def test_commands_and_audio_of_the_application_are_told() -> None:
    session = started()
    from_jambonz(session, bytes(320))

    assert from_application(session, '{"type":"killAudio"}', 1.0) == (CommandSent(160, KillAudio()),)
    assert session.receive_message(Sender.APPLICATION, BinaryMessages(b"\x01\x02\x03\x04", 2, 2), 1.0) == (
        AudioSent(b"\x01\x02\x03\x04"),
    )


def test_marks_tell_their_round_trip_in_the_order_sent() -> None:
    session = started()
    mark, answer = MarkCommand("m").serialize(), Mark("m", "playout").serialize()
    from_application(session, mark, 1.0)
    from_application(session, mark, 2.0)

    assert round_trips(from_jambonz(session, answer, at=3.0)) == [2.0]
    assert round_trips(from_jambonz(session, answer, at=5.0)) == [3.0]
    assert round_trips(from_jambonz(session, answer, at=6.0)) == [None]

    from_application(session, mark, 7.0)
    from_application(session, ClearMarks().serialize(), 8.0)
    assert round_trips(from_jambonz(session, answer, at=9.0)) == [None]


@pytest.mark.parametrize(
    "command",
    [
        lambda number: MarkCommand(f"m{number}").serialize(),
        lambda _: MarkCommand("m").serialize(),
        lambda _: MarkCommand("m" * 2000).serialize(),
        lambda number: f'{{"type":"playAudio","data":{{"audioContent":"","id":{number}}}}}',
        lambda number: f'{{"type":"playAudio","data":{{"audioContent":"","id":"{number}{"x" * 2000}"}}}}',
    ],
    ids=["names", "one name", "long name", "clips", "long ids"],
)
def test_commands_that_are_never_answered_take_a_bounded_memory(command: Callable[[int], str]) -> None:
    session = started()
    for number in range(3000):
        from_application(session, command(number), 1.0)

    marks, clips = session._outstanding_marks, session._outstanding_clips
    assert sum(map(len, marks.values())) <= 1000
    assert len(clips) <= 1000
    assert all(len(name) <= 1024 for name in [*marks, *clips])


@pytest.mark.parametrize(
    ("field", "done"),
    [
        (',"id":"greeting"', PlayDone("greeting", playback_milliseconds="1240").serialize()),
        (',"id":7', PlayDone(7, playback_milliseconds="1240").serialize()),
        ("", '{"type":"playDone"}'),
    ],
)
def test_a_clip_tells_its_round_trip(field: str, done: str) -> None:
    session = started()
    clip = '{"type":"playAudio","data":{"audioContent":"AAA=","audioContentType":"raw"' + field + "}}"
    from_application(session, clip, 1.0)

    assert round_trips(from_jambonz(session, done, at=2.5)) == [1.5]
    assert round_trips(from_jambonz(session, done, at=3.0)) == [None]


# Whatever comes.

messages = st.one_of(
    st.builds(
        TextMessage, st.one_of(st.binary(), st.sampled_from((METADATA, STEREO_METADATA, DTMF, b"{}", b"{", b"[1]")))
    ),
    st.builds(lambda data: BinaryMessages(data, len(data), 1), st.binary(max_size=20)),
    st.builds(
        lambda data, count: BinaryMessages(data * count, len(data), count), st.binary(max_size=9), st.integers(1, 5)
    ),
)


@given(st.lists(st.tuples(st.sampled_from(Sender), messages, st.floats(0, 3))))
def test_no_message_raises_and_no_audio_is_lost(conversation: list[tuple[Sender, ReceivedMessage, float]]) -> None:
    session = new_session()
    events: list[SessionEvent] = []
    sent, at = b"", 0.0
    for sender, message, pause in conversation:
        at += pause
        events += session.receive_message(sender, message, at)
        events += session.find_gaps(at)
        if isinstance(message, BinaryMessages) and sender is Sender.JAMBONZ:
            sent += message.data
    events += session.end_call(at)

    left_out = len(sent) - len(audio_of(events))
    assert sent.startswith(audio_of(events))
    assert left_out < 4
    assert ("half-sample" in rules(events)) == (left_out > 0)


AUDIO_READS = st.lists(
    st.tuples(st.floats(0, 0.03) | st.floats(0, 0.5) | st.floats(0, 12), st.integers(1, 40)), min_size=1, max_size=30
)


@given(
    st.lists(AUDIO_READS, min_size=1, max_size=4),
    st.sampled_from([318, 319, 320]),
    st.sampled_from([8000, 11025, 16000]),
)
def test_audio_of_several_reads_gives_the_events_of_each(runs: list[list[AudioRead]], size: int, rate: int) -> None:
    metadata = b'{"sampleRate":%d,"mixType":"mono","callSid":"CS-A"}' % rate
    together, one_by_one = started(metadata), started(metadata)
    joined: list[SessionEvent] = []
    single: list[SessionEvent] = []
    at = 0.0
    for run in runs:
        reads: list[AudioRead] = []
        for pause, messages in run:
            at += pause
            reads.append((at, messages))
            read = BinaryMessages(bytes(size * messages), size, messages)
            single += one_by_one.receive_message(Sender.JAMBONZ, read, at)
            single += one_by_one.find_gaps(at)
        messages = sum(messages for _, messages in reads)
        joined += together.receive_audio_reads(BinaryMessages(bytes(size * messages), size, messages), reads)
    joined += together.end_call(at + 1)
    single += one_by_one.end_call(at + 1)

    assert with_audio_joined(joined) == with_audio_joined(single)
    assert together.ledger.lost_samples == one_by_one.ledger.lost_samples
    assert together.position == one_by_one.position


def with_audio_joined(events: Sequence[SessionEvent]) -> list[SessionEvent]:
    """Return events with consecutive audio as one."""
    joined: list[SessionEvent] = []
    for event in events:
        last = joined[-1] if joined else None
        if isinstance(event, AudioReceived) and isinstance(last, AudioReceived):
            joined[-1] = AudioReceived(last.position, last.data + event.data)
        else:
            joined.append(event)
    return joined
