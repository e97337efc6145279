"""When audio counts as late, as lost, or as a burst; times are in seconds."""

LATE_AFTER = 0.12
"""Audio later than this is a stall: a healthy call is late by one frame (60 ms at most) and some jitter."""

LOST_AFTER = 1.0
"""Late audio counts as lost, or as never sent, once its lateness has stayed the same for this long."""

STEADY_WITHIN = 0.06
"""Lateness that changes by less than this has stayed the same."""

SHORTEST_BURST = 0.2
"""Late audio that arrives after all is reported as a burst if it was this late."""

LATE_START_AFTER = 0.5
"""The first audio is reported as a late start if it was captured this long after the handshake."""

SMALLEST_JAMBONZ_BUFFER = 2.0
"""What jambonz's buffer holds at least and throws away at once (listenctl-protocol(7) 3.3)."""
