"""WebSocket handshakes and frames in TCP streams."""
