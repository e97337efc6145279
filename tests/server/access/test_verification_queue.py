import asyncio
import threading
from collections.abc import Callable

import pytest

from listenctl.server.access.verification_queue import MAX_WAITING, MAX_WAITING_OF_CLIENT, Standing, VerificationQueue
from tests.helpers.server import LIMIT


class Verifications:
    """Passwords that are verified one at a time, as soon as the test allows it."""

    def __init__(self) -> None:
        self.queue = VerificationQueue(1)
        self.verified: list[str] = []
        self.may_go_on = threading.Semaphore(0)

    def _verify(self, name: str) -> Callable[[], bool]:
        def verify() -> bool:
            assert self.may_go_on.acquire(timeout=LIMIT)
            self.verified.append(name)
            return name.startswith("right")

        return verify

    async def ask(self, name: str, client: str = "a", standing: Standing = Standing.NEW) -> bool | None:
        return await self.queue.verify(name.encode(), self._verify(name), client, standing)

    async def begin(
        self, name: str, client: str = "a", standing: Standing = Standing.NEW
    ) -> "asyncio.Future[bool | None]":
        """Ask, and return the answer to come once the question is in the queue."""
        answer = asyncio.ensure_future(self.ask(name, client, standing))
        await asyncio.sleep(0)
        return answer


@pytest.fixture
def asked() -> Verifications:
    return Verifications()


async def test_clients_take_turns_and_users_seen_before_come_first(asked: Verifications) -> None:
    answers = [await asked.begin(f"wrong{number}", "flood") for number in range(4)]
    answers += [await asked.begin("right1", "other"), await asked.begin("right2", "flood", Standing.KNOWN)]

    asked.may_go_on.release(6)

    assert await asyncio.gather(*answers) == [False] * 4 + [True] * 2
    assert asked.verified == ["wrong0", "right2", "wrong1", "right1", "wrong2", "wrong3"]


async def test_those_who_come_first_take_turns_too_and_are_not_served_alone(asked: Verifications) -> None:
    answers = [await asked.begin(f"wrong{number}", "known", Standing.KNOWN) for number in range(4)]
    answers += [await asked.begin("right1", "other"), await asked.begin("right2", "known too", Standing.KNOWN)]

    asked.may_go_on.release(6)

    assert await asyncio.gather(*answers) == [False] * 4 + [True] * 2
    assert asked.verified == ["wrong0", "right1", "wrong1", "right2", "wrong2", "wrong3"]


async def test_clients_that_failed_before_take_turns_with_those_that_are_new(asked: Verifications) -> None:
    answers = [await asked.begin(f"wrong{number}", str(number), Standing.FAILED) for number in range(MAX_WAITING + 1)]
    assert await asked.ask("wrong", "one more", Standing.FAILED) is None
    answers += [await asked.begin("right1", "new"), await asked.begin("right2", "another", Standing.KNOWN)]

    asked.may_go_on.release(len(answers))

    assert await asyncio.gather(*answers) == [False] * (MAX_WAITING + 1) + [True] * 2
    assert {"right1", "right2"} <= set(asked.verified[:4])


async def test_those_who_come_first_have_places_of_their_own(asked: Verifications) -> None:
    begun = [await asked.begin("running")]
    begun += [await asked.begin(str(number), str(number)) for number in range(MAX_WAITING)]
    assert await asked.ask("right", "another") is None
    begun += [await asked.begin("right", "another", Standing.KNOWN)]

    asked.may_go_on.release(len(begun))

    assert (await asyncio.gather(*begun))[-1] is True


async def test_what_waits_is_bounded_for_each_client_and_in_all(asked: Verifications) -> None:
    begun = [await asked.begin("running")]
    for client in range(MAX_WAITING // MAX_WAITING_OF_CLIENT):
        begun += [await asked.begin(f"{client} {number}", str(client)) for number in range(MAX_WAITING_OF_CLIENT)]
        assert await asked.ask("one more", str(client)) is None
    assert await asked.ask("right", "another") is None

    asked.may_go_on.release(len(begun))

    assert await asyncio.gather(*begun) == [False] * (MAX_WAITING + 1)
    asked.may_go_on.release()
    assert await asked.ask("right", "another")


async def test_what_nobody_waits_for_any_more_is_dropped(asked: Verifications) -> None:
    running, left, shared, again = [await asked.begin(name) for name in ("running", "left", "right", "right")]
    left.cancel()
    shared.cancel()
    await asyncio.sleep(0)

    asked.may_go_on.release(2)

    assert [await running, await again] == [False, True]
    assert asked.verified == ["running", "right"]


async def test_a_peer_that_leaves_while_its_password_is_verified_harms_nobody(asked: Verifications) -> None:
    gone = await asked.begin("right")
    gone.cancel()
    await asyncio.sleep(0)

    asked.may_go_on.release(2)

    assert await asked.ask("right2")
