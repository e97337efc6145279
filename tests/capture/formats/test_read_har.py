"""HAR files as captured sessions, with the browser in the role of jambonz."""

import base64
import json
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

import listenctl.capture.formats.read_har as har_module
from listenctl.capture.capture_events import CaptureEvent
from listenctl.capture.compressed_files import OpenedCapture
from listenctl.capture.formats.read_har import read_har
from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.protocol.listen_session import Sender
from tests.helpers.pcap import endings, frames, notices, sessions, timed_frames

BEGAN = 1795273200.25
METADATA = '{"callSid":"CS-A","sampleRate":8000,"mixType":"mono","from":"Zoë"}'
AUDIO = base64.b64encode(bytes(320)).decode()
REQUEST = {
    "method": "GET",
    "url": "wss://example.com/calls?x=1",
    "httpVersion": "HTTP/1.1",
    "headers": [{"name": "Sec-WebSocket-Protocol", "value": "audio.jambonz.org"}],
}
RESPONSE = {
    "status": 101,
    "statusText": "Switching Protocols",
    "headers": [{"name": "sec-websocket-protocol", "value": "audio.jambonz.org"}],
}
MESSAGES: list[object] = [
    {"type": "send", "time": BEGAN + 0.1, "opcode": 1, "data": METADATA},
    {"type": "send", "time": BEGAN + 0.12, "opcode": 2, "data": AUDIO},
    {"type": "receive", "time": BEGAN + 0.13, "opcode": 1, "data": '{"type":"killAudio"}'},
]
PAGE = {"startedDateTime": "2026-11-21T15:00:00.000Z", "request": {"url": "https://example.com/"}, "response": {}}


def entry(messages: object = MESSAGES, **more: object) -> dict[str, object]:
    return {
        "_resourceType": "websocket",
        "startedDateTime": "2026-11-21T15:00:00.250Z",
        "request": REQUEST,
        "response": RESPONSE,
        "serverIPAddress": "203.0.113.9",
        **more,
        "_webSocketMessages": messages,
    }


def har(*entries: object) -> bytes:
    return json.dumps({"log": {"version": "1.2", "pages": [{"title": '"entries": ['}], "entries": entries}}).encode()


def read(data: bytes) -> list[CaptureEvent]:
    return list(read_har(OpenedCapture("a.har", data[:64], iter([data[:100], data[100:]])), count(1)))


def test_messages_of_a_browser_are_frames_of_a_client() -> None:
    events = read(har(PAGE, entry()))

    (session,) = sessions(events)
    assert (session.source, session.began, session.server) == ("a.har", BEGAN, "203.0.113.9")
    assert (session.target, session.subprotocol) == ("/calls?x=1", "audio.jambonz.org")
    assert (session.encrypted, session.started_midway, session.is_listen) == (True, False, True)
    assert session.request is not None
    assert session.request.first_line == "GET /calls?x=1 HTTP/1.1"
    assert session.response is not None
    assert session.response.first_line == "HTTP/1.1 101 Switching Protocols"
    assert [(round(one.at - BEGAN, 3), one.sender, one.frame) for one in timed_frames(events)] == [
        (0.1, Sender.JAMBONZ, RawFrame(True, 0, 1, True, METADATA.encode())),
        (0.12, Sender.JAMBONZ, RawFrame(True, 0, 2, True, bytes(320))),
        (0.13, Sender.APPLICATION, RawFrame(True, 0, 1, False, b'{"type":"killAudio"}')),
    ]
    assert endings(events) == [(None, "the HAR file ends")]
    assert notices(events) == []


def test_other_websockets_of_a_page_are_distinguished_from_calls() -> None:
    chat = entry(
        [{"type": "send", "time": BEGAN, "opcode": 1, "data": "hello"}], request={"url": "ws://c/"}, response={}
    )

    events = read(har(chat, entry()))

    assert [session.is_listen for session in sessions(events)] == [False, True]


@pytest.mark.parametrize("unit", [1000, 1_000_000])
def test_times_may_be_in_other_units(unit: int) -> None:
    events = read(har(entry([{"type": "send", "time": (BEGAN + 0.1) * unit, "opcode": 1, "data": "{}"}])))

    assert [round(one.at - BEGAN, 3) for one in timed_frames(events)] == [0.1]


def test_times_that_count_from_elsewhere_begin_with_the_session() -> None:
    messages = [{"type": "send", "time": at, "opcode": 1, "data": "{}"} for at in (5000.5, 5001.5)]

    events = read(har(entry(messages)))

    assert [one.at - BEGAN for one in timed_frames(events)] == [0.0, 1.0]


def test_messages_that_cannot_be_read_are_counted() -> None:
    odd: list[object] = [
        {"type": "send", "time": BEGAN, "opcode": 2, "data": "no base64!"},
        {"type": "error", "time": BEGAN, "opcode": -1, "data": "x"},
        {"type": "send", "data": None},
        7,
    ]

    events = read(har(entry(odd + MESSAGES)))

    assert len(frames(events)) == 3
    assert notices(events) == ["session 1: 4 messages are invalid; skipped"]


def test_a_file_that_was_cut_off_is_read_as_far_as_it_goes() -> None:
    whole = har(entry(), entry())
    end = whole.rindex(b"killAudio")

    events = read(whole[:end])

    first, second = sessions(events)
    assert first.target == second.target == "/calls?x=1"
    assert len(frames(events)) == 5
    (notice,) = notices(events)
    assert notice.endswith("the HAR file is damaged or ends here; using the data before it")


def test_what_is_longer_than_can_be_held_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = har(entry(), entry())
    monkeypatch.setattr(har_module, "MAX_HAR", len(whole) - 60)

    events = read(whole)

    assert len(frames(events)) == 5
    assert "too long; the rest is not read" in notices(events)[0]


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=9) | st.integers(),
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(sorted(entry())), inner, max_size=4)
        ),
        max_leaves=12,
    )
)
def test_any_json_in_the_place_of_an_entry_never_raises(value: object) -> None:
    read(har(value, entry([value]), entry(value)))


def test_a_time_that_cannot_be_is_that_of_the_message_before() -> None:
    times = (BEGAN, BEGAN + 1, 99999999999999)
    odd = [{"type": "send", "time": time, "opcode": 1, "data": METADATA} for time in times]

    events = read(har(entry(odd)))

    assert [round(one.at - BEGAN, 3) for one in timed_frames(events)] == [0.0, 1.0, 1.0]
    assert notices(events) == ["session 1: 1 messages have impossible times; each gets the time of the message before"]


def test_an_entry_without_a_time_begins_with_its_first_message() -> None:
    events = read(har(entry(startedDateTime=None)))

    (session,) = sessions(events)
    assert session.began == pytest.approx(BEGAN + 0.1)


@given(st.integers(0, 2000), st.binary(max_size=9), st.integers(0, 9))
def test_damage_never_raises(at: int, put_in: bytes, taken_out: int) -> None:
    whole = har(entry())

    read(whole[:at] + put_in + whole[at + taken_out :])
