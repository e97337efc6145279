"""WebSocket sessions out of the connections of a capture, those under TLS included."""

from collections.abc import Iterable, Iterator

from listenctl.capture.captured import CaptureEvent
from listenctl.capture.connections import Closed, Event, Hole, Piece, Stream
from listenctl.capture.conversation import Conversation
from listenctl.capture.packets import Batch, Notice, Secrets
from listenctl.capture.streams import read_streams
from listenctl.capture.tls_keylog import KeyLog

MAX_HELD_TOGETHER = 1 << 27
"""Bytes of messages that aren't complete, on all connections."""
LOOK_AFTER = 32
"""So many chunks of the capture may come before that is looked at, which takes a while with many connections."""


class SessionReader:
    """
    Find the sessions among the connections of a capture.

    Args:
        source: the file that they are in.
        keylog: secrets for those under TLS; those that the capture brings are added to it.
        numbers: what sessions are called.
        runs: give audio in runs, one session after another; else all frames are nearly in order across sessions.
    """

    def __init__(self, source: str, keylog: KeyLog, numbers: Iterator[int], *, runs: bool = False) -> None:
        self._source = source
        self._keylog = keylog
        self._numbers = numbers
        self._runs = runs
        self._feeds = 0
        # None for a connection that is known to hold no session.
        self._conversations: dict[Stream, tuple[Conversation, int] | None] = {}

    def feed(self, events: Iterable[Event | Notice | Secrets]) -> list[CaptureEvent]:
        """Return what is said in sessions, and the notices as they are."""
        found: list[CaptureEvent] = []
        known, runs = self._conversations, self._runs
        waiting: dict[Stream, list[Piece]] = {}
        at = 0.0
        for event in events:
            if type(event) is Piece:
                at, stream, data, packet = event
                if (pieces := waiting.get(stream)) is not None:
                    pieces.append(event)
                    continue
                if waiting:
                    found += self._take_all(stream.opposite, waiting)
                if stream not in known:
                    self._meet(event)
                if entry := known.get(stream):
                    conversation, number = entry
                    if runs and conversation.sends_frames(number):
                        waiting[stream] = [event]
                        continue
                    found += conversation.take(number, at, data, packet)
                    if conversation.hopeless:
                        self._leave(conversation)
            else:
                if waiting and isinstance(event, Hole | Closed):
                    found += self._take_all(event.stream, waiting)
                    found += self._take_all(event.stream.opposite, waiting)
                found += self._other(event)
        for stream in list(waiting):
            found += self._take_all(stream, waiting)
        self._feeds += 1
        if self._feeds % LOOK_AFTER == 0:
            found += self._bound(at)
        return found

    def finish(self) -> list[CaptureEvent]:
        """Return what the end of the capture means for connections of which it has one direction only."""
        left = dict.fromkeys(entry[0] for entry in self._conversations.values() if entry)
        self._conversations.clear()
        return [event for conversation in left for event in conversation.finish()]

    def _take_all(self, stream: Stream, waiting: dict[Stream, list[Piece]]) -> list[CaptureEvent]:
        """Take what has waited of a stream, before anything else of its session."""
        pieces, entry = waiting.pop(stream, None), self._conversations.get(stream)
        if not pieces or not entry:
            return []
        conversation, number = entry
        return conversation.take_all(number, pieces)

    def _other(self, event: Event | Notice | Secrets) -> list[CaptureEvent]:
        match event:
            case Hole():
                return self._hole(event)
            case Closed():
                return self._closed(event)
            case Notice():
                return [event]
            case Secrets(text):
                self._keylog.add(text)
        return []

    def _bound(self, at: float) -> list[CaptureEvent]:
        """Keep memory bounded however many messages are begun and never end: the longest are given up."""
        conversations = {entry[0] for entry in self._conversations.values() if entry}
        held = sum(conversation.held for conversation in conversations)
        found: list[CaptureEvent] = []
        for conversation in sorted(conversations, key=lambda one: one.held, reverse=True):
            if held <= MAX_HELD_TOGETHER:
                break
            held -= conversation.held
            found += conversation.give_up(at)
        return found

    def _meet(self, first: Piece) -> None:
        if all(stream.closed for stream in first.stream.connection.streams):
            # What is said after a reset that its receiver ignored is part of no session.
            return
        conversation = Conversation(first, self._keylog, self._source, self._numbers)
        for number, stream in enumerate(first.stream.connection.streams):
            self._conversations[stream] = (conversation, number)

    def _leave(self, conversation: Conversation) -> None:
        self._conversations.update(dict.fromkeys(conversation.connection.streams))

    def _hole(self, hole: Hole) -> list[CaptureEvent]:
        if hole.stream not in self._conversations:
            # What comes next isn't the begin.
            hole.stream.connection.whole = False
        elif entry := self._conversations[hole.stream]:
            conversation, number = entry
            return conversation.hole(number, hole.at, hole.size)
        return []

    def _closed(self, closed: Closed) -> list[CaptureEvent]:
        closed.stream.closed = True
        streams = closed.stream.connection.streams
        entry = self._conversations.get(closed.stream)
        events: list[CaptureEvent] = []
        if entry:
            conversation, number = entry
            events = conversation.end(number, closed.at, closed.how)
        if all(stream.closed for stream in streams):
            for stream in streams:
                self._conversations.pop(stream, None)
        return events


def read_sessions(
    packets: Iterable[Batch | Notice | Secrets],
    source: str,
    keylog: KeyLog,
    numbers: Iterator[int],
    *,
    runs: bool = False,
) -> Iterator[list[CaptureEvent]]:
    """Yield what is said in the sessions of a capture, as it is read; the arguments are those of ``SessionReader``."""
    reader = SessionReader(source, keylog, numbers, runs=runs)
    for events in read_streams(packets):
        yield reader.feed(events)
    yield reader.finish()
