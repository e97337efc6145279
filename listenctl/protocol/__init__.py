"""The jambonz listen protocol, without I/O, clock or logs: messages and times in, events and what to send out."""
