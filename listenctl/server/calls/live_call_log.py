"""The log of a live call: its id, what is known of it, and what happened on it."""

import hashlib
from dataclasses import dataclass, field, replace

from listenctl.events import CallIdentity, Completeness
from listenctl.media.dtmf_detector import DtmfTone
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.call_metadata import CallMetadata
from listenctl.protocol.gaps.gap_ledger import GapLedger
from listenctl.protocol.jambonz_messages import UnknownMessage
from listenctl.protocol.listen_session import FlushRequested, GapFound, MessageReceived, ProtocolViolation
from listenctl.server.calls.call_counts import CallCounts

# The peer decides how many texts it sends, and how long; beyond this they are only counted.
MAX_LOGGED = 10_000
MAX_LOGGED_BYTES = 1024 * 1024
MAX_ID_LENGTH = 128

EMPTY_MESSAGE, SHUTTING_DOWN = "empty-message", "the media server is shutting down (an empty binary message)"
"""Rule and detail of the warning for ``FlushRequested``."""

LogEntry = MessageReceived | GapFound | FlushRequested | ProtocolViolation | DtmfTone


class CallIds:
    """Give each connection an id of its own: its callSid, ``~2`` appended for its second stream, or ``unknown-1``."""

    def __init__(self, counts: CallCounts) -> None:
        self._counts = counts

    def claim_id(self, call_sid: str | None) -> str:
        return self._claim(f"unknown-{self._counts.count_unknown()}" if call_sid is None else call_sid[:MAX_ID_LENGTH])

    def _claim(self, name: str) -> str:
        count = self._counts.count_stream(name)
        # The id with its number can be the callSid of another call.
        return name if count == 1 else self._claim(f"{name}~{count}")


@dataclass(slots=True)
class LiveCallEnd:
    closed_by: str  # jambonz, listenctl, the application that is relayed to, or nobody if the connection broke
    code: int | None = None
    reason: str = ""


@dataclass(slots=True)
class LiveCallLog:
    """What happened on one call, for listings, the sidecar and the last event."""

    id: str
    remote: str
    target: str
    subprotocol: str | None
    started_at: float  # Unix time of the opening handshake
    metadata: CallMetadata
    audio_format: AudioFormat
    ledger: GapLedger
    upstream: str | None = None  # the application that the call is relayed to
    dtmf_masked: bool = False  # whether digits are hidden
    entries: list[LogEntry] = field(default_factory=list)
    unlogged: int = 0  # texts, gaps and so on that are not in ``entries``
    unlogged_digest: "hashlib._Hash | None" = None  # SHA-256 of those that are texts, one after the other
    logged_bytes: int = 0
    warnings: int = 0
    last_digit: str = ""
    samples: int = 0
    ended_at: float | None = None
    ending: LiveCallEnd | None = None

    @property
    def identity(self) -> CallIdentity:
        return {"call": self.id, "call_sid": self.metadata.call_sid, "trace_id": self.metadata.trace_id}

    def add_entry(self, entry: LogEntry) -> None:
        text = b""
        if isinstance(entry, MessageReceived):
            text = entry.message.serialize().encode(errors="surrogatepass")
            if isinstance(entry.message, UnknownMessage):
                # Its JSON as objects takes many times the memory of its text.
                entry = replace(entry, message=replace(entry.message, value=None))
        if len(self.entries) < MAX_LOGGED and self.logged_bytes + len(text) <= MAX_LOGGED_BYTES:
            self.entries.append(entry)
            self.logged_bytes += len(text)
            return
        self.unlogged += 1
        if text:
            self.unlogged_digest = self.unlogged_digest or hashlib.sha256()
            self.unlogged_digest.update(text)

    @property
    def gap_seconds(self) -> float:
        """Seconds of audio that are missing, dropped or never sent."""
        return self.audio_format.duration_of(self.ledger.lost_samples + self.ledger.paused_samples)


def describe_completeness(log: LiveCallLog, unrecorded_samples: int = 0) -> Completeness:
    """Return how much of a call's audio there is; ``complete`` is None until the call has ended."""
    drift, lost = log.ledger.clock_drift(), log.ledger.lost_samples
    sent = log.samples + lost
    share = round((log.samples - unrecorded_samples) / sent, 6) if sent else 1.0
    ended = log.ended_at is not None
    return Completeness(
        received_samples=log.samples,
        lost_samples=lost,
        paused_samples=log.ledger.paused_samples,
        unrecorded_samples=unrecorded_samples,
        completeness=share if ended else None,
        complete=not lost and not unrecorded_samples if ended else None,
        clock_drift_ppm=None if drift is None else round(drift * 1e6),
    )
