"""Frames that are no whole binary messages: fragments, and texts that are no UTF-8."""

from websockets.frames import Opcode

from listenctl.inspection.rule_catalogue import Culprit
from listenctl.inspection.rule_violations import ViolationLog
from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.protocol.jambonz_model.playout import MAX_FRAGMENTED_BYTES
from listenctl.protocol.listen_session import Sender

_FIRST_CONTROL = 8


class FrameChecks:
    """Look at the frames of one call in which something may be wrong with the message that they make up."""

    def __init__(self, findings: ViolationLog) -> None:
        self._findings = findings
        self._sizes: dict[Sender, int] = {}
        self._lost: Sender | None = None
        self._jambonz_fragments = False

    def look(self, at: float, sender: Sender, frame: RawFrame) -> None:
        """Take a frame."""
        if frame.opcode >= _FIRST_CONTROL:
            return
        if sender is Sender.APPLICATION and frame.opcode == Opcode.TEXT and frame.fin:
            self._check_text(at, frame.payload)
        if frame.opcode == Opcode.CONT and sender in self._sizes:
            self._sizes[sender] += len(frame.payload)
            if frame.fin:
                self._end(at, sender)
        elif not frame.fin:
            self._sizes[sender] = len(frame.payload)
            if sender is Sender.JAMBONZ and not self._jambonz_fragments:
                self._jambonz_fragments = True
                self._findings.add("jambonz-fragmented", at, Culprit.JAMBONZ, "a message in several frames")

    def take_lost(self, sender: Sender) -> bool:
        """Tell whether the message that has just ended is one that jambonz loses."""
        lost, self._lost = self._lost, None
        return lost is sender

    def _end(self, at: float, sender: Sender) -> None:
        size = self._sizes.pop(sender)
        if sender is Sender.APPLICATION and size > MAX_FRAGMENTED_BYTES:
            self._lost = sender
            detail = f"{size} bytes in fragments, of which jambonz takes at most {MAX_FRAGMENTED_BYTES}"
            self._findings.add("message-fragmented", at, Culprit.APPLICATION, detail)

    def _check_text(self, at: float, payload: bytes) -> None:
        try:
            payload.decode()
        except UnicodeDecodeError as error:
            detail = f"a text that isn't UTF-8 from byte {error.start} on"
            self._findings.add("text-not-utf8", at, Culprit.APPLICATION, detail)
