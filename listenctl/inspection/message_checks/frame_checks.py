"""Checks of single frames: fragmentation, and text messages that are not UTF-8."""

from websockets.frames import Opcode

from listenctl.inspection.rule_violations import Culprit, ViolationLog
from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.protocol.listen_session import Sender

_FIRST_CONTROL = 8


class FrameChecks:
    """Check the frames of one call that are not whole binary messages."""

    def __init__(self, violations: ViolationLog) -> None:
        self._violations = violations
        self._sizes: dict[Sender, int] = {}
        self._lost_sender: Sender | None = None
        self._jambonz_fragments = False

    def take_frame(self, at: float, sender: Sender, frame: RawFrame) -> None:
        if frame.opcode >= _FIRST_CONTROL:
            return
        if sender is Sender.APPLICATION and frame.opcode == Opcode.TEXT and frame.fin:
            self._check_utf8(at, frame.payload)
        if frame.opcode == Opcode.CONT and sender in self._sizes:
            self._sizes[sender] += len(frame.payload)
            if frame.fin:
                self._end_message(at, sender)
        elif not frame.fin:
            self._sizes[sender] = len(frame.payload)
            if sender is Sender.JAMBONZ and not self._jambonz_fragments:
                self._jambonz_fragments = True
                detail = "a message in several frames"
                self._violations.add_violation("jambonz-fragmented", at, Culprit.JAMBONZ, detail)

    def is_message_lost(self, sender: Sender) -> bool:
        """Return whether jambonz loses the message that has just ended; call it once per message."""
        lost, self._lost_sender = self._lost_sender, None
        return lost is sender

    def _end_message(self, at: float, sender: Sender) -> None:
        from listenctl.protocol.jambonz_model.playout import MAX_FRAGMENTED_BYTES

        size = self._sizes.pop(sender)
        if sender is Sender.APPLICATION and size > MAX_FRAGMENTED_BYTES:
            self._lost_sender = sender
            detail = f"{size} bytes in fragments; jambonz accepts {MAX_FRAGMENTED_BYTES}"
            self._violations.add_violation("message-fragmented", at, Culprit.APPLICATION, detail)

    def _check_utf8(self, at: float, payload: bytes) -> None:
        try:
            payload.decode()
        except UnicodeDecodeError as error:
            detail = f"a text that is not UTF-8 from byte {error.start} on"
            self._violations.add_violation("text-not-utf8", at, Culprit.APPLICATION, detail)
