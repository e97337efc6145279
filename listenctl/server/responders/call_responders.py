"""What a server does with each call by itself: its responders, each with a task and a place among the call's tools."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from listenctl.errors import ListenctlError, NotFoundError
from listenctl.events import EventFields, Reporter, WarningEvent
from listenctl.server.calls.live_call_log import LiveCallLog
from listenctl.server.control_api.attached_tools import AttachedTools
from listenctl.server.control_api.local_tool import LocalTool

FAREWELL = 8.0
"""Seconds that responders have when the server ends, before they are stopped."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RespondedCall:
    """
    A call as an responder has it.

    Attributes:
        report: reports an event of this call.
        control: the server's control socket, if there is one.
    """

    tool: LocalTool
    log: LiveCallLog
    report: Callable[[EventFields], None]
    control: Path | None

    def warn(self, rule: str, detail: str) -> None:
        """Report a warning; ``detail`` is a sentence."""
        self.log.warnings += 1
        self.report(WarningEvent(rule=rule, detail=detail))


class Responder(Protocol):
    """Someone who sees to each call; one for all calls, at once."""

    @property
    def name(self) -> str:
        """What warnings about it begin with."""

    @property
    def wants_audio(self) -> bool:
        """Whether it is given what jambonz sends, from the first sample."""

    async def handle_call(self, call: RespondedCall) -> None:
        """
        See to one call; those who were named first also ask for the stream first.

        Raises:
            NotFoundError: the call has ended, which is as good an end as any.
            ListenctlError: it couldn't do what it is for; the call goes on.
        """


class CallResponders:
    """Run the responders of all calls."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(
        self, responders: Sequence[Responder], log: LiveCallLog, attachments: AttachedTools, *, control: Path | None
    ) -> None:
        """Have each of ``responders`` see to a call that begins."""

        def report(event: EventFields) -> None:
            self._reporter.emit(event, call=log.id, call_sid=log.metadata.call_sid)

        for responder in responders:
            tool = LocalTool(attachments, log, audio=responder.wants_audio)
            call = RespondedCall(tool, log, report, control)
            task = asyncio.get_running_loop().create_task(_attend(responder, call))
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


async def _attend(responder: Responder, call: RespondedCall) -> None:
    try:
        await responder.handle_call(call)
    except NotFoundError:
        pass
    except ListenctlError as exc:
        call.warn(f"{responder.name}-failed", str(exc))
    except Exception:
        # One call's bad luck must not reach the others.
        logger.exception("%s failed in an unforeseen way", responder.name)
        call.warn(f"{responder.name}-failed", "it failed in an unforeseen way")
    finally:
        call.tool.leave()
