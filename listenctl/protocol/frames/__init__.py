"""WebSocket frames: bytes to frames, and frames to bytes, for either side."""
