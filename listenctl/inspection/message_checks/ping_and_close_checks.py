"""Pings, and how a call ends: who closes, with which code, and who doesn't (protocol.md 7, 13)."""

from collections import OrderedDict
from dataclasses import dataclass, field
from math import inf

from websockets.frames import Frame, Opcode

from listenctl.capture.packets.tcp_events import StreamEnding
from listenctl.events import Report
from listenctl.inspection.message_checks.arrival_times import spread_as_json
from listenctl.inspection.rule_catalogue import Culprit
from listenctl.inspection.rule_violations import ViolationLog
from listenctl.protocol.listen_session import Sender
from listenctl.statistics import Histogram

NORMAL, GOING_AWAY, NO_CODE = 1000, 1001, 1005
_MOST_PINGS = 256
# More than a control frame may have.
_MOST_DATA = 126
_LATE_PONG = 1.0
_MISSING_PONG = 5.0
_CLOSE_TIME = 10.0
# What is missing so shortly before the end may be the Close.
_CLOSE_LOST = 1.0
_SHOWN = 80
# What can't be on the wire, and what nobody may use (RFC 6455 7.4).
_INVALID_CODES = {1004, 1005, 1006, 1015}
_HIDDEN = {
    StreamEnding.CAPTURE: "the capture ends",
    StreamEnding.FORGOTTEN: "the connection was idle for long",
    StreamEnding.REPLACED: "another connection took its ports",
}


@dataclass(frozen=True, slots=True)
class CloseFrame:
    """A Close frame; without a code in it, 1005."""

    at: float
    sender: Sender
    code: int
    reason: str


@dataclass(slots=True)
class _Pings:
    sent: int = 0
    answered: int = 0
    delay: Histogram = field(default_factory=Histogram)
    waiting: OrderedDict[bytes, float] = field(default_factory=OrderedDict)


