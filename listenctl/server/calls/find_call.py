"""Which live call is meant by CALL, as commands and tools name it."""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from listenctl.server.calls.live_call import LiveCall
from listenctl.server.server_handshake import HandshakeRefusal

LATEST = "@latest"
_MAX_SHOWN = 140


@dataclass(frozen=True, slots=True)
class Named:
    """A live call that is known by name."""

    id: str
    call_sid: str | None
    call: LiveCall


def find_call(live: Sequence[LiveCall], wanted: str) -> LiveCall | HandshakeRefusal:
    """
    Return the call that ``wanted`` means: its id, its callSid, a prefix that no other has, or ``@latest``.

    Args:
        live: the calls, oldest first; those that have no id yet can't be meant.
    """
    named = [Named(call.log.id, call.log.metadata.call_sid, call) for call in live if call.log is not None]
    if not named:
        return HandshakeRefusal(HTTPStatus.NOT_FOUND, "there is no live call")
    if wanted == LATEST:
        return named[-1].call
    for candidates in _in_order(named, wanted):
        if len(candidates) == 1:
            return candidates[0].call
        if candidates:
            return HandshakeRefusal(HTTPStatus.CONFLICT, _ask_which(wanted, candidates))
    return HandshakeRefusal(HTTPStatus.NOT_FOUND, f"there is no live call {_shown(wanted)}")


def _in_order(named: Sequence[Named], wanted: str) -> Sequence[Sequence[Named]]:
    """Return whom ``wanted`` may mean; the exact goes before what is only alike."""
    if not wanted:
        return ()
    return (
        [one for one in named if one.id == wanted],
        [one for one in named if one.call_sid == wanted],
        [one for one in named if one.id.startswith(wanted)],
    )


def _ask_which(wanted: str, candidates: Sequence[Named]) -> str:
    lines = [f"{_shown(wanted)} can mean {len(candidates)} live calls:", *(_shown(one.id) for one in candidates)]
    return "\n".join(lines)


def _shown(name: str) -> str:
    """Return a name that may come from a peer, so that it is a part of one line."""
    return "".join(character if character.isprintable() else "\ufffd" for character in name[:_MAX_SHOWN])
