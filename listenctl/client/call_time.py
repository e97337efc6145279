"""The time of one simulated call, which stands still before it begins and after it is over."""

from listenctl.media.pacing import Clock


class CallTime:
    """Tell how long a call has gone on, in seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started_at: float | None = None
        self._connected_at: float | None = None
        self._over_at: float | None = None

    @property
    def elapsed(self) -> float:
        """Seconds since the tap was started."""
        return self._since(self._started_at)

    @property
    def connected_for(self) -> float:
        """Seconds since the handshake was answered."""
        return self._since(self._connected_at)

    def start(self) -> None:
        """Take notice that the tap is started."""
        self._started_at = self._clock.now()

    def connect(self) -> None:
        """Take notice that the handshake was answered."""
        self._connected_at = self._clock.now()

    def stop(self) -> None:
        """Stand still from now on."""
        self._over_at = self._now()

    def _since(self, begin: float | None) -> float:
        return 0.0 if begin is None else self._now() - begin

    def _now(self) -> float:
        return self._clock.now() if self._over_at is None else self._over_at
