"""The settings of a server, with their defaults."""

import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from listenctl.events import ServerStartedEvent
from listenctl.protocol.audio import AudioFormat
from listenctl.server import server_defaults as defaults
from listenctl.server.access.check_credentials import CredentialsCheck
from listenctl.server.access.client_addresses import AddressRules
from listenctl.server.access.server_tls import ServerTls
from listenctl.server.limits.server_limits import ServerLimits

if TYPE_CHECKING:
    from listenctl.server.upstream import RelayTarget


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """How a server listens, and its limits; times are seconds."""

    host: str = defaults.HOST
    port: int = defaults.PORT  # 0 takes a free one
    subprotocol: str | None = None  # another name that a site has configured, beside those of jambonz
    reuse_port: bool = False  # whether another server may listen on the same port, as while one replaces the other
    admin: tuple[str, int] | None = None  # host and port for health and metrics; None serves them on ``port`` only
    path: str | None = None  # the only path to accept, without query; None accepts any
    credentials: CredentialsCheck | None = None  # what clients must send; None lets everyone in
    tls: ServerTls | None = None
    addresses: AddressRules = AddressRules()  # where calls may come from, and what is known of it behind proxies
    limits: ServerLimits = field(
        default_factory=ServerLimits
    )  # as the server starts; those of ``ListenServer.limits`` count
    max_unfinished: int = 1000  # calls whose files may be open: the live ones, and those whose recording isn't finished
    max_without_call: int = 1000  # connections in their handshake, and those that end
    default_format: AudioFormat = AudioFormat(defaults.SAMPLE_RATE, 1)  # of calls whose metadata has none
    read_interval: float = defaults.READ_INTERVAL  # how often calls are read
    handshake_timeout: float = 10.0
    metadata_timeout: float = defaults.METADATA_TIMEOUT
    ping_interval: float = defaults.PING_INTERVAL  # how often a ping is sent
    unanswered_pings: int = 3  # after so many in a row, without any other data, the connection is lost
    drain_timeout: float = 5.0
    """After the empty message of a media server that shuts down, which never closes (listenctl-protocol(7) 13)."""
    close_timeout: float = 2.0
    stream_rate: int | None = None
    """At which jambonz plays binary audio if neither metadata nor a tool says it; 0 for clips, None for unknown."""
    detect_dtmf: bool = False
    mask_dtmf: bool = False  # whether digits and their tones are hidden in all that is stored, shown or heard
    upstream: "RelayTarget | None" = None  # the application that calls are relayed to
    control: Path | None = None  # the path of the control socket, named after the server; None for none
    control_required: bool = True  # whether a server without its control socket doesn't start, or only warns

    def url(self, port: int) -> str:
        """Return the URL of the server if it listens on ``port``."""
        host = self.host
        if host in ("0.0.0.0", "::"):
            host = socket.gethostname()
        host = f"[{host}]" if ":" in host else host
        return f"{'wss' if self.tls else 'ws'}://{host}:{port}{self.path or '/'}"

    def describe_start(
        self, port: int, *, max_calls: int, recording: bool, control: Path | None, admin: str | None
    ) -> ServerStartedEvent:
        return ServerStartedEvent(
            url=self.url(port),
            host=self.host,
            port=port,
            path=self.path,
            tls=self.tls is not None,
            auth=self.credentials is not None,
            max_calls=max_calls,
            recording=recording,
            upstream=None if self.upstream is None else self.upstream.url,
            control=None if control is None else str(control),
            admin=admin,
        )
