"""Sound devices: microphone, player, jitter buffer, mixer."""
