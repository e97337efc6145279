import asyncio

import pytest

from listenctl.background_task import background_task, log_failure

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


async def test_logged_work_gives_its_result() -> None:
    async def work() -> str:
        return "done"

    assert await log_failure(work, "the work") == "done"


async def test_logged_work_that_fails_ends_only_itself(caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []

    async with asyncio.TaskGroup() as group, background_task(log_failure(fail, "the view")) as view:
        other = group.create_task(asyncio.sleep(1, "done"))
        failed = group.create_task(log_failure(fail, "the device", lambda: told.append("failed")))
        await asyncio.wait([view, failed])

    assert view.exception() is failed.exception() is None
    assert (told, other.result()) == (["failed"], "done")
    assert "the device failed unexpectedly" in caplog.text
    assert "OSError: broken" in caplog.text


async def test_logged_work_that_is_cancelled_before_it_begins_leaves_nothing_behind() -> None:
    async with background_task(log_failure(forever, "the work")) as task:
        pass

    assert task.cancelled()
