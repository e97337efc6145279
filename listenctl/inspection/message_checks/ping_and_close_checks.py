"""Checks of pings and of the end of a call: who closes, how, and who does not (listenctl-protocol(7) 7 and 13)."""

from collections import OrderedDict
from dataclasses import dataclass, field
from math import inf
from typing import TypedDict

from websockets.frames import Frame, Opcode

from listenctl.capture.packets.tcp_events import StreamEnding
from listenctl.inspection.message_checks.arrival_times import spread_as_json
from listenctl.inspection.rule_violations import Culprit, ViolationLog
from listenctl.percentiles import Histogram
from listenctl.protocol.listen_session import Sender

_NORMAL, _GOING_AWAY, _NO_CODE = 1000, 1001, 1005
# Codes that must not be sent (RFC 6455 7.4).
_INVALID_CODES = {1004, 1005, 1006, 1015}
_MAX_PINGS = 256
# One byte more than a valid control frame.
_MAX_DATA = 126
_PONG_LATE = 1.0
_PONG_MISSING = 5.0
_SHUTDOWN_TIME = 10.0
# Data missing so shortly before the end may be the Close frame.
_CLOSE_LOST = 1.0
_MAX_SHOWN = 80
_NOT_AN_END = {
    StreamEnding.CAPTURE: "the capture ends",
    StreamEnding.FORGOTTEN: "the connection was idle for long",
    StreamEnding.REPLACED: "another connection took its ports",
}
_PEER = {Sender.JAMBONZ: Sender.APPLICATION, Sender.APPLICATION: Sender.JAMBONZ}


class PingReport(TypedDict):
    """The pings of one side in `listenctl-inspect(5)`."""

    sent: int
    answered: int
    delay_ms: dict[str, float] | None


class CloseReport(TypedDict):
    """The end of a call in `listenctl-inspect(5)`."""

    by: str | None
    time: float | None
    code: int | None
    reason: str | None
    answered: bool | None
    answer_delay: float | None
    connection: str | None


@dataclass(frozen=True, slots=True)
class CloseFrame:
    """A Close frame; ``code`` is 1005 if it has none."""

    at: float
    sender: Sender
    code: int
    reason: str


@dataclass(slots=True)
class _Pings:
    sent: int = 0
    answered: int = 0
    delay: Histogram = field(default_factory=Histogram)
    outstanding: OrderedDict[bytes, float] = field(default_factory=OrderedDict)


