"""How far ahead of its playback a stream is sent, in seconds; without imports, as the options of commands need it."""

STREAM_LEAD = 0.2
"""More than the 160 ms that jambonz buffers before it begins to play."""
MIN_LEAD, MAX_LEAD = 0.02, 5.0
