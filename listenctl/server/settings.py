"""The settings of a server, with their defaults."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from listenctl.protocol.audio import AudioFormat
from listenctl.server.check_credentials import CredentialsCheck

if TYPE_CHECKING:
    from listenctl.server.upstream import RelayTarget


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """
    How a server listens, and its limits; times are seconds.

    Attributes:
        port: 0 takes a free one.
        path: the only path to accept, without query; None accepts any.
        credentials: what clients must send; None lets everyone in.
        read_interval: how often calls are read. A long interval makes batches worthwhile, and delays events and meters.
        ping_interval: how often a ping is sent.
        unanswered_pings: after so many in a row, without any other data, the connection is lost.
        drain_timeout: after the empty message of a media server that shuts down, which never closes the connection
            itself (listenctl-protocol(7) 13).
        max_message: limit of one WebSocket message in bytes; the longest burst of jambonz has 1,280,000
            (listenctl-protocol(7) 3.3).
        default_format: of calls whose metadata has none.
        stream_rate: at which jambonz plays binary audio, if neither the metadata nor a tool says it; 0 for clips, None
            for unknown.
        detect_dtmf: detect DTMF tones in the audio.
        upstream: the application that calls are relayed to.
        control: the path of the control socket, named after the server; None for none.
        control_required: whether a server without its control socket doesn't start, or only warns.
    """

    host: str = "127.0.0.1"
    port: int = 3000
    path: str | None = None
    credentials: CredentialsCheck | None = None
    tls: ssl.SSLContext | None = None
    max_calls: int = 1000
    max_message: int = 4 * 1024 * 1024
    default_format: AudioFormat = AudioFormat(8000, 1)
    read_interval: float = 0.2
    handshake_timeout: float = 10.0
    metadata_timeout: float = 2.0
    ping_interval: float = 20.0
    unanswered_pings: int = 3
    drain_timeout: float = 5.0
    close_timeout: float = 2.0
    stream_rate: int | None = None
    detect_dtmf: bool = False
    upstream: "RelayTarget | None" = None
    control: Path | None = None
    control_required: bool = True
