"""One call shared by many tools: names on the wire, turns of the stream, the clip queue."""
