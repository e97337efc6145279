"""Work beside other code: in a task that ends with a block, or in a thread that nobody has to wait for."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

T = TypeVar("T")

logger = logging.getLogger(__name__)


async def log_failure(
    work: Callable[[], Awaitable[T]], name: str, on_failure: Callable[[], object] = lambda: None
) -> T | None:
    """
    Return the result of ``work()``; what it raises is logged, and ends neither the task's group nor a block around it.

    Args:
        on_failure: called then; the result is None.
    """
    try:
        return await work()
    except Exception:
        logger.exception("%s failed unexpectedly", name)
        on_failure()
        return None


@asynccontextmanager
async def background_task(work: Coroutine[object, object, T]) -> AsyncIterator[asyncio.Task[T]]:
    """
    Run ``work`` while the block runs, and cancel it at the end, without the exception groups of a ``TaskGroup``.

    An exception of the block is raised unchanged. If ``work`` fails, the block is cancelled and the exception of
    ``work`` is raised instead.
    """
    failure: Exception | None = None
    try:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(work)
            try:
                yield task
            except Exception as exc:  # noqa: BLE001 - raised below; inside, the group would wrap it
                failure = exc
            finally:
                task.cancel()
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None
    if failure is not None:
        raise failure


def in_daemon_thread(work: Callable[[], T], name: str) -> asyncio.Future[T]:
    """Run ``work``, which may hang, in a thread that isn't joined at exit, unlike those of the loop's executor."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.cancelled():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type] # it is what work returned

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except Exception as exc:  # noqa: BLE001 - it is raised where the future is awaited
            error = exc
        with suppress(RuntimeError):  # The loop is closed.
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future
