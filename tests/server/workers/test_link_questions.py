"""Questions between a parent and a worker."""

import asyncio
import socket

import pytest

from listenctl.server.workers.link_messages import CallsAnswer, LinkMessage, LinkQuestion, Topic
from listenctl.server.workers.link_questions import ANSWER_TIMEOUT, LinkQuestions
from listenctl.server.workers.worker_link import WorkerLink
from tests.helpers.simulated_time import simulated_loop

pytestmark = pytest.mark.simulated_time


async def test_each_question_gets_its_own_answer_and_one_that_comes_too_late_is_dropped() -> None:
    one, other = socket.socketpair()
    asked: list[LinkQuestion] = []
    questions = LinkQuestions()

    def take_answer(message: LinkMessage) -> None:
        assert isinstance(message, CallsAnswer)
        questions.take_answer(message)

    def take_question(message: LinkMessage) -> None:
        assert isinstance(message, LinkQuestion)
        asked.append(message)
        if len(asked) == 2:  # The second one is answered first.
            for question in reversed(asked):
                far.send(CallsAnswer(question.number, []))

    near = await WorkerLink.open(one, take_answer)
    far = await WorkerLink.open(other, take_question)
    answers = await asyncio.gather(questions.ask(near, Topic.CALLS), questions.ask(near, Topic.CALLS))
    began = simulated_loop().time()
    unanswered = await questions.ask(near, Topic.CALLS)
    far.send(CallsAnswer(asked[-1].number, []))
    await asyncio.sleep(0.1)

    assert [answer and answer.number for answer in answers] == [asked[0].number, asked[1].number]
    assert unanswered is None
    assert simulated_loop().time() - began == pytest.approx(ANSWER_TIMEOUT + 0.1)
    await near.close()
    await far.close()
