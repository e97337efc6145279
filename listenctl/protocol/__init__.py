"""
The jambonz listen protocol, without I/O: bytes and messages in, events out.

Nothing here reads a clock or logs: time is a parameter, and what to send is a return value. Only the standard library
and the sans-I/O modules of ``websockets`` are imported.
"""
