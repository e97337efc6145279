"""Which live call a tool wants, or what it is told if there is no such call."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import TypeVar

from listenctl.protocol.find_named_call import find_named_calls
from listenctl.server.handshake_refusal import HandshakeRefusal

_MAX_SHOWN_NAME = 140

T = TypeVar("T")
NamedCall = tuple[T, str, str | None]
"""A call, its id and its callSid."""


def find_live_call(named: Sequence[NamedCall[T]], wanted: str) -> T | HandshakeRefusal:
    """Return the call of ``named``, oldest first, that ``wanted`` means, or the answer to the tool."""
    if not named:
        return HandshakeRefusal(HTTPStatus.NOT_FOUND, "there is no live call")
    found = find_named_calls(named, wanted, lambda one: one[1:])
    if len(found) == 1:
        return found[0][0]
    if not found:
        return HandshakeRefusal(HTTPStatus.NOT_FOUND, f"there is no live call {_printable_name(wanted)}")
    names = "".join(f"\n{_printable_name(call_id)}" for _, call_id, _ in found)
    return HandshakeRefusal(HTTPStatus.CONFLICT, f"{_printable_name(wanted)} matches {len(found)} live calls:{names}")


def _printable_name(name: str) -> str:
    """Return a name from a peer that stays in its line."""
    return "".join(character if character.isprintable() else "\ufffd" for character in name[:_MAX_SHOWN_NAME])
