"""
The jambonz listen protocol: bytes and messages in, events out.

Nothing here does I/O, reads a clock or logs: time is told, and what to send is returned. Only the standard library and
the sans-I/O modules of ``websockets`` are imported.
"""
