"""Responders: what a server does with each call by itself, each as one task and one tool of the call."""

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
from listenctl.server.control_api.in_process_tool import InProcessTool

END_TIMEOUT = 8.0
"""Seconds for responders to end when the server ends; then they are cancelled."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RespondedCall:
    """A call as a responder gets it."""

    tool: InProcessTool
    log: LiveCallLog
    report: Callable[[EventFields], None]  # reports an event of this call
    control: Path | None  # the server's control socket, if it has one
    tasks: asyncio.TaskGroup  # for work that outlives the call

    def warn(self, rule: str, detail: str) -> None:
        """Report a warning; ``detail`` is a sentence."""
        self.log.warnings += 1
        self.report(WarningEvent(rule=rule, detail=detail))


class Responder(Protocol):
    """Handles each call; one object handles all calls, at once."""

    @property
    def name(self) -> str:
        """The beginning of the rule of its warnings."""

    @property
    def wants_audio(self) -> bool:
        """Whether it gets the audio of jambonz, from the first sample."""

    async def handle_call(self, call: RespondedCall) -> None:
        """
        Handle one call; responders request the stream in the order in which they were given. NotFoundError is a normal
        end; with any other ListenctlError the responder has failed, and the call continues.
        """


class CallResponders:
    def __init__(self, reporter: Reporter, tasks: asyncio.TaskGroup) -> None:
        self._reporter = reporter
        self._tasks = tasks
        self._running: set[asyncio.Task[None]] = set()

    def start_call(
        self, responders: Sequence[Responder], log: LiveCallLog, tools: AttachedTools, *, control: Path | None
    ) -> None:
        def report(event: EventFields) -> None:
            self._reporter.emit(event, **log.identity)

        for responder in responders:
            tool = InProcessTool(tools, log, audio=responder.wants_audio)
            call = RespondedCall(tool, log, report, control, self._tasks)
            task = self._tasks.create_task(_handle_call(responder, call))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def wait_ended(self) -> None:
        """Wait until all responders have ended, now that the calls have, and cancel those that take too long."""
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=END_TIMEOUT)
            for task in late:
                task.cancel()
        if self._running:
            await asyncio.wait(self._running)


async def _handle_call(responder: Responder, call: RespondedCall) -> None:
    try:
        await responder.handle_call(call)
    except NotFoundError:
        pass
    except ListenctlError as exc:
        call.warn(f"{responder.name}-failed", str(exc))
    except Exception:
        # A fault in one call must not reach the others.
        logger.exception("%s failed unexpectedly", responder.name, extra={"about": call.log.identity})
        call.warn(f"{responder.name}-failed", "it failed unexpectedly")
    finally:
        call.tool.detach()
