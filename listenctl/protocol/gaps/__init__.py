"""Missing audio: audio time compared with arrival time."""
