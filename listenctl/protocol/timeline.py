"""
What was said on a connection, in time and with its sender: what dump, inspector and replay have in common.

Wherever frames were stored, folding them into a timeline is the same: fragments become messages, and both senders'
messages go to one ``ListenSession``. The peers' faults become entries like all else; nothing here raises.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from websockets.frames import Frame, Opcode

from listenctl.protocol.frames.client_frame_reader import BinaryMessages, ControlFrame, ReceivedMessage, TextMessage
from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.protocol.listen_session import ListenSession, ProtocolViolation, Sender, SessionEvent

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""jambonz takes messages of any size (9.6 MB was tried, protocol.md 13), so there has to be a limit of our own."""

_BINARY = int(Opcode.BINARY)
_CONTROL = 0x08
_MAX_CONTROL_BYTES = 125
# A pause is one after some seconds at the latest; a time that is a year ahead shows a file that is broken.
_LONG = 0.25
_MOST_LOOKS = 240
_OPCODES = frozenset(Opcode)


class TimedFrame(NamedTuple):
    """A frame, by whom it was sent, and when, in seconds since the start of the call."""

    at: float
    sender: Sender
    frame: RawFrame


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One thing that happened; the close, pings and pongs are there as they came."""

    at: float
    sender: Sender
    event: SessionEvent | ControlFrame


@dataclass(frozen=True, slots=True)
class FrameFault:
    """A frame that is against RFC 6455, or too long; what can be read of it is read all the same."""

    rule: str
    detail: str


class MessageAssembler:
    """
    Join the frames of one sender to messages.

    Args:
        masked: whether this sender's frames have to be masked.
        max_message: in bytes, which bounds what is held; of a longer message there is only the flaw.
    """

    def __init__(self, *, masked: bool, max_message: int = MAX_MESSAGE_BYTES) -> None:
        self._masked = masked
        self._max_message = max_message
        self._parts: bytearray | None = None
        self._opcode = Opcode.BINARY
        self._too_long = False

    def feed_frame(self, frame: RawFrame) -> Sequence[ReceivedMessage | FrameFault]:
        """Return the message that ``frame`` completes, after what is wrong with the frame."""
        fin, rsv, opcode, masked, payload = frame
        # Nearly every frame is this; on the long way it takes three times as long.
        if opcode == _BINARY and fin and not rsv and masked is self._masked and self._parts is None:
            return (
                (BinaryMessages(payload, len(payload), 1),)
                if len(payload) <= self._max_message
                else (self._too_much(),)
            )
        return list(self._look_at(frame))

    def accepts_binary(self, size: int) -> bool:
        """Tell whether a binary message of one frame, with no flaw, is a message as it stands."""
        return self._parts is None and size <= self._max_message

    def _look_at(self, frame: RawFrame) -> Iterator[ReceivedMessage | FrameFault]:
        if frame.masked is not self._masked:
            yield FrameFault("frame-masking", "a frame without a mask" if self._masked else "a masked frame")
        if frame.rsv:
            yield FrameFault("frame-reserved-bits", f"a frame with the reserved bits {frame.rsv:03b}")
        if frame.opcode not in _OPCODES:
            yield FrameFault("frame-opcode", f"a frame with the reserved opcode {frame.opcode}")
        elif frame.opcode & _CONTROL:
            if not frame.fin or len(frame.payload) > _MAX_CONTROL_BYTES:
                yield FrameFault("frame-control", "a control frame that is fragmented or too long")
            yield ControlFrame(Frame(Opcode(frame.opcode), frame.payload, frame.fin))
        else:
            yield from self._join(frame)

    def _join(self, frame: RawFrame) -> Iterator[ReceivedMessage | FrameFault]:
        if frame.opcode != Opcode.CONT:
            if self._parts is not None:
                yield FrameFault("frame-order", "a message within a fragmented one, whose rest is missing")
            self._begin(Opcode(frame.opcode))
        elif self._parts is None:
            yield FrameFault("frame-order", "a continuation of nothing")
            return
        parts = self._parts
        assert parts is not None
        if not self._too_long and len(parts) + len(frame.payload) > self._max_message:
            self._too_long = True
            parts.clear()
            yield self._too_much()
        if not self._too_long:
            parts += frame.payload
        if frame.fin:
            self._parts = None
            if not self._too_long:
                data = bytes(parts)
                yield TextMessage(data) if self._opcode is Opcode.TEXT else BinaryMessages(data, len(data), 1)

    def _too_much(self) -> FrameFault:
        return FrameFault("message-too-long", f"a message of more than {self._max_message} bytes")

    def _begin(self, opcode: Opcode) -> None:
        self._parts, self._opcode, self._too_long = bytearray(), opcode, False


class Timeline:
    """
    Fold the frames of one connection, both directions in order of time, into entries.

    Args:
        session: that of the connection, with the clock of the frames.
    """

    def __init__(self, session: ListenSession, *, max_message: int = MAX_MESSAGE_BYTES) -> None:
        self._session = session
        self._joiners = {
            sender: MessageAssembler(masked=sender is Sender.JAMBONZ, max_message=max_message) for sender in Sender
        }
        self._at = 0.0

    @property
    def time(self) -> float:
        """The time so far."""
        return self._at

    def take_frame(self, timed: TimedFrame) -> list[TimelineEntry]:
        """Return what a frame means; time that goes back, in a damaged file, stands still instead."""
        at, sender, frame = timed
        entries = list(self.advance_to(at))
        return entries + [TimelineEntry(self._at, sender, event) for event in self.read_frame(sender, frame)]

    # Entries take half as long again as all the rest, for those who look at few of them.
    def advance_to(self, at: float) -> Sequence[TimelineEntry]:
        """Let time go on; return the gaps that are known before what comes at ``time``."""
        before = self._at
        if at <= before:
            return ()
        # Frames of one time were read together; the ledger has to see all of them before it counts.
        gaps = self._session.find_gaps(before)
        self._at = at
        if not gaps and at - before < _LONG:
            return ()
        return [TimelineEntry(before, Sender.JAMBONZ, gap) for gap in gaps] + self._wait(before, at)

    def _wait(self, before: float, at: float) -> list[TimelineEntry]:
        """Have the ledger see that nothing comes, as it would while a server waits."""
        looks = min(int((at - before) / _LONG), _MOST_LOOKS)
        times = [before + look * _LONG for look in range(1, looks)] + [at]
        return [TimelineEntry(time, Sender.JAMBONZ, gap) for time in times for gap in self._session.find_gaps(time)]

    def take_audio_run(self, times: Sequence[float], size: int) -> int:
        """
        Take binary messages of jambonz, each one frame of ``size`` bytes, as long as each means its audio and no more.

        It is what ``advance_to`` and ``read_frame`` would do, in a fifth of the time.

        Returns:
            How many were taken, without a look at the next one.
        """
        if not self._joiners[Sender.JAMBONZ].accepts_binary(size):
            return 0
        taken = self._session.receive_audio_run(self._at, times, size, longest=_LONG)
        if taken:
            self._at = times[taken - 1]
        return taken

    def read_frame(self, sender: Sender, frame: RawFrame) -> Sequence[SessionEvent | ControlFrame]:
        """Return what a frame means that came at the time so far."""
        messages = self._joiners[sender].feed_frame(frame)
        if len(messages) == 1 and isinstance(messages[0], BinaryMessages):
            return self._session.receive_message(sender, messages[0], self._at)
        events: list[SessionEvent | ControlFrame] = []
        for message in messages:
            if isinstance(message, FrameFault):
                events.append(ProtocolViolation(self._session.position, message.rule, message.detail))
            elif isinstance(message, ControlFrame):
                events.append(message)
            else:
                events += self._session.receive_message(sender, message, self._at)
        return events

    def end_call(self, at: float | None) -> list[TimelineEntry]:
        """Settle what the end at ``time`` settles; None where the connection broke, nobody knows when."""
        entries = [TimelineEntry(self._at, Sender.JAMBONZ, gap) for gap in self._session.find_gaps(self._at)]
        ended = None if at is None else max(at, self._at)
        entries += [TimelineEntry(ended or self._at, Sender.JAMBONZ, event) for event in self._session.end_call(ended)]
        return entries
