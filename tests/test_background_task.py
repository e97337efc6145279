import asyncio

import pytest

from listenctl.background_task import background_task

pytestmark = pytest.mark.simulated_time


async def forever() -> None:
    await asyncio.Event().wait()


async def fail() -> None:
    raise OSError("broken")


async def test_the_work_ends_with_the_block() -> None:
    async with background_task(forever()) as task:
        await asyncio.sleep(1)
        assert not task.done()

    assert task.cancelled()


async def test_work_that_is_done_gives_its_result() -> None:
    async with background_task(asyncio.sleep(1, "done")) as task:
        assert await task == "done"


async def test_an_exception_of_the_block_stays_as_it_is() -> None:
    with pytest.raises(ValueError, match="of the block"):
        async with background_task(forever()) as task:
            raise ValueError("of the block")

    assert task.cancelled()


async def test_work_that_fails_ends_the_block() -> None:
    with pytest.raises(OSError, match="broken"):
        async with background_task(fail()):
            await forever()


async def test_a_cancelled_block_cancels_the_work() -> None:
    async with asyncio.timeout(10):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1), background_task(forever()) as task:
                await forever()

    assert task.cancelled()
