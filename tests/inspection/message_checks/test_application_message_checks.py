from dataclasses import replace

import pytest

from tests.helpers.inspected import APPLICATION, JAMBONZ, METADATA, MadeUp, new_session, rules_in
from tests.helpers.playout import play, tone

HALF = tone(4000)


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
def test_a_text_without_effect_is_a_violation_at_its_place(text: str | bytes, rule: str) -> None:
    call = streaming()
    call.listen(0.0, 1.0)
    call.say(1.0, text)

    report = call.close(1.02)

    assert rules_in(report) == [rule]
    (violation,) = report.violations
    assert violation.at == pytest.approx(1.0)
    assert (violation.sender, violation.position, violation.packet) == ("application", 8000, 52)


def test_repeated_violations_are_all_counted_and_the_first_listed() -> None:
    call = streaming()
    for _ in range(70):
        call.say(1.0, "x")

    report = call.close(2.0)

    assert report.counts == {"command-no-json": 70}
    assert len(report.violations) == 50


@pytest.mark.parametrize(("closed", "rules"), [(1.1, []), (9.0, ["disconnect-ignored"])])
def test_jambonz_must_close_after_a_disconnect(closed: float, rules: list[str]) -> None:
    call = streaming()
    call.say(1.0, {"type": "disconnect"})

    report = call.close(closed)

    assert rules_in(report) == rules
    assert all(one.sender == "jambonz" for one in report.violations)


def test_unexpected_answers_are_violations() -> None:
    call = streaming()
    call.reach(1.0, "x")
    call.answer(1.1, '{"type":"playDone","data":{"id":"c"}}')

    assert rules_in(call.close(2.0)) == ["answer-unasked"] * 2


def test_answers_in_a_recording_are_not_unexpected() -> None:
    call = MadeUp(session=replace(new_session(request=None), started_midway=False, without_application=True))
    call.answer(1.0, '{"type":"playDone","data":{"id":"1"}}')

    assert rules_in(call.close(2.0)) == []


@pytest.mark.parametrize(
    ("samples", "end", "rules"), [(HALF, 6.0, ["clip-not-done"]), (HALF * 10, 4.0, [])], ids=["played", "cut off"]
)
def test_a_clip_that_was_played_must_be_answered(samples: bytes, end: float, rules: list[str]) -> None:
    call = MadeUp()
    call.say(1.0, play(samples, id="a"))

    report = call.close(end)

    assert rules_in(report) == rules
    assert not rules or report.clips[0].due == pytest.approx(1.54, abs=0.05)


def test_a_broken_answer_counts_as_the_answer_of_a_clip() -> None:
    call = MadeUp()
    call.say(1.0, play(HALF, id='a"b'))
    call.answer(1.5, '{"type":"playDone","data":{"id":"a"b","playbackSeconds":"0"}}')
    call.say(2.0, play(HALF, id="c"))

    rules = rules_in(call.close(7.0))

    assert (rules.count("text-broken"), rules.count("clip-not-done")) == (1, 1)


def test_lost_frames_are_described_with_their_sender() -> None:
    call = MadeUp()
    call.lose(0.5, JAMBONZ, 320)
    call.lose(0.6, APPLICATION)

    details = [one.detail for one in call.close(1.0).violations if one.rule == "capture-hole"]

    assert details == [
        "320 bytes sent by jambonz are missing: not captured",
        "some bytes sent by the application are missing: not captured",
    ]


def utterances(*, lost: bool) -> list[str]:
    """Return the rules that a stream of two utterances breaks, each of which ends within a block of playout."""
    sound, rest = b"\x00\x10" * 160, b"\x00\x10" * 100
    call = MadeUp()
    call.listen(0.0, 1.0)
    call.pace(1.0, 1.5, sound)
    call.stream(1.5, rest)
    if lost:
        call.lose(1.6, APPLICATION, 324)
    call.listen(1.6, 4.0)
    call.pace(4.0, 4.5, sound)
    call.stream(4.5, rest)
    call.listen(4.5, 6.0)
    return rules_in(call.close(6.01))


def test_an_incomplete_stream_is_not_checked_for_what_depends_on_all_of_it() -> None:
    assert "stream-tail-held" in utterances(lost=False)
    assert not {"stream-tail-held", "stream-underrun", "stream-cut-off"} & set(utterances(lost=True))


def test_a_mark_that_probes_a_call_with_clips_is_not_the_fault_of_the_application() -> None:
    rules = {}
    for name in ("lc-m1", "lc-0123abcd-m12", "lc-m2-outro", "answer"):
        call = MadeUp()
        call.mark(0.5, name)
        call.say(1.0, play(tone(8000), id="a"))
        call.listen(0.0, 2.0)
        call.answer(2.05, '{"type":"playDone","data":{"id":"a"}}')
        rules[name] = rules_in(call.close(2.2))

    assert rules == {"lc-m1": [], "lc-0123abcd-m12": [], "lc-m2-outro": [], "answer": ["stream-not-played"]}
