import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from listenctl.background_writer import LOW_PRIORITY_TIME, BackgroundWriter, LoopMailbox


def fail() -> None:
    raise RuntimeError("bad luck")


def test_jobs_run_in_order_and_one_that_fails_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    writer, ran = BackgroundWriter("test"), list[int]()

    writer.add_jobs(partial(ran.append, 1), fail, partial(ran.append, 2))
    writer.add_jobs(partial(ran.append, 3))

    assert writer.close()
    assert ran == [1, 2, 3]
    assert "a background job failed unexpectedly" in caplog.text
    assert not writer.is_alive


def test_what_may_wait_is_bounded_until_it_is_written() -> None:
    writer = BackgroundWriter("test", max_waiting_bytes=100)

    assert writer.reserve_bytes(60)
    assert not writer.reserve_bytes(41)
    assert writer.reserve_bytes(40)
    writer.add_jobs(partial(writer.release_bytes, 60))
    writer.wait_until_done(30)
    assert writer.reserve_bytes(60)
    writer.close()


def test_low_priority_jobs_run_while_there_are_no_others() -> None:
    writer, ran = BackgroundWriter("test"), threading.Event()

    writer.add_low_priority_job(ran.set)

    assert ran.wait(30)
    writer.close()


@pytest.mark.parametrize(("raised", "order"), [(False, "lhlh"), (True, "llhh")])
def test_low_priority_jobs_give_way_unless_they_are_raised(raised: bool, order: str) -> None:
    now, ran, ready = 0.0, list[str](), threading.Event()

    def run_low() -> None:
        nonlocal now
        now += LOW_PRIORITY_TIME
        ran.append("l")

    writer = BackgroundWriter("test", clock=lambda: now)
    if raised:
        writer.raise_low_priority()
    writer.add_jobs(partial(ready.wait, 30))
    writer.add_jobs(partial(ran.append, "h"))
    writer.add_jobs(partial(ran.append, "h"))
    writer.add_low_priority_job(run_low)
    writer.add_low_priority_job(run_low)
    ready.set()
    writer.close()

    assert "".join(ran) == order


def test_a_job_that_hangs_is_not_waited_for() -> None:
    writer, release = BackgroundWriter("test"), threading.Event()
    writer.add_jobs(partial(release.wait, 30))

    assert not writer.close(limit=0)
    assert writer.is_alive

    release.set()
    assert writer.close(limit=30)


async def test_threads_leave_jobs_for_the_event_loop(caplog: pytest.LogCaptureFixture) -> None:
    mailbox, ran, done = LoopMailbox(asyncio.get_running_loop()), list[int](), asyncio.Event()
    writer = BackgroundWriter("test")

    writer.add_jobs(*(partial(mailbox.add_job, job) for job in (partial(ran.append, 1), fail, done.set)))
    async with asyncio.timeout(30):
        await done.wait()
    writer.close()

    assert ran == [1]
    assert "bad luck" in caplog.text


async def test_jobs_that_are_collected_wake_the_loop_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    mailbox, ran = LoopMailbox(loop), list[int]()
    woken: list[Callable[[], None]] = []
    monkeypatch.setattr(loop, "call_soon_threadsafe", woken.append)

    with mailbox.collect_jobs():
        mailbox.add_job(partial(ran.append, 1))
        mailbox.add_job(partial(ran.append, 2))
        assert woken == []
    with mailbox.collect_jobs():
        pass
    (wake_up,) = woken
    wake_up()
    mailbox.add_job(partial(ran.append, 3))

    assert len(woken) == 2
    assert ran == [1, 2]


def test_low_priority_jobs_run_in_a_block() -> None:
    ran, done = list[str](), threading.Event()

    @contextmanager
    def block() -> Iterator[None]:
        ran.append("begin")
        yield
        ran.append("end")
        done.set()

    writer = BackgroundWriter("test", clock=lambda: 0.0, around_low_priority=block)
    # What a job adds needs no wake-up.
    writer.add_jobs(*(partial(writer.add_low_priority_job, partial(ran.append, name)) for name in "ab"))
    assert done.wait(30)
    writer.close()

    assert ran == ["begin", "a", "b", "end"]


def test_a_loop_that_is_closed_takes_no_more_jobs() -> None:
    loop = asyncio.new_event_loop()
    loop.close()

    LoopMailbox(loop).add_job(fail)
