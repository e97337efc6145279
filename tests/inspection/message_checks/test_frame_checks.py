import pytest

from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.protocol.listen_session import Sender
from tests.helpers.frames import BINARY, CONTINUATION, PING, TEXT
from tests.helpers.inspected import APPLICATION, JAMBONZ, METADATA, MadeUp, rules_in

KILL = b'{"type":"killAudio"}'


@pytest.mark.parametrize(
    ("frame", "rule"),
    [
        (RawFrame(True, 0, TEXT, True, KILL), "frame-masking"),
        (RawFrame(True, 4, TEXT, False, KILL), "frame-reserved-bits"),
        (RawFrame(True, 0, 3, False, KILL), "frame-opcode"),
        (RawFrame(True, 0, PING, False, bytes(126)), "frame-control"),
        (RawFrame(True, 0, CONTINUATION, False, KILL), "frame-order"),
    ],
)
def test_an_invalid_frame_is_a_violation_of_its_sender(frame: RawFrame, rule: str) -> None:
    call = MadeUp()
    call.frame(1.0, APPLICATION, frame.opcode, frame.payload, rsv=frame.rsv, masked=frame.masked)

    report = call.close(1.5)

    assert [(one.rule, one.sender) for one in report.violations] == [(rule, "application")]


@pytest.mark.parametrize("sender", Sender)
def test_a_message_whose_first_frames_were_not_captured_is_no_violation(sender: Sender) -> None:
    call = MadeUp()
    call.lose(0.5, sender)
    call.frame(0.6, sender, CONTINUATION, b"rest")

    assert "frame-order" not in rules_in(call.close(1.0))


def fragmented(*parts: bytes, opcode: int = BINARY) -> MadeUp:
    call = MadeUp(metadata=METADATA | {"streamRate": 8000})
    for number, part in enumerate(parts):
        call.frame(1.0, APPLICATION, CONTINUATION if number else opcode, part, fin=number == len(parts) - 1)
    return call


def test_a_long_message_in_fragments_is_lost_and_not_played() -> None:
    report = fragmented(bytes(16_000 * 42), bytes(16_000)).close(3.0)

    assert rules_in(report) == ["message-fragmented"]
    assert report.stream is None


def test_a_short_message_in_fragments_is_no_violation() -> None:
    report = fragmented(b'{"type":', b'"killAudio"}', opcode=TEXT).close(3.0)

    assert rules_in(report) == []
    assert report.commands == {"killAudio": 1}


def test_fragments_from_jambonz_are_reported_once() -> None:
    call = MadeUp()
    for at in (0.1, 0.12):
        call.frame(at, JAMBONZ, BINARY, bytes(160), fin=False)
        call.frame(at, JAMBONZ, CONTINUATION, bytes(160))

    report = call.close(0.13)

    assert rules_in(report) == ["jambonz-fragmented"]
    assert report.completeness.received == 320
