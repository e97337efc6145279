"""Which call a CALL argument means: ``@latest``, an id, a callSid, a prefix that only one id has, in this order."""

from collections.abc import Callable, Sequence
from typing import TypeVar

LATEST = "@latest"

T = TypeVar("T")


def find_named_calls(
    calls: Sequence[T], wanted: str, names: Callable[[T], tuple[str | None, str | None]]
) -> Sequence[T]:
    """Return what ``wanted`` matches of ``calls``, oldest first; ``names`` returns the id and the callSid of one."""
    if not wanted:
        return ()
    if wanted == LATEST:
        return calls[-1:]
    named = [(call, *names(call)) for call in calls]
    return (
        [call for call, call_id, _ in named if call_id == wanted]
        or [call for call, _, call_sid in named if call_sid == wanted]
        or [call for call, call_id, _ in named if call_id is not None and call_id.startswith(wanted)]
    )
