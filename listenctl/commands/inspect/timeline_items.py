"""The items of a call's timeline: events of both directions, runs of audio as one item, and problems."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from websockets.frames import Frame, Opcode

from listenctl.capture.capture_events import CapturedFrame, CapturedSession, CaptureEvent, FramesLost
from listenctl.capture.websocket.http_heads import HttpHead
from listenctl.inspection.call_observers import CallObserver
from listenctl.inspection.call_report import CallReport
from listenctl.inspection.rule_violations import Culprit, Violation
from listenctl.protocol.frames.websocket_messages import ControlFrame
from listenctl.protocol.jambonz_model.rule_catalogue import Severity
from listenctl.protocol.listen_session import (
    AudioReceived,
    AudioSent,
    CallStarted,
    CommandSent,
    FlushRequested,
    MessageReceived,
    MetadataArrived,
    Sender,
)
from listenctl.protocol.privacy.hide_secrets import shown_subprotocols, shown_target
from listenctl.protocol.timeline import TimelineEntry

LONGEST_RUN = 60.0
"""Seconds after which a continuing run of audio is split into another item."""
_MAX_HELD = 256 * 1024
_MAX_TEXT = 1000
# Base64 and similar would push out the readable text after it.
_BLOB = re.compile(r"[A-Za-z0-9+/=_-]{80,}")
_BLOB_SHOWN = 4
_SENDERS = {Culprit.JAMBONZ: Sender.JAMBONZ, Culprit.APPLICATION: Sender.APPLICATION}


class ItemKind(StrEnum):
    REQUEST = "request"
    RESPONSE = "response"
    TEXT = "text"
    AUDIO = "audio"
    EMPTY = "empty"
    PING = "ping"
    PONG = "pong"
    CLOSE = "close"
    LOST = "lost"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class TimelineItem:
    """One item of a timeline."""

    at: float  # seconds since the session began; ``until`` is the end of a run of audio
    sender: Sender | None  # None for a problem of neither side
    kind: ItemKind
    text: str = ""  # content, bounded but not yet printable
    size: int = 0  # bytes of the content
    until: float | None = None
    messages: int = 0  # number of messages of a run of audio
    seconds: float | None = None  # duration of a run of audio, None if the rate isn't known
    packet: int | None = None
    round_trip: float | None = None  # seconds since the command that this item answers
    violation: Violation | None = None

    @property
    def severity(self) -> Severity | None:
        return self.violation.severity if self.violation else None


OnItem = Callable[[CapturedSession, TimelineItem], None]


@dataclass(slots=True)
class _Run:
    """Uninterrupted audio of one side."""

    begin: float
    end: float
    packet: int | None
    size: int = 0
    messages: int = 0


@dataclass(slots=True)
class _Call:
    """The state of one session."""

    frame_rate: int = 0
    packet: int | None = None
    runs: dict[Sender, _Run] = field(default_factory=dict)
    texts: dict[Sender, bytearray] = field(default_factory=dict)
    sizes: dict[Sender, int] = field(default_factory=dict)
    complete_from: Sender | None = None
    """Sender of the text message that the last frame completed and that has no item yet."""


class TimelineObserver(CallObserver):
    """Make the timeline items of each session; pass every event to ``add_event`` before the inspector gets it."""

    def __init__(self, on_item: OnItem) -> None:
        self._on_item = on_item  # called with each item as soon as it is known; the items of one side are in order
        self._calls: dict[CapturedSession, _Call] = {}

    def add_event(self, event: CaptureEvent) -> None:
        """Store the text of a message as it was sent."""
        if type(event) is not CapturedFrame:
            return
        _, session, sender, frame, packet = event
        call = self._calls.setdefault(session, _Call())
        call.packet, call.complete_from = packet, None
        if frame.opcode == Opcode.TEXT:
            call.texts[sender], call.sizes[sender] = bytearray(frame.payload[:_MAX_HELD]), len(frame.payload)
        elif frame.opcode == Opcode.CONT and sender in call.texts:
            text = call.texts[sender]
            text += frame.payload[: _MAX_HELD - len(text)]
            call.sizes[sender] += len(frame.payload)
        else:
            return
        if frame.fin:
            call.complete_from = sender

    def on_session_opened(self, session: CapturedSession) -> None:
        """Add the handshake."""
        self._calls.setdefault(session, _Call())
        for sender, kind, head in (
            (Sender.JAMBONZ, ItemKind.REQUEST, session.request),
            (Sender.APPLICATION, ItemKind.RESPONSE, session.response),
        ):
            if head:
                protocol = shown_subprotocols(head.header("sec-websocket-protocol"))
                text = f"{_shown_first_line(head)}{f' ({protocol})' if protocol else ''}"
                self._on_item(session, TimelineItem(0.0, sender, kind, text[:_MAX_TEXT], len(head.raw)))

    def on_entry(self, session: CapturedSession, entry: TimelineEntry) -> None:
        event, call = entry.event, self._calls[session]
        if type(event) is AudioReceived or type(event) is AudioSent:
            self._add_audio(session, call, entry, event.data)
        elif isinstance(event, CallStarted | MetadataArrived):
            call.frame_rate = event.audio_format.sample_rate * event.audio_format.frame_bytes
            self._add_text(session, call, entry, None)
        elif isinstance(event, MessageReceived):
            self._add_text(session, call, entry, event.round_trip)
        elif isinstance(event, CommandSent):
            self._add_text(session, call, entry, None)
        elif isinstance(event, ControlFrame):
            self._add_item(session, TimelineItem(entry.at, entry.sender, *_control(event.frame), packet=call.packet))
        elif isinstance(event, FlushRequested):
            self._add_item(
                session,
                TimelineItem(entry.at, entry.sender, ItemKind.EMPTY, "an empty binary message", packet=call.packet),
            )

    def on_frames_lost(self, session: CapturedSession, at: float, lost: FramesLost) -> None:
        self._add_item(session, TimelineItem(at, lost.sender, ItemKind.LOST, lost.detail, lost.size or 0))

    def on_violation(self, session: CapturedSession, violation: Violation) -> None:
        """Add a problem; it doesn't split a run of audio, because it may be reported long after it happened."""
        sender = _SENDERS.get(violation.sender)
        item = TimelineItem(
            violation.at,
            sender,
            ItemKind.PROBLEM,
            violation.detail,
            packet=violation.packet,
            violation=violation,
        )
        self._on_item(session, item)

    def on_call_finished(self, session: CapturedSession, _report: CallReport) -> None:
        """Add the last runs of audio."""
        if call := self._calls.pop(session, None):
            self._end_runs(session, call)

    def _add_text(self, session: CapturedSession, call: _Call, entry: TimelineEntry, round_trip: float | None) -> None:
        # A message that contains several JSON texts is one item.
        if call.complete_from is not entry.sender:
            return
        call.complete_from = None
        text = shorten_blobs(call.texts.pop(entry.sender).decode(errors="replace"))
        size = call.sizes.pop(entry.sender)
        item = TimelineItem(
            entry.at,
            entry.sender,
            ItemKind.TEXT,
            text[:_MAX_TEXT],
            size,
            packet=call.packet,
            round_trip=round_trip,
        )
        self._add_item(session, item)

    def _add_audio(self, session: CapturedSession, call: _Call, entry: TimelineEntry, data: bytes) -> None:
        run = call.runs.get(entry.sender)
        if run and entry.at - run.begin > LONGEST_RUN:
            self._end_runs(session, call)
            run = None
        if run is None:
            run = call.runs[entry.sender] = _Run(entry.at, entry.at, call.packet)
        run.end = entry.at
        run.size += len(data)
        run.messages += 1

    def _add_item(self, session: CapturedSession, item: TimelineItem) -> None:
        self._end_runs(session, self._calls[session])
        self._on_item(session, item)

    def _end_runs(self, session: CapturedSession, call: _Call) -> None:
        for sender, run in sorted(call.runs.items(), key=lambda one: one[1].begin):
            # The duration of the application's audio depends on a rate that is not on the wire.
            known = call.frame_rate and sender is Sender.JAMBONZ
            seconds = run.size / call.frame_rate if known else None
            item = TimelineItem(
                run.begin,
                sender,
                ItemKind.AUDIO,
                size=run.size,
                until=run.end,
                messages=run.messages,
                seconds=seconds,
                packet=run.packet,
            )
            self._on_item(session, item)
        call.runs.clear()


def _shown_first_line(head: HttpHead) -> str:
    if head.status:
        return head.first_line
    method, _, rest = head.first_line.partition(" ")
    target, space, version = rest.rpartition(" ")
    return f"{method} {shown_target(target)}{space}{version}"


def shorten_blobs(text: str) -> str:
    """Shorten encoded data in a text to a few characters and its length."""
    return _BLOB.sub(lambda blob: f"{blob[0][:_BLOB_SHOWN]}…({len(blob[0])} characters)", text)


def _control(frame: Frame) -> tuple[ItemKind, str, int]:
    data = bytes(frame.data)
    if frame.opcode is Opcode.CLOSE:
        if len(data) < 2:
            return ItemKind.CLOSE, "without a code", len(data)
        reason = data[2:].decode(errors="replace")
        return ItemKind.CLOSE, f"{int.from_bytes(data[:2], 'big')} {reason}".rstrip(), len(data)
    kind = ItemKind.PING if frame.opcode is Opcode.PING else ItemKind.PONG
    return kind, data.decode(errors="replace") if data.isascii() else data.hex(" "), len(data)
