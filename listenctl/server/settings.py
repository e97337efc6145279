"""What a server is told once, at its start."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from listenctl.protocol.audio import AudioFormat
from listenctl.server.check_credentials import CredentialsCheck, NoCredentials

if TYPE_CHECKING:
    from listenctl.server.relay import Application


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """
    How a server listens and what it puts up with.

    Attributes:
        port: 0 takes a free one.
        path: the only path to accept, without query; None accepts any.
        max_message: limit of one WebSocket message in bytes; a burst of jambonz can have 1,280,000 (protocol.md 3.3).
        default_format: of calls whose metadata doesn't say.
        stream_rate: at which jambonz plays binary audio where nothing else says it; 0 where it plays clips, None if
            unknown.
        detect_dtmf: report the keys that are heard in calls.
        application: the real one, which calls are relayed to; None where there is none behind us.
        control: the control socket to open, named after the server; None for none.
        control_required: don't start without it; otherwise that is only warned of.
    """

    host: str = "127.0.0.1"
    port: int = 3000
    path: str | None = None
    access: CredentialsCheck = field(default_factory=NoCredentials)
    tls: ssl.SSLContext | None = None
    max_calls: int = 1000
    max_message: int = 4 * 1024 * 1024
    default_format: AudioFormat = AudioFormat(8000, 1)
    # Calls are read this often: rarely enough to make batches worth it; what is heard of them is up to this old.
    read_interval: float = 0.2
    handshake_timeout: float = 10.0
    metadata_timeout: float = 2.0
    ping_interval: float = 20.0
    # Pings that a peer may leave unanswered while it sends nothing else either.
    unanswered_pings: int = 3
    # After the empty message of a media server that shuts down, which never closes by itself (protocol.md 13).
    drain_timeout: float = 5.0
    close_timeout: float = 2.0
    stream_rate: int | None = None
    detect_dtmf: bool = False
    application: "Application | None" = None
    control: Path | None = None
    control_required: bool = True
