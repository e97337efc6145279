"""HTTP upgrades and WebSocket frames found in TCP streams."""
