"""What is wrong with commands and texts of the application, in calls that are made up."""

import pytest

from tests.helpers.frames import BINARY, CONTINUATION, TEXT
from tests.helpers.inspected import APPLICATION, JAMBONZ, METADATA, MadeUp, new_session, rules_in

SECOND = bytes(16_000)


def streaming() -> MadeUp:
    """Return a call that plays a stream at 8 kHz, and in which jambonz is silent."""
    return MadeUp(metadata=METADATA | {"streamRate": 8000})


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("killAudio", "command-no-json"),
        ('{"event":"killAudio"}', "command-no-type"),
        ('{"type":"killaudio"}', "command-unknown"),
        ('{"type":"transcription","data":{}}', "command-no-effect"),
        ('{"type":"error"}', "command-error"),
        ('{"type":"mark","name":"x"}', "mark-no-name"),
        ('{"type":"playAudio"}', "clip-no-data"),
        (b'{"type":"killAudio","x":"\xff"}', "text-not-utf8"),
    ],
)
def test_a_text_that_commands_nothing_is_told_why(text: str | bytes, rule: str) -> None:
    call = streaming()
    call.listen(0.0, 1.0)
    call.say(1.0, text)

    report = call.close(1.02)

    assert rules_in(report) == [rule]
    assert report.violations[0].at == pytest.approx(1.0)
    assert report.violations[0].sender == "application"
    assert report.violations[0].position == 8000
    assert report.violations[0].packet == 52


def test_a_long_message_in_fragments_is_lost_and_not_played() -> None:
    call = streaming()
    call.frame(1.0, APPLICATION, BINARY, SECOND * 42, fin=False)
    call.frame(1.1, APPLICATION, CONTINUATION, SECOND)

    report = call.close(3.0)

    assert rules_in(report) == ["message-fragmented"]
    assert report.stream is None


def test_a_short_message_in_fragments_is_fine() -> None:
    call = streaming()
    call.frame(1.0, APPLICATION, TEXT, b'{"type":', fin=False)
    call.frame(1.1, APPLICATION, CONTINUATION, b'"killAudio"}')

    report = call.close(3.0)

    assert rules_in(report) == []
    assert report.commands == {"killAudio": 1}


def test_a_disconnect_that_is_ignored_is_told() -> None:
    call = streaming()
    call.say(1.0, {"type": "disconnect"})

    report = call.close(9.0)

    assert rules_in(report) == ["disconnect-ignored"]
    assert report.violations[0].sender == "jambonz"


def test_whose_frames_are_missing_is_said_in_words() -> None:
    call = MadeUp()
    call.lose(0.5, JAMBONZ, 320)
    call.lose(0.6, APPLICATION)

    details = [one.detail for one in call.close(1.0).violations if one.rule == "capture-hole"]

    assert details[0].startswith("320 bytes sent by jambonz are missing")
    assert details[1].startswith("some bytes sent by the application are missing")


def test_a_disconnect_that_is_obeyed_is_fine() -> None:
    call = streaming()
    call.say(1.0, {"type": "disconnect"})

    assert rules_in(call.close(1.1)) == []


def test_an_answer_that_nobody_waits_for_is_told() -> None:
    call = streaming()
    call.reach(1.0, "x")
    call.answer(1.1, '{"type":"playDone","data":{"id":"c"}}')

    assert rules_in(call.close(2.0)) == ["answer-unasked"] * 2


def test_a_fault_that_is_repeated_is_counted_in_full_and_listed_in_part() -> None:
    call = streaming()
    for _ in range(70):
        call.say(1.0, "x")

    report = call.close(2.0)

    assert report.counts == {"command-no-json": 70}
    assert len(report.violations) == 50


def test_an_answer_in_a_recording_is_not_held_against_commands_that_arent_in_it() -> None:
    session = new_session(request=None)
    session.started_midway, session.without_application = False, True
    call = MadeUp(session=session)
    call.answer(1.0, '{"type":"playDone","data":{"id":"1"}}')

    assert rules_in(call.close(2.0)) == []
