"""One call shared by several tools: names of marks and clips, turns to stream, the clip queue."""
