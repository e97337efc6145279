"""Work that runs beside a block of code and ends with it, without the exception groups of a ``TaskGroup``."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import TypeVar

T = TypeVar("T")


@asynccontextmanager
async def background_task(work: Coroutine[object, object, T]) -> AsyncIterator[asyncio.Task[T]]:
    """
    Run ``work`` while the block runs, and cancel it at the end of the block.

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
