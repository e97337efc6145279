import asyncio

import pytest

from listenctl.server.access import failure_limit
from listenctl.server.access.failure_limit import (
    DELAY,
    MAX_DELAYED,
    MAX_FAILURES,
    WINDOW,
    AnswerDelay,
    FailureLimit,
    client_network,
)


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("not an address", "not an address"),
    ],
)
def test_a_client_of_ipv6_has_a_whole_network(host: str, network: str) -> None:
    assert client_network(host) == network


def test_failures_of_one_client_count_for_a_while() -> None:
    limit = FailureLimit()
    for at in range(MAX_FAILURES - 1):
        limit.add_failure("a", at / 100)
    assert limit.seconds_left("a", 1.0) == 0

    limit.add_failure("a", 10.5)

    assert [limit.seconds_left("a", at) for at in (11.0, WINDOW - 0.5, WINDOW)] == [WINDOW - 11, 1, 0]
    assert limit.seconds_left("b", 11.0) == 0
    limit.add_failure("a", WINDOW)
    assert limit.seconds_left("a", WINDOW) == 0


def test_the_clients_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failure_limit, "MAX_ADDRESSES", 2)
    limit = FailureLimit()

    for client in "abc":
        for _ in range(MAX_FAILURES):
            limit.add_failure(client, 0.0)

    assert [bool(limit.seconds_left(client, 0.0)) for client in "abc"] == [False, True, True]


@pytest.mark.simulated_time
async def test_an_answer_waits_unless_too_many_do() -> None:
    delay = AnswerDelay()
    loop = asyncio.get_running_loop()
    ended: list[tuple[int, float]] = []

    async def wait(number: int) -> None:
        await delay.wait()
        ended.append((number, loop.time() - began))

    began = loop.time()
    async with asyncio.TaskGroup() as tasks:
        for number in range(MAX_DELAYED + 2):
            tasks.create_task(wait(number))
            await asyncio.sleep(0)

    assert dict(ended) == {0: 0, 1: 0} | dict.fromkeys(range(2, MAX_DELAYED + 2), DELAY)
