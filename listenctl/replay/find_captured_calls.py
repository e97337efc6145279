"""Find the calls of a capture to replay: by number or callSid, or else the first listen call."""

from collections.abc import Sequence
from dataclasses import dataclass

from listenctl.capture.capture_events import CapturedFrame, CapturedSession, CaptureEvent
from listenctl.capture.packets.packet_batches import CaptureNotice
from listenctl.errors import NotFoundError, UsageError
from listenctl.protocol.call_metadata import CallMetadata
from listenctl.protocol.find_named_call import LATEST, find_named_calls
from listenctl.protocol.listen_session import Sender
from listenctl.replay.replay_script import CapturedCall, CaptureFile

_TEXT = 1


def find_captured_calls(capture: CaptureFile, wanted: str | None = None, *, every: bool = False) -> list[CapturedCall]:
    """
    Return the calls to play: the one ``wanted`` (number, callSid, unique prefix or ``@latest``), ``every`` listen call,
    or the first one; the file is read only as far as necessary. Raises UsageError if a prefix is ambiguous,
    NotFoundError if there is no such call or its content can't be read, ListenctlError if the file can't be read.
    """
    search = _CallSearch(capture.name, wanted, every=every)
    for event in capture.read():
        if search.take_event(event):
            break
    return search.result()


@dataclass(slots=True)
class _Seen:
    session: CapturedSession
    began: float
    sid: str | None = None
    """The callSid of its first text; empty if it has none."""

    @property
    def call(self) -> CapturedCall:
        return CapturedCall(self.session.number, self.began)


class _CallSearch:
    def __init__(self, name: str, wanted: str | None, *, every: bool) -> None:
        self._name = name
        self._wanted = wanted
        self._every = every
        self._seen: dict[int, _Seen] = {}
        self._unreadable: dict[int, str] = {}

    def take_event(self, event: CaptureEvent) -> bool:
        if isinstance(event, CaptureNotice):
            return False
        session = event.session
        if session.unreadable:
            self._unreadable[session.number] = session.unreadable
        if not isinstance(event, CapturedFrame):
            return False
        seen = self._seen.get(session.number)
        if seen is None:
            # If the start isn't known, or comes from another clock, the call starts with its first frame.
            began = session.began if 0 < session.began <= event.at else event.at
            seen = self._seen[session.number] = _Seen(session, began)
        self._look_for_sid(seen, event)
        return not self._every and self._is_wanted(seen)

    def result(self) -> list[CapturedCall]:
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
            raise NotFoundError(f"{self._name}: {self._describe_failure()}")
        return [one.call for one in (found if self._every else found[:1])]

    def _is_wanted(self, seen: _Seen) -> bool:
        if self._wanted is None:
            return seen.session.is_listen is True
        return self._wanted in (seen.sid, str(seen.session.number))

    def _find_named(self, seen: Sequence[_Seen]) -> list[_Seen]:
        found = find_named_calls(seen, self._wanted or "", lambda one: (one.sid, str(one.session.number)))
        if len({one.sid for one in found}) > 1:
            raise UsageError(
                f"{self._name}: --call {self._wanted} matches {len(found)} calls; give more of the callSid"
            )
        return list(found)

    def _look_for_sid(self, seen: _Seen, event: CapturedFrame) -> None:
        if self._wanted and seen.sid is None and event.sender is Sender.JAMBONZ and event.frame.opcode == _TEXT:
            seen.sid = CallMetadata.parse(event.frame.payload).call_sid or ""

    def _describe_failure(self) -> str:
        if self._unreadable:
            number, reason = next(iter(self._unreadable.items()))
            return f"call {number} can't be read: {reason}"
        if self._wanted is not None:
            return f"contains no readable frame of a call {self._wanted}; `listenctl inspect` lists its calls"
        others = len(self._seen)
        if not others:
            return "contains no readable frame of a listen call"
        return f"contains {others} WebSocket connections, but none is a listen call; choose one with --call NUMBER"
