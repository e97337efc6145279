"""
Which call a CALL argument means.

CALL is the id of a call, its callSid, a prefix that only one id has, or ``@latest``. An exact name goes before a
prefix, and the id before the callSid, which several streams of one call share.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

LATEST = "@latest"

T = TypeVar("T")


def find_named_calls(
    calls: Sequence[T], wanted: str, names: Callable[[T], tuple[str | None, str | None]]
) -> Sequence[T]:
    """
    Return the calls that ``wanted`` can mean: none if there is no such call, several if the name is ambiguous.

    Args:
        calls: oldest first.
        names: returns the id of a call and its second name, the callSid; a prefix is looked up in the ids.
    """
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
