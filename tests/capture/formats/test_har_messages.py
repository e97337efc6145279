"""Messages and ends of connections as tools write them into HAR files."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listenctl.capture.formats.har_messages import (
    HarClose,
    HarMessage,
    decode_base64,
    parse_har_close,
    parse_har_message,
)
from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.protocol.listen_session import Sender

SAMPLES = bytes(range(240, 256)) + b"\xfb\xff"


@given(st.binary(), st.booleans(), st.booleans(), st.integers(1, 80))
def test_base64_of_any_kind_is_decoded(data: bytes, url_safe: bool, padded: bool, columns: int) -> None:
    text = (base64.urlsafe_b64encode(data) if url_safe else base64.b64encode(data)).decode()
    text = text if padded else text.rstrip("=")
    lines = "\r\n".join(text[at : at + columns] for at in range(0, len(text), columns))

    assert decode_base64(text) == decode_base64(lines) == data
    assert decode_base64(f"data:application/octet-stream;base64,{text}") == data


@pytest.mark.parametrize("text", ["A", "AAAAA", "[binary 320 bytes]", "AA=A", "ÿ"])
def test_what_is_no_base64_is_not_decoded(text: str) -> None:
    assert decode_base64(text) is None


@given(st.text())
def test_no_text_raises(text: str) -> None:
    decode_base64(text)
    parse_har_message({"type": "send", "opcode": 8, "data": text})


@pytest.mark.parametrize(
    ("kind", "sender"),
    [("send", Sender.JAMBONZ), ("SENT", Sender.JAMBONZ), ("outgoing", Sender.JAMBONZ), ("receive", Sender.APPLICATION)],
)
@pytest.mark.parametrize("opcode", [2, "2", "binary"], ids=repr)
def test_direction_and_opcode_have_the_words_of_each_tool(kind: str, sender: Sender, opcode: object) -> None:
    expected = HarMessage(7.5, sender, RawFrame(True, 0, 2, sender is Sender.JAMBONZ, SAMPLES))
    data = base64.b64encode(SAMPLES).decode()

    assert parse_har_message({"type": kind, "time": 7.5, "opcode": opcode, "data": data}) == expected
    assert parse_har_message({"direction": kind, "timestamp": 7.5, "opcode": opcode, "data": data}) == expected


def test_bytes_may_be_characters() -> None:
    message = parse_har_message({"type": "send", "opcode": 2, "data": SAMPLES.decode("latin-1") + "\0"})

    assert isinstance(message, HarMessage)
    assert message.frame
    assert message.frame.payload == SAMPLES + b"\0"


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        ({"opcode": 2, "data": "[binary 320 bytes]"}, "not Base64"),
        ({"opcode": 2, "data": None}, "not Base64"),
        ({"opcode": 2, "data": "\0\ufffd"}, "not Base64"),
        ({"opcode": 1}, "no text"),
        ({"opcode": 99, "data": ""}, "invalid opcode"),
    ],
)
def test_what_cannot_be_decoded_has_a_reason(message: dict[str, object], fault: str) -> None:
    found = parse_har_message({"type": "send", **message})

    assert isinstance(found, HarMessage)
    assert (found.frame, found.fault) == (None, fault)


@pytest.mark.parametrize("value", [None, 7, {}, {"type": "other", "opcode": 1, "data": "x"}])
def test_a_message_of_nobody_is_none(value: object) -> None:
    assert parse_har_message(value) is None


@pytest.mark.parametrize(
    ("message", "payload"),
    [
        ({"data": base64.b64encode(b"\x03\xe8bye").decode()}, b"\x03\xe8bye"),
        ({"data": "A-k"}, b"\x03\xe9"),
        ({"data": "", "code": 1000}, b"\x03\xe8"),
        ({"data": None, "code": "1001", "reason": "gone"}, b"\x03\xe9gone"),
        ({"data": "1000 bye"}, b"\x03\xe8bye"),
    ],
)
def test_a_close_message_has_its_code_in_the_data_or_beside_it(message: dict[str, object], payload: bytes) -> None:
    found = parse_har_message({"type": "receive", "time": 1.5, "opcode": 8, **message})

    assert found == HarMessage(1.5, Sender.APPLICATION, RawFrame(True, 0, 8, False, payload))


def test_a_close_without_a_code_and_an_error_end_the_connection() -> None:
    closed = parse_har_message({"type": "receive", "time": 1.5, "opcode": 8, "data": ""})
    broken = parse_har_message({"type": "error", "time": 1.5, "opcode": -1, "data": "reset"})

    assert closed == HarClose(1.5, Sender.APPLICATION, None, "")
    assert broken == HarClose(1.5, None, None, "reset")


@pytest.mark.parametrize(
    ("entry", "close"),
    [
        ({}, None),
        ({"_webSocketClose": None}, None),
        (
            {"_webSocketClose": {"code": 1000, "reason": "bye", "timestamp": 5500.0}},
            HarClose(5500.0, None, 1000, "bye"),
        ),
        ({"_webSocketClose": {"code": 1001, "time": 9, "type": "receive"}}, HarClose(9, Sender.APPLICATION, 1001, "")),
        ({"_webSocketClose": {}}, None),
        ({"_webSocketClose": "aborted"}, HarClose(None, None, None, "aborted")),
        ({"_webSocketClosed": {"code": 77}}, HarClose(None, None, None, "")),
        ({"_webSocketCloseCode": 1006}, HarClose(None, None, 1006, "")),
    ],
)
def test_an_entry_describes_the_end_of_its_connection(entry: dict[str, object], close: HarClose | None) -> None:
    assert parse_har_close(entry) == close
