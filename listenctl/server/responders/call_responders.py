"""What a server does with each call by itself: its attendants, each with a task and a place among the call's tools."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from listenctl.errors import ListenctlError, NotFoundError
from listenctl.events import Report, Reporter
from listenctl.server.calls.live_call_log import CallLog
from listenctl.server.control_api.attached_tools import Attachments
from listenctl.server.control_api.local_tool import LocalTool

FAREWELL = 8.0
"""Seconds that attendants have when the server ends, before they are stopped."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AttendedCall:
    """
    A call as an attendant has it.

    Attributes:
        report: tells an event of this call, with its fields.
        control: the server's control socket, if there is one.
    """

    tool: LocalTool
    log: CallLog
    report: Callable[[str, Report], None]
    control: Path | None

    def warn(self, rule: str, detail: str) -> None:
        """Report a warning; ``detail`` is a sentence."""
        self.log.warnings += 1
        self.report("warning", {"rule": rule, "detail": detail})


class Attendant(Protocol):
    """Someone who sees to each call; one for all calls, at once."""

    @property
    def name(self) -> str:
        """What warnings about it begin with."""

    @property
    def wants_audio(self) -> bool:
        """Whether it is given what jambonz sends, from the first sample."""

    async def attend(self, call: AttendedCall) -> None:
        """
        See to one call; those who were named first also ask for the stream first.

        Raises:
            NotFoundError: the call has ended, which is as good an end as any.
            ListenctlError: it couldn't do what it is for; the call goes on.
        """


class Attendance:
    """Run the attendants of all calls."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(
        self, attendants: Sequence[Attendant], log: CallLog, attachments: Attachments, *, control: Path | None
    ) -> None:
        """Have each of ``attendants`` see to a call that begins."""

        def report(event: str, fields: Report) -> None:
            self._reporter.emit(event, fields, call=log.id, call_sid=log.metadata.call_sid)

        for attendant in attendants:
            tool = LocalTool(attachments, log, audio=attendant.wants_audio)
            call = AttendedCall(tool, log, report, control)
            task = asyncio.get_running_loop().create_task(_attend(attendant, call))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def finish(self) -> None:
        """Wait for all to end, now that the calls have, and stop those who take long."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=FAREWELL)
            for task in late:
                task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)


async def _attend(attendant: Attendant, call: AttendedCall) -> None:
    try:
        await attendant.attend(call)
    except NotFoundError:
        pass
    except ListenctlError as exc:
        call.warn(f"{attendant.name}-failed", str(exc))
    except Exception:
        # One call's bad luck must not reach the others.
        logger.exception("%s failed in an unforeseen way", attendant.name)
        call.warn(f"{attendant.name}-failed", "it failed in an unforeseen way")
    finally:
        call.tool.leave()
