"""Questions over a link, and the wait for their answers."""

import asyncio
from itertools import count

from listenctl.server.workers.link_messages import CallsAnswer, LinkQuestion, MetricsAnswer, Topic
from listenctl.server.workers.worker_link import WorkerLink

ANSWER_TIMEOUT = 2.0
"""Seconds for an answer, which an end that is stopped never gives."""


class LinkQuestions:
    def __init__(self) -> None:
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[CallsAnswer | MetricsAnswer]] = {}

    async def ask(self, link: WorkerLink, topic: Topic) -> CallsAnswer | MetricsAnswer | None:
        """Return the answer of the other end, None if it gives none in time."""
        number = next(self._numbers)
        answer: asyncio.Future[CallsAnswer | MetricsAnswer] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        link.send(LinkQuestion(number, topic))
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                return await answer
        except TimeoutError:
            return None
        finally:
            del self._waiting[number]

    def take_answer(self, answer: CallsAnswer | MetricsAnswer) -> None:
        waiting = self._waiting.get(answer.number)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)
