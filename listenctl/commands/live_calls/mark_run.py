"""Set a mark in a live call and print when it is reached."""

from typing import Any

from listenctl.commands.live_calls.send_command_run import Recipient, attached, print_result
from listenctl.errors import ExitStatus
from listenctl.live_client.wait_for_mark import ELAPSED, PLAYOUT, UNANSWERABLE, MarkResult, wait_for_mark
from listenctl.play_to_call.call_messages import MARK_GRACE


async def run_mark(recipient: Recipient, name: str) -> int:
    """
    Set a mark, wait until it is reached, and print when that was; return the exit status.

    Raises:
        NotFoundError: there is no such server or call, or the call ended.
        TimedOutError: the mark wasn't answered in time.
    """
    late = (
        f"{name}: no answer within {recipient.timeout:g} s; jambonz answers only if the call plays a stream "
        "(bidirectionalAudio.streaming), after all audio before the mark, and not after clearMarks"
    )
    async with attached(recipient, late) as attachment:
        result = await wait_for_mark(attachment, name)
    print_result(recipient, attachment, f"mark {name}: {_sentence(result)}", _describe(name, result))
    if result.event == PLAYOUT:
        return 0
    return ExitStatus.CHECK_FAILED if result.event in (ELAPSED, UNANSWERABLE) else ExitStatus.FAILED


def _describe(name: str, result: MarkResult) -> dict[str, Any]:
    early_by = None if result.early_by is None else round(result.early_by, 3)
    fields = {"name": name, "result": result.event, "by": result.by, "seconds": round(result.seconds, 3)}
    return fields | {"early_by": early_by}


def _sentence(result: MarkResult) -> str:
    took = f"{result.event} after {result.seconds:.2f} s"
    if result.event == UNANSWERABLE:
        return "won't be answered: this call plays clips, and jambonz answers marks only of streams"
    if result.event == ELAPSED:
        by_clock = f"by the clock the audio before it has been played, {MARK_GRACE:g} s ago"
        return f"{took}; {by_clock}, and jambonz didn't answer the mark"
    if result.early_by is not None:
        why = "jambonz resamples the audio, or took a sample for a mark"
        return f"{took}, {result.early_by:.2f} s before the audio can have been played, so it is unreliable: {why}"
    return took
