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

FLOWS_AFTER = 0.1
"""Audio has resumed once it has arrived at its own pace for this long; the next stall is then another gap."""

HELD_UP = 0.5
"""Late audio of this length that arrives at once, while some stays missing, shows that jambonz threw audio away."""

LONGEST_END = 0.5
"""A call without audio for this long before its end counts as paused."""

BIT_BY_BIT = 0.6
"""Audio is lost bit by bit if its lateness takes longer than this to reach ``LATE_AFTER``; a busy sender is faster."""
