"""Processes that convert recordings."""

import signal

from listenctl.server.recording import conversion_pool
from listenctl.terminal.stop_signals import STOP_SIGNALS


def test_a_signal_that_stops_the_server_doesnt_end_a_conversion() -> None:
    with conversion_pool._converters() as pool:
        handlers = list(pool.map(signal.getsignal, STOP_SIGNALS))
    conversion_pool._converters.cache_clear()

    assert handlers == [signal.SIG_IGN] * len(STOP_SIGNALS)
