"""The limits of a server. They can change while it runs: each is read when it is applied."""

from dataclasses import dataclass

from listenctl.server import server_defaults as defaults


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """What a server takes at most; None is no limit. Times are seconds."""

    max_calls: int = 1000
    max_calls_per_address: int | None = None
    max_calls_per_user: int | None = None
    max_handshakes: float | None = None  # a second, from one address
    max_header: int = defaults.MAX_HEADER  # bytes of a handshake request
    min_free: int | None = None  # bytes of the disk of the recordings; 0 is no limit, None one that fits the disk
    max_memory: int | None = None  # bytes of this process; 0 is no limit, None one that fits the machine
    first_frame_timeout: float | None = defaults.FIRST_FRAME_TIMEOUT  # until a message comes after the handshake
    max_call_length: float | None = None
    max_frame_rate: float = defaults.MAX_FRAME_RATE  # small frames a second of one call
    max_recording: int | None = None  # bytes of the files of one call
    max_message: int = defaults.MAX_MESSAGE  # bytes of one WebSocket message