class PingAndCloseChecks:
    """
    Follow the control frames of one call and its end.

    Attributes:
        both_seen: what either side says is in the capture; a recording has but one.
        control_seen: control frames are, too; a browser's HAR has none.
    """

    def __init__(self, findings: ViolationLog) -> None:
        self._findings = findings
        self._pings = {sender: _Pings() for sender in Sender}
        self._announced: float | None = None
        self._ends: list[tuple[float, Sender | None, str]] = []
        self._lost = dict.fromkeys(Sender, -inf)
        self.both_seen = self.control_seen = True
        self.closes: dict[Sender, CloseFrame] = {}

    @property
    def first(self) -> CloseFrame | None:
        """The Close that came first."""
        return next(iter(self.closes.values()), None)

    @property
    def ended(self) -> float | None:
        """When the conversation was over, None if nobody knows."""
        if self.first:
            return self.first.at
        return next((at for at, _, how in self._ends if how not in _HIDDEN), None)

    @property
    def over(self) -> bool:
        """Whether neither side can say anything more."""
        senders = {sender for _, sender, _ in self._ends}
        return None in senders or senders >= set(Sender)

    def frame(self, at: float, sender: Sender, opcode: int) -> None:
        """Take notice of any frame after a Close."""
        if sender in self.closes and opcode != Opcode.PONG:
            detail = f"a frame with opcode {opcode} after its Close"
            self._findings.add("frame-after-close", at, Culprit(sender), detail)

    def control(self, at: float, sender: Sender, frame: Frame) -> None:
        """Take a control frame."""
        data = bytes(frame.data[:_MOST_DATA])
        if frame.opcode is Opcode.CLOSE:
            self._close(at, sender, data)
        elif frame.opcode is Opcode.PING:
            self._ping(at, sender, data)
        else:
            self._pong(at, sender, data)

    def announce_shutdown(self, at: float) -> None:
        """Take an empty binary message, after which the media server doesn't close (protocol.md 13)."""
        if self._announced is None:
            self._announced = at
            detail = "an empty binary message: the media server shuts down"
            self._findings.add("shutdown-announced", at, Culprit.JAMBONZ, detail)

    def lose(self, at: float, sender: Sender) -> None:
        """Take notice that something is missing in the capture."""
        self._lost[sender] = at

    def end(self, at: float, sender: Sender | None, how: StreamEnding | str) -> None:
        """Take the end of what one side sends, or of both."""
        self._ends.append((at, sender, how))

    def finish(self, at: float) -> None:
        """Settle what the end of the call settles."""
        self._check_pings(at)
        if self._announced is not None:
            closed = self.closes.get(Sender.APPLICATION)
            waited = (closed.at if closed else at) - self._announced
            if waited > _CLOSE_TIME:
                detail = f"didn't close for {waited:.0f} s after the media server had announced to shut down"
                self._findings.add("shutdown-not-closed", at, Culprit.APPLICATION, detail)
        self._check_end(at)

    def describe_pings(self) -> Report:
        """Return what a report says of the pings of each side."""
        return {
            str(sender): {"sent": one.sent, "answered": one.answered, "delay_ms": spread_as_json(one.delay)}
            for sender, one in self._pings.items()
        }

    def describe(self) -> Report:
        """Return what a report says of the end."""
        first = self.first
        reply = next((close for close in self.closes.values() if close is not first), None)
        how = next((how for _, _, how in self._ends if how not in _HIDDEN), None)
        how = how or next((how for _, _, how in self._ends), None)
        return {
            "by": str(first.sender) if first else self._ended_by(),
            "time": round(first.at, 3) if first else None,
            "code": None if first is None or first.code == NO_CODE else first.code,
            "reason": first.reason if first else None,
            "answered": reply is not None if (self.both_seen and self.control_seen) or reply else None,
            "answer_delay": round(reply.at - first.at, 3) if reply and first else None,
            "connection": str(how) if how else None,
        }

    def _close(self, at: float, sender: Sender, data: bytes) -> None:
        if sender in self.closes:
            return
        code = int.from_bytes(data[:2], "big") if len(data) >= 2 else NO_CODE
        answers = bool(self.closes)
        self.closes[sender] = CloseFrame(at, sender, code, data[2:].decode(errors="replace"))
        if not answers:
            self._check_code(at, sender, code, data)

    def _check_code(self, at: float, sender: Sender, code: int, data: bytes) -> None:
        reason = data[2:].decode(errors="replace")[:_SHOWN]
        said = f"closes with {code}" + (f", {reason!r}" if reason else "")
        match code:
            case _ if not data:
                self._findings.add("close-no-code", at, Culprit(sender), "closes without a code")
            case _ if len(data) == 1:
                self._findings.add("close-code-invalid", at, Culprit(sender), "closes with half a code")
            case _ if code in _INVALID_CODES or not 1000 <= code < 5000 or 1016 <= code < 3000:
                self._findings.add("close-code-invalid", at, Culprit(sender), said)
            case 1001:
                self._findings.add("close-going-away", at, Culprit(sender), said)
            case _ if code != NORMAL:
                self._findings.add("close-error", at, Culprit(sender), said)

    def _ping(self, at: float, sender: Sender, data: bytes) -> None:
        pings = self._pings[sender]
        pings.sent += 1
        pings.waiting[data] = at
        if len(pings.waiting) > _MOST_PINGS:
            pings.waiting.popitem(last=False)
        if sender is Sender.JAMBONZ:
            self._findings.add("ping-from-jambonz", at, Culprit.JAMBONZ, "a ping")

    def _pong(self, at: float, sender: Sender, data: bytes) -> None:
        pings = self._pings[Sender.APPLICATION if sender is Sender.JAMBONZ else Sender.JAMBONZ]
        asked = pings.waiting.pop(data, None)
        if asked is None:
            return  # A pong that nobody asked for is allowed (RFC 6455 5.5.3).
        pings.answered += 1
        pings.delay.add_value(at - asked)
        if at - asked > _LATE_PONG:
            self._findings.add("pong-late", at, Culprit(sender), f"a pong {at - asked:.1f} s after its ping")

    def _check_pings(self, at: float) -> None:
        if not (self.both_seen and self.control_seen):
            return
        for sender, pings in self._pings.items():
            other = Sender.APPLICATION if sender is Sender.JAMBONZ else Sender.JAMBONZ
            for asked in pings.waiting.values():
                if at - asked > _MISSING_PONG and asked > self._lost[other]:
                    self._findings.add("pong-missing", asked, Culprit(other), "a ping that wasn't answered")

    def _check_end(self, at: float) -> None:
        if not self.control_seen:
            return
        hidden = next((how for _, _, how in self._ends if how in _HIDDEN), None)
        first = self.first
        if not self._ends or hidden:
            if len(self.closes) < len(Sender):
                said = _HIDDEN[StreamEnding(hidden)] if hidden else "the capture ends"
                self._findings.add("capture-ends", at, Culprit.CAPTURE, f"{said} before the call does")
        elif first is None and at - max(self._lost.values()) < _CLOSE_LOST:
            return  # The Close may be what is missing.
        elif first is None:
            by = self._ended_by()
            how = self._ends[0][2]
            detail = f"the connection ended ({how}) without a Close"
            self._findings.add("close-missing", at, Culprit(by) if by else Culprit.NETWORK, detail)
        elif len(self.closes) < len(Sender) and self.both_seen:
            other = Sender.APPLICATION if first.sender is Sender.JAMBONZ else Sender.JAMBONZ
            if self._lost[other] >= first.at:
                return
            self._findings.add("close-unanswered", at, Culprit(other), "doesn't answer the Close")

    def _ended_by(self) -> str | None:
        """Return who ended a connection that nobody closed."""
        for _, sender, how in self._ends:
            if sender is not None and how not in _HIDDEN and how != StreamEnding.RESET_BY_RECEIVER:
                return str(sender)
        return None
