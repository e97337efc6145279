"""The calls of a capture that are to be played: found by number or callSid, or the first that is a listen call."""

from collections.abc import Sequence
from dataclasses import dataclass

from listenctl.capture.capture_events import CapturedFrame, CapturedSession, CaptureEvent
from listenctl.capture.packets.packet_batches import CaptureNotice
from listenctl.errors import NotFoundError, UsageError
from listenctl.protocol.call_metadata import CallMetadata
from listenctl.protocol.call_names import LATEST, find_named_calls
from listenctl.protocol.listen_session import Sender
from listenctl.replay.replay_script import CapturedCall, CaptureFile

_TEXT = 1


def find_captured_calls(capture: CaptureFile, wanted: str | None = None, *, every: bool = False) -> list[CapturedCall]:
    """
    Return the calls to play, in the order of their begin; the file is read as far as that takes.

    Args:
        wanted: number or callSid of one, a prefix that no other callSid has, or ``@latest``; without it the first
            that is a listen call.
        every: all listen calls.

    Raises:
        ListenctlError: the file can't be read, or is no capture.
        UsageError: a prefix can mean several calls.
        NotFoundError: it holds no such call, or none whose content can be read.
    """
    search = _Search(capture.name, wanted, every=every)
    for event in capture.read():
        if search.take(event):
            break
    return search.result()


@dataclass(slots=True)
class _Seen:
    session: CapturedSession
    began: float
    sid: str | None = None
    """The callSid of its first text, empty where that has none."""

    @property
    def call(self) -> CapturedCall:
        return CapturedCall(self.session.number, self.began)


class _Search:
    """Look for calls in what a file holds."""

    def __init__(self, name: str, wanted: str | None, *, every: bool) -> None:
        self._name = name
        self._wanted = wanted
        self._every = every
        self._seen: dict[int, _Seen] = {}
        self._unreadable: dict[int, str] = {}

    def take(self, event: CaptureEvent) -> bool:
        """Take what happened; return whether nothing more need be looked at."""
        if isinstance(event, CaptureNotice):
            return False
        session = event.session
        if session.unreadable:
            self._unreadable[session.number] = session.unreadable
        if not isinstance(event, CapturedFrame):
            return False
        seen = self._seen.get(session.number)
        if seen is None:
            # Where the begin isn't known, or comes from another clock, the first frame is the begin.
            began = session.began if 0 < session.began <= event.at else event.at
            seen = self._seen[session.number] = _Seen(session, began)
        self._look_for_sid(seen, event)
        return not self._every and self._is_wanted(seen)

    def result(self) -> list[CapturedCall]:
        """Return what was found."""
        seen = sorted(self._seen.values(), key=lambda one: one.session.number)
        if self._every:
            found = [one for one in seen if one.session.is_listen is not False]
        elif self._wanted is None:
            found = [one for one in seen if one.session.is_listen] or [
                one for one in seen if one.session.is_listen is None
            ]
        elif self._wanted == LATEST:
            listen_calls = (one for one in seen if one.session.is_listen is not False)
            found = self._find_named(sorted(listen_calls, key=lambda one: one.began))
        else:
            found = self._find_named(seen)
        if not found:
            raise NotFoundError(f"{self._name}: {self._complaint()}")
        return [one.call for one in (found if self._every else found[:1])]

    def _is_wanted(self, seen: _Seen) -> bool:
        if self._wanted is None:
            return seen.session.is_listen is True
        return self._wanted in (seen.sid, str(seen.session.number))

    def _find_named(self, seen: Sequence[_Seen]) -> list[_Seen]:
        found = find_named_calls(seen, self._wanted or "", lambda one: (one.sid, str(one.session.number)))
        if len({one.sid for one in found}) > 1:
            raise UsageError(
                f"{self._name}: --call {self._wanted} can mean {len(found)} calls; give more of the callSid"
            )
        return list(found)

    def _look_for_sid(self, seen: _Seen, event: CapturedFrame) -> None:
        if self._wanted and seen.sid is None and event.sender is Sender.JAMBONZ and event.frame.opcode == _TEXT:
            seen.sid = CallMetadata.parse(event.frame.payload).call_sid or ""

    def _complaint(self) -> str:
        if self._unreadable:
            number, reason = next(iter(self._unreadable.items()))
            return f"call {number} can't be read: {reason}"
        if self._wanted is not None:
            return f"holds no call {self._wanted} of which a frame could be read; `listenctl inspect` lists its calls"
        others = len(self._seen)
        if not others:
            return "holds no listen call of which a frame could be read"
        return f"holds {others} WebSocket connections, and none is a listen call; name one with --call NUMBER"
