"""Defaults of the server's settings and options, without imports, because the help of ``serve`` needs them too."""

HOST = "127.0.0.1"
PORT = 3000
MAX_HANDSHAKES = 1000
"""A second, from one address; as many may come at once, when a media server comes back."""
MAX_FRAME_RATE = 1000
FIRST_FRAME_TIMEOUT = 10.0
MAX_HEADER = 64 * 1024
MAX_MESSAGE = 4 * 1024 * 1024
"""Bytes of one WebSocket message; the longest burst of jambonz has 1,280,000 (listenctl-protocol(7) 3.3)."""
SAMPLE_RATE = 8000
"""Of calls whose metadata has none."""
READ_INTERVAL = 0.2
"""Seconds between reads of a call. A long interval makes batches worthwhile, and delays events and meters."""
RECORD_READ_INTERVAL = 0.8
"""
Of calls that are recorded only. What has arrived since the last read is lost if the process is killed, and that is the
last second at most: on a busy machine reads and writes are a tenth of a second late (see `tests/bench/kill`).
"""
METADATA_TIMEOUT = 2.0
PING_INTERVAL = 20.0
