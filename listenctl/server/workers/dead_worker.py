"""End the calls of a worker that has died: what it can't report any more is found in its events and on disk."""

import asyncio
from collections.abc import Callable
from functools import partial

from listenctl.errors import ListenctlError
from listenctl.events import CallEndedEvent, EventFields, RecordingFailedEvent, RecordingSavedEvent
from listenctl.server.recording.abandoned_recording import AbandonedCall, finish_abandoned_recording
from listenctl.server.workers.pool_calls import PoolCall


async def end_call_of_dead_worker(
    call: PoolCall,
    report: Callable[[PoolCall, EventFields], None],
    unix_clock: Callable[[], float],
    reason: str,
) -> None:
    """Report how a call has ended, and what is on disk of its recording."""
    abandoned = AbandonedCall(
        ended_at=unix_clock(),
        reason=f"the process that had the call {reason}",
        gaps=call.gaps,
        lost_samples=call.lost_samples,
        paused_samples=call.paused_samples,
    )
    outcome: RecordingSavedEvent | RecordingFailedEvent | None = None
    if call.sidecar is not None:
        finish = partial(finish_abandoned_recording, call.sidecar, call.files, abandoned)
        try:
            outcome = await asyncio.to_thread(finish)
        except (ListenctlError, OSError) as exc:
            outcome = RecordingFailedEvent(path=str(call.files[0]), reason=f"{abandoned.reason}: {exc}")
    if not call.ended:
        report(call, _describe_end(call, abandoned, outcome.samples if isinstance(outcome, RecordingSavedEvent) else 0))
    if outcome is not None:
        report(call, outcome)


def _describe_end(call: PoolCall, abandoned: AbandonedCall, recorded: int) -> CallEndedEvent:
    """Describe the end; what arrived and was not recorded is not known."""
    started = call.started
    return CallEndedEvent(
        caller=started.caller,
        callee=started.callee,
        direction=started.direction,
        duration=round(abandoned.ended_at - call.started_at, 3),
        seconds=round(recorded / started.sample_rate, 3),
        close_code=None,
        close_reason=abandoned.reason,
        closed_by="nobody",
        warnings=call.warnings,
        received_samples=recorded,
        lost_samples=call.lost_samples,
        paused_samples=call.paused_samples,
        unrecorded_samples=0,
        completeness=None,
        complete=False,
        clock_drift_ppm=None,
    )
