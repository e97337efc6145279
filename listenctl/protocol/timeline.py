"""The events of a connection with time and sender, wherever its frames were stored; nothing here raises."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.protocol.frames.websocket_messages import (
    MAX_MESSAGE_BYTES,
    BinaryMessages,
    ControlFrame,
    FrameFault,
    MessageAssembler,
)
from listenctl.protocol.listen_session import ListenSession, ProtocolViolation, Sender, SessionEvent


class TimedFrame(NamedTuple):
    """A frame with its sender and its time in seconds since the start of the call."""

    at: float
    sender: Sender
    frame: RawFrame


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    at: float
    sender: Sender
    event: SessionEvent | ControlFrame


class Timeline:
    """Turn the frames of one connection, both directions in order of time, into entries."""

    def __init__(self, session: ListenSession, *, max_message: int = MAX_MESSAGE_BYTES) -> None:
        self._session = session
        self._joiners = {
            sender: MessageAssembler(masked=sender is Sender.JAMBONZ, max_message=max_message) for sender in Sender
        }
        self.time = 0.0
        """That of the last frame, or the one given to ``advance_to``."""

    def take_frame(self, timed: TimedFrame) -> list[TimelineEntry]:
        """Return the entries of a frame; time that goes back, as in a damaged file, stands still instead."""
        at, sender, frame = timed
        entries = list(self.advance_to(at))
        return entries + [TimelineEntry(self.time, sender, event) for event in self.read_frame(sender, frame)]

    # Building entries would take half as long again as the rest, and some callers look at few of them.
    def advance_to(self, at: float) -> Sequence[TimelineEntry]:
        before = self.time
        if at <= before:
            return ()
        # Frames of one time were read together, so the ledger checks after the last of them; then nothing until ``at``.
        gaps = self._session.find_gaps(before)
        self.time = at
        later = self._session.find_gaps(at)
        if not gaps and not later:
            return ()
        return [TimelineEntry(before, Sender.JAMBONZ, gap) for gap in gaps] + [
            TimelineEntry(at, Sender.JAMBONZ, gap) for gap in later
        ]

    def take_audio_run(self, times: Sequence[float], size: int) -> int:
        """Take audio of jambonz while it causes no other event, in a fifth of the time; return how many messages."""
        if not self._joiners[Sender.JAMBONZ].accepts_binary(size):
            return 0
        taken = self._session.receive_audio_run(self.time, times, size)
        if taken:
            self.time = times[taken - 1]
        return taken

    def read_frame(self, sender: Sender, frame: RawFrame) -> Sequence[SessionEvent | ControlFrame]:
        messages = self._joiners[sender].feed_frame(frame)
        if len(messages) == 1 and isinstance(messages[0], BinaryMessages):
            return self._session.receive_message(sender, messages[0], self.time)
        events: list[SessionEvent | ControlFrame] = []
        for message in messages:
            if isinstance(message, FrameFault):
                events.append(ProtocolViolation(self._session.position, message.rule, message.detail))
            elif isinstance(message, ControlFrame):
                events.append(message)
            else:
                events += self._session.receive_message(sender, message, self.time)
        return events

    def end_call(self, at: float | None) -> list[TimelineEntry]:
        entries = list(self.advance_to(self.time if at is None else at))
        ended = None if at is None else self.time
        return entries + [TimelineEntry(self.time, Sender.JAMBONZ, event) for event in self._session.end_call(ended)]
