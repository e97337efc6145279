import pytest

from listenctl.simulator.answer_watch import AnswerWatch, is_loud

FRAME = 0.1


def watch(caller: str, application: str, within: float | None, *, streams: bool = True) -> list[str]:
    """Return the verdicts of a call in frames of 0.1 s, where ``#`` is loud and anything else silent."""
    answers = AnswerWatch(within)
    verdicts = []
    for number, (one, other) in enumerate(zip(caller, application, strict=True)):
        verdicts += answers.add_frame(number * FRAME, FRAME, caller=one == "#", application=other == "#")
    verdicts += answers.end_call(len(caller) * FRAME, streams=streams)
    return [f"{verdict.reason}{'!' if verdict.wrong else ''} {verdict.sentence}" for verdict in verdicts]


NEVER = "no-answer! nothing was ever said to the caller in {}, and --answer-within allows 1.5 s"
LATE = "late-answer! the answer came after {}, later than the 1.5 s of --answer-within"


@pytest.mark.parametrize(
    ("caller", "application", "verdicts"),
    [
        # Answered in time, while the caller talks, and before.
        ("####................", "..............######", []),
        ("########............", ".....##############.", []),
        ("####................", ".#..................", ["no-answer! the caller was not answered in 1.6 s, and "]),
        ("####....................", "......................##", [LATE.format("1.8 s")]),
        ("####....................", "........................", [NEVER.format("2.0 s")]),
        # A caller who goes on was not done, but one who asks again was not answered.
        ("####.......####..........", "................#########", []),
        ("####..................####....", "..........................####", [NEVER.format("1.8 s")]),
        # The end of the call comes before an answer is due.
        ("####..........", "..............", []),
        # A silent caller waits for a greeting.
        ("....................", "....................", [NEVER.format("2.0 s")]),
        ("....................", "................####", [LATE.format("1.6 s")]),
        ("..................##", "....................", []),
    ],
)
def test_an_answer_is_expected_when_the_caller_has_stopped(caller: str, application: str, verdicts: list[str]) -> None:
    found = watch(caller, application, 1.5)

    assert len(found) == len(verdicts)
    assert all(one.startswith(wanted) for one, wanted in zip(found, verdicts, strict=True)), found


def test_without_a_limit_only_a_stream_without_any_sound_is_mentioned_and_not_wrong() -> None:
    silent = "." * 200

    assert watch("#" + silent, "." + silent, None) == ["no-answer nothing was ever said to the caller"]
    assert watch("#" + silent, "." + silent, None, streams=False) == []
    assert watch("#" + silent, silent + "#", None) == []
    assert watch("." + silent, "." + silent, None) == []


def test_comfort_noise_is_not_loud() -> None:
    assert not is_loud(b"")
    assert not is_loud(b"\0\1\x00\xff\0")
    assert is_loud(b"\1\1")
    assert is_loud(b"\xfe\xfe")
