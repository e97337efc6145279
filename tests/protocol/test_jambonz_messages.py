import pytest
from hypothesis import given
from hypothesis import strategies as st

from listenctl.protocol import peer_json
from listenctl.protocol.jambonz_messages import (
    MAX_DOCUMENTS,
    Dtmf,
    JambonzMessage,
    Mark,
    PlayDone,
    SessionSummary,
    UnknownMessage,
    parse_texts,
)
from tests.protocol.test_peer_json import JSON

MARK = bytes.fromhex(
    "7b2274797065223a20226d61726b222c202264617461223a207b226e616d65223a226d792d6d61726b2d31222c20226576656e74223a2022"
    "706c61796f7574227d7d"
)

WIRE = [
    (b'{"event":"dtmf","dtmf":"2","duration":"1600"}', Dtmf("2", "1600")),
    (b'{"event":"dtmf","dtmf":"#","duration":200}', Dtmf("#", 200)),
    (b'{"event":"dtmf","dtmf":"A"}', Dtmf("A")),
    (
        (
            b'{"type":"playDone","data":{"id":"v7","playbackSeconds":"0","playbackMilliseconds":"0",'
            b'"playbackLastOffsetPos":"4"}}'
        ),
        PlayDone("v7", None, "0", "0", "4"),
    ),
    (
        (
            b'{"type":"playDone","data":{"playbackSeconds":"1","playbackMilliseconds":"1240",'
            b'"playbackLastOffsetPos":"9920"}}'
        ),
        PlayDone(None, None, "1", "1240", "9920"),
    ),
    (
        (
            b'{"type":"playDone","data":{"id":"v7","reason":"completed","playbackSeconds":1,"playbackMilliseconds":1240,'
            b'"playbackLastOffsetPos":9920}}'
        ),
        PlayDone("v7", "completed", 1, 1240, 9920),
    ),
    (b'{"type":"playDone","data":{"id":7}}', PlayDone(7)),
    (b'{"type":"playDone"}', PlayDone()),
    (MARK, Mark("my-mark-1", "playout")),
    (b'{"type": "mark", "data": {"name":"", "event": "cleared"}}', Mark("", "cleared")),
    (b'{"type": "mark", "data": {"name":"say "hi"", "event": "playout"}}', Mark('say "hi"', "playout")),
    (rb'{"type": "mark", "data": {"name":"a\b\", "event": "playout"}}', Mark("a\\b\\", "playout")),
    (
        b'{"type":"session:summary","data":{"call_start":"2026-04-16T18:24:43.955Z"}}',
        SessionSummary({"call_start": "2026-04-16T18:24:43.955Z"}),
    ),
    (b'{"hello":1}', UnknownMessage(None, '{"hello":1}', {"hello": 1})),
    (b'{"type":"new","x":1}', UnknownMessage("new", '{"type":"new","x":1}', {"type": "new", "x": 1})),
    (b"not json", UnknownMessage(None, "not json")),
    (b"[1, 2]", UnknownMessage(None, "[1, 2]", [1, 2])),
    (b"", UnknownMessage(None, "")),
]


@pytest.mark.parametrize(("raw", "message"), WIRE)
def test_wire_forms_are_parsed_and_serialised_exactly(raw: bytes, message: JambonzMessage) -> None:
    assert parse_texts(raw) == (message,)
    assert message.serialize().encode() == raw


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b'{"type":"dtmf","dtmf":"5","duration":true}', Dtmf("5")),
        (b'{"type":"playDone","data":"odd"}', PlayDone()),
        (b'{"type":"playDone","data":{"reason":1,"playbackSeconds":[]}}', PlayDone()),
        (b'{"type":"mark","data":{"name":"a\\"b","event":"playout"}}', Mark('a"b', "playout")),
        (b'{"type":"playDone","data":{"id":"OBrien"}}\'', PlayDone("OBrien")),
        (b' {"event":"dtmf","dtmf":"1"}\n', Dtmf("1")),
    ],
)
def test_other_forms_are_tolerated(raw: bytes, message: JambonzMessage) -> None:
    assert parse_texts(raw) == (message,)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"event":"dtmf","dtmf":"E"}',
        b'{"event":"dtmf","dtmf":"12"}',
        b'{"event":"dtmf","dtmf":1}',
        b'{"event":"dtmf"}',
        b'{"type":"mark","name":"x"}',
        b'{"type":"mark","data":{"name":5,"event":"playout"}}',
        b'{"type":["mark"]}',
        b"null",
        b"NaN",
        b'{"event":"dtmf","dtmf":"1","x":NaN}',
        b'"text"',
        b"  ",
        b"9" * 5000,
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"\xff\xfe",
    ],
)
def test_what_is_not_understood_is_kept(raw: bytes) -> None:
    (message,) = parse_texts(raw)

    assert isinstance(message, UnknownMessage)
    assert message.text == raw.decode("utf-8", "replace")


@pytest.mark.parametrize(
    ("duration", "duration_ms"),
    [("1600", 200), ("804", 100.5), (200, 200), (62.5, 62.5), (-1, None), ("soon", None), (None, None)],
)
def test_dtmf_duration_counts_rtp_units_in_a_string_and_milliseconds_in_a_number(
    duration: str | float | None, duration_ms: float | None
) -> None:
    assert Dtmf("1", duration).duration_ms == duration_ms


def test_play_done_duration_is_milliseconds_in_either_form() -> None:
    assert PlayDone(playback_milliseconds="1240").duration_ms == 1240
    assert PlayDone(playback_milliseconds=1240).duration_ms == 1240
    assert PlayDone().duration_ms is None


def test_glued_documents_are_taken_apart_behind_a_broken_mark_too() -> None:
    key = b'{"event":"dtmf","dtmf":"3","duration":"800"}'
    broken = b'{"type": "mark", "data": {"name":"a"b", "event": "playout"}} '

    assert parse_texts(key * 2) == (Dtmf("3", "800"), Dtmf("3", "800"))
    assert parse_texts(broken + b'{"hello":1}' + key + b" rest") == (
        Mark('a"b', "playout"),
        UnknownMessage(None, '{"hello":1}', {"hello": 1}),
        Dtmf("3", "800"),
        UnknownMessage(None, "rest"),
    )


def test_the_number_of_glued_documents_is_bounded() -> None:
    messages = parse_texts(b"{}" * (MAX_DOCUMENTS + 10))

    assert len(messages) == MAX_DOCUMENTS + 1
    assert messages[-1] == UnknownMessage(None, "{}" * 10)


@given(st.binary() | JSON.map(lambda value: peer_json.encode(value).encode()))
def test_no_text_raises(raw: bytes) -> None:
    messages = parse_texts(raw)

    assert messages
    assert all(message.serialize() is not None for message in messages)


@given(st.sampled_from([raw for raw, _ in WIRE]), st.data())
def test_no_cut_raises(raw: bytes, data: st.DataObject) -> None:
    assert parse_texts(raw[: data.draw(st.integers(0, len(raw)))])
