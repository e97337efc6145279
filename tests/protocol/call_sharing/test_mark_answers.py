from collections.abc import Callable

import pytest

from listenctl.protocol.call_sharing.mark_answers import MarkAnswers


def test_a_mark_at_the_end_of_the_audio_is_answered() -> None:
    answers = MarkAnswers()
    answers.add_audio()
    answers.clear_marks()
    answers.add_mark(1)

    assert (answers.may_lose_mark(1), answers.any_answered) == (False, False)


@pytest.mark.parametrize(
    "disturb",
    [MarkAnswers.add_audio, MarkAnswers.clear_marks, lambda answers: answers.add_mark(None)],
    ids=["audio behind it", "cleared", "another mark"],
)
def test_a_mark_may_be_lost(disturb: Callable[[MarkAnswers], None]) -> None:
    answers = MarkAnswers()
    answers.add_mark(1)
    disturb(answers)

    assert answers.may_lose_mark(1)


def test_a_mark_of_a_tool_that_is_gone_can_hold_up_the_next_until_it_is_answered() -> None:
    answers = MarkAnswers()
    answers.add_mark(1)
    answers.forget_tool(1)
    answers.add_mark(2)
    stuck = answers.may_lose_mark(2)
    answers.add_answer()

    assert (stuck, answers.may_lose_mark(2), answers.any_answered) == (True, False, True)


def test_marks_that_were_cleared_swallow_later_ones() -> None:
    answers = MarkAnswers()
    answers.add_mark(1)
    answers.clear_marks()
    answers.add_answer()
    answers.add_mark(1)

    assert answers.may_lose_mark(1)
