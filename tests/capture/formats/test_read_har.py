"""HAR files as captured sessions, with the browser in the role of jambonz."""

import base64
import json
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import listenctl.capture.formats.read_har as har_module
from listenctl.capture.capture_events import CaptureEvent
from listenctl.capture.compressed_files import OpenedCapture
from listenctl.capture.formats.read_har import read_har
from listenctl.capture.read_capture import read_capture
from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.protocol.listen_session import Sender
from tests.helpers.inspected import inspect, rules_in
from tests.helpers.pcap import endings, frames, losses, notices, sessions, timed_frames

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


def audio(at: float, data: str = AUDIO, **more: object) -> dict[str, object]:
    return {"type": "send", "time": BEGAN + at, "opcode": 2, "data": data, **more}


def test_messages_that_cannot_be_read_are_losses_of_their_sender() -> None:
    odd: list[object] = [
        {"type": "send", "time": BEGAN + 0.14, "opcode": 2, "data": "no base64!"},
        {"type": "send", "time": BEGAN + 0.16, "opcode": 2, "data": "no base64!"},
        {"type": "receive", "time": BEGAN + 0.17, "data": None},
        7,
    ]

    events = read(har(entry(MESSAGES + odd)))

    assert len(frames(events)) == 3
    assert notices(events) == [
        "session 1: 2 messages can't be read (not Base64); counted as missing",
        "session 1: a message can't be read (no text); counted as missing",
        "session 1: a message can't be read (of no known kind); counted as missing",
    ]
    assert [(one.sender, one.size, one.detail) for one in losses(events)] == [
        (Sender.JAMBONZ, 2 * (320 + 8), "2 messages can't be read: not Base64"),
        (Sender.APPLICATION, None, "a message can't be read: no text"),
        (Sender.JAMBONZ, None, "a message can't be read: of no known kind"),
        (Sender.APPLICATION, None, "a message can't be read: of no known kind"),
    ]


TEXT = {"type": "send", "time": BEGAN + 0.1, "opcode": 1, "data": METADATA}


@pytest.mark.parametrize(
    ("bad", "share"), [([], 1.0), ([60], 0.99), (range(40, 50), 0.9), ([99], 0.99), (range(1, 100), 0.01)]
)
def test_a_call_with_messages_that_cannot_be_read_is_not_complete(bad: Sequence[int], share: float) -> None:
    messages = [audio(0.12 + 0.02 * at, "?" if at in bad else AUDIO) for at in range(100)]

    (report,) = inspect(read(har(entry([TEXT, *messages]))))

    assert report.completeness.complete is not bool(bad)
    assert report.completeness.share == pytest.approx(share)
    assert ("capture-hole" in rules_in(report)) == bool(bad)


def test_a_call_of_which_no_audio_can_be_read_is_not_complete() -> None:
    (report,) = inspect(read(har(entry([TEXT, *(audio(0.02 * at, "?") for at in range(100))]))))

    assert (report.completeness.complete, report.completeness.share) == (None, None)
    assert report.completeness.unknown == "the data missing from the capture is of unknown length"


def test_messages_are_read_in_order_of_time() -> None:
    sent = [audio(0.1 * at) for at in range(3)]
    received = [{"type": "receive", "time": BEGAN + 0.1 * at + 0.05, "opcode": 1, "data": str(at)} for at in range(3)]

    events = read(har(entry(sent + received)))

    assert [one.sender for one in timed_frames(events)] == [Sender.JAMBONZ, Sender.APPLICATION] * 3


@pytest.mark.parametrize(
    ("close", "at", "code", "by", "how"),
    [
        ({"code": 1000, "reason": "", "timestamp": (BEGAN + 5) * 1000}, 5.0, 1000, None, "closed"),
        ({"code": 1001, "reason": "bye", "timestamp": BEGAN + 5, "type": "send"}, 5.0, 1001, "jambonz", "closed"),
        ("aborted", None, None, None, "the connection broke: aborted"),
        (None, None, None, None, "the HAR file ends"),
    ],
)
def test_the_end_is_that_of_the_entry(
    close: object, at: float | None, code: int | None, by: str | None, how: str
) -> None:
    (report,) = inspect(read(har(entry(_webSocketClose=close))))

    found = report.close
    assert (found["time"], found["code"], found["by"], found["connection"]) == (at, code, by, how)
    assert report.seconds == pytest.approx(at or 0.13)


def test_an_error_of_the_response_is_the_end() -> None:
    events = read(har(entry(response={**RESPONSE, "_error": "net::ERR_CONNECTION_RESET"})))

    assert endings(events) == [(None, "the connection broke: net::ERR_CONNECTION_RESET")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("mark", ["", "\ufeff", "\n"], ids=["plain", "byte order mark", "line break"])
def test_a_file_may_have_any_unicode_encoding(encoding: str, mark: str, tmp_path: Path) -> None:
    path = tmp_path / "a.har"
    path.write_bytes((mark + json.dumps({"log": {"entries": [entry()]}}, ensure_ascii=False)).encode(encoding))

    events = list(read_capture(str(path)))

    assert frames(events)[0].payload == METADATA.encode()
    assert notices(events) == []


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


def test_a_file_that_would_take_too_much_memory_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(har_module, "MAX_VALUES", 1000)

    events = read(har(entry(), [[]] * 2000))

    assert notices(events) == ["the whole file: it has more than 1000 JSON values; not read"]
    assert sessions(events) == []


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