class PingAndCloseChecks:
    def __init__(self, violations: ViolationLog) -> None:
        self._violations = violations
        self._pings = {sender: _Pings() for sender in Sender}
        self._shutdown_at: float | None = None
        self._close_of_either_side: tuple[float, int, str] | None = None
        self._ends: list[tuple[float, Sender | None, str]] = []
        self._lost_at = dict.fromkeys(Sender, -inf)
        self.both_captured = True  # the capture contains both sides; a recording contains one
        self.control_captured = True  # the capture contains control frames; the HAR of a browser does not
        self.closes: dict[Sender, CloseFrame] = {}  # the first Close frame of each side, in order

    @property
    def _first_close(self) -> CloseFrame | None:
        return next(iter(self.closes.values()), None)

    @property
    def ended(self) -> float | None:
        """When the conversation ended; None if unknown."""
        if self._first_close:
            return self._first_close.at
        return next((at for at, _, how in self._ends if how not in _NOT_AN_END), None)

    @property
    def connection_ended_by(self) -> Sender | None:
        """The side that ended the TCP connection first; None if neither did as far as the capture goes."""
        for _, sender, how in self._ends:
            if sender is not None and how not in _NOT_AN_END and how != StreamEnding.RESET_BY_RECEIVER:
                return sender
        return None

    @property
    def _hidden_end(self) -> str | None:
        """Why the end of the connection is not in the capture; None if it is."""
        if not self._ends:
            return "the capture ends"
        return next((_NOT_AN_END[StreamEnding(how)] for _, _, how in self._ends if how in _NOT_AN_END), None)

    @property
    def over(self) -> bool:
        """Whether neither side can send anything more."""
        senders = {sender for _, sender, _ in self._ends}
        return None in senders or senders >= set(Sender)

    def take_frame(self, at: float, sender: Sender, opcode: int) -> None:
        """Check a frame of any kind after a Close frame of either side."""
        if sender in self.closes and opcode != Opcode.PONG:
            self._add_violation("frame-after-close", at, sender, f"a frame with opcode {opcode} after its Close frame")

    def take_control_frame(self, at: float, sender: Sender, frame: Frame) -> None:
        data = bytes(frame.data[:_MAX_DATA])
        if frame.opcode is Opcode.CLOSE:
            self._take_close(at, sender, data)
        elif frame.opcode is Opcode.PING:
            self._take_ping(at, sender, data)
        else:
            self._take_pong(at, sender, data)

    def take_shutdown(self, at: float) -> None:
        """Take an empty binary message, after which the media server does not close (listenctl-protocol(7) 13)."""
        if self._shutdown_at is None:
            self._shutdown_at = at
            detail = "an empty binary message: the media server is shutting down"
            self._add_violation("shutdown-announced", at, Sender.JAMBONZ, detail)

    def lose_frames(self, at: float, sender: Sender) -> None:
        self._lost_at[sender] = at

    def end_sender(self, at: float, sender: Sender | None, how: StreamEnding | str) -> None:
        self._ends.append((at, sender, how))

    def set_close_of_either_side(self, at: float, code: int, reason: str) -> None:
        """Record a Close frame of which the capture doesn't say who sent it."""
        self._close_of_either_side = (at, code, reason)

    def finish_call(self, at: float) -> None:
        self._check_missing_pongs(at)
        if self._shutdown_at is not None:
            closed = self.closes.get(Sender.APPLICATION)
            waited = (closed.at if closed else at) - self._shutdown_at
            if waited > _SHUTDOWN_TIME:
                detail = f"did not close within {waited:.0f} s after the media server announced its shutdown"
                self._add_violation("shutdown-not-closed", at, Sender.APPLICATION, detail)
        if self.control_captured:
            self._check_end(at)

    def describe_pings(self) -> dict[str, PingReport]:
        return {
            str(sender): {"sent": one.sent, "answered": one.answered, "delay_ms": spread_as_json(one.delay)}
            for sender, one in self._pings.items()
        }

    def describe_close(self) -> CloseReport:
        first = self._first_close
        reply = next((close for close in self.closes.values() if close is not first), None)
        how = next((how for _, _, how in self._ends if how not in _NOT_AN_END), None)
        how = how or next((how for _, _, how in self._ends), None)
        by = first.sender if first else self.connection_ended_by
        # An answer may follow after the capture.
        seen = self.both_captured and self.control_captured and not self._hidden_end
        at, code, reason = self._close_of_either_side or (None, None, None)
        if first:
            at, code, reason = first.at, None if first.code == _NO_CODE else first.code, first.reason
        return {
            "by": None if by is None else str(by),
            "time": None if at is None else round(at, 3),
            "code": code,
            "reason": reason,
            "answered": reply is not None if seen or reply else None,
            "answer_delay": round(reply.at - first.at, 3) if reply and first else None,
            "connection": str(how) if how else None,
        }

    def _take_close(self, at: float, sender: Sender, data: bytes) -> None:
        if sender in self.closes:
            return
        code = int.from_bytes(data[:2], "big") if len(data) >= 2 else _NO_CODE
        is_reply = bool(self.closes)
        self.closes[sender] = CloseFrame(at, sender, code, data[2:].decode(errors="replace"))
        if not is_reply:
            self._check_code(at, sender, code, data)

    def _check_code(self, at: float, sender: Sender, code: int, data: bytes) -> None:
        reason = data[2:].decode(errors="replace")[:_MAX_SHOWN]
        detail = f"closes with {code}" + (f", {reason!r}" if reason else "")
        if not data:
            self._add_violation("close-no-code", at, sender, "closes without a code")
        elif len(data) == 1:
            self._add_violation("close-code-invalid", at, sender, "closes with half a code")
        elif code in _INVALID_CODES or not 1000 <= code < 5000 or 1016 <= code < 3000:
            self._add_violation("close-code-invalid", at, sender, detail)
        elif code == _GOING_AWAY:
            self._add_violation("close-going-away", at, sender, detail)
        elif code != _NORMAL:
            self._add_violation("close-error", at, sender, detail)

    def _take_ping(self, at: float, sender: Sender, data: bytes) -> None:
        pings = self._pings[sender]
        pings.sent += 1
        pings.outstanding[data] = at
        if len(pings.outstanding) > _MAX_PINGS:
            pings.outstanding.popitem(last=False)
        if sender is Sender.JAMBONZ:
            self._add_violation("ping-from-jambonz", at, sender, "a ping")

    def _take_pong(self, at: float, sender: Sender, data: bytes) -> None:
        pings = self._pings[_PEER[sender]]
        sent_at = pings.outstanding.pop(data, None)
        if sent_at is None:
            return  # Unsolicited pongs are allowed (RFC 6455 5.5.3).
        pings.answered += 1
        pings.delay.add_value(at - sent_at)
        if at - sent_at > _PONG_LATE:
            self._add_violation("pong-late", at, sender, f"a pong {at - sent_at:.1f} s after its ping")

    def _check_missing_pongs(self, at: float) -> None:
        if not (self.both_captured and self.control_captured):
            return
        for sender, pings in self._pings.items():
            for sent_at in pings.outstanding.values():
                if at - sent_at > _PONG_MISSING and sent_at > self._lost_at[_PEER[sender]]:
                    self._add_violation("pong-missing", sent_at, _PEER[sender], "did not answer a ping")

    def _check_end(self, at: float) -> None:
        hidden, first = self._hidden_end, self._first_close
        if hidden:
            if len(self.closes) < len(Sender):
                self._violations.add_violation("capture-ends", at, Culprit.CAPTURE, f"{hidden} before the call does")
        elif first is None:
            if at - max(self._lost_at.values()) >= _CLOSE_LOST:
                by = self.connection_ended_by
                detail = f"the connection ended ({self._ends[0][2]}) without a Close frame"
                self._violations.add_violation("close-missing", at, Culprit(by) if by else Culprit.UNKNOWN, detail)
        elif len(self.closes) < len(Sender) and self.both_captured and self._lost_at[_PEER[first.sender]] < first.at:
            self._add_violation("close-unanswered", at, _PEER[first.sender], "does not answer the Close frame")

    def _add_violation(self, rule: str, at: float, sender: Sender, detail: str) -> None:
        self._violations.add_violation(rule, at, Culprit(sender), detail)
